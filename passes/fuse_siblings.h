#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Makes one loop of loops with equally many iterations:
///
///   let s = result(for(v, merger[f64,+], |b, i, e| merge(b, e)));
///   let n = …;
///   let m = result(for(zip(v, w), merger[f64,max], |b, i, e| merge(b, e.$0 - e.$1)));
///
/// becomes
///
///   let n = …;
///   let r = result(for(zip(v, w), {merger[f64,+], merger[f64,max]}, |b, i, e|
///     {merge(b.$0, e.$0), merge(b.$1, e.$0 - e.$1)}));
///   let s = r.$0; let m = r.$1;
///
/// The numbers of iterations are known to be equal where the loops walk over the same vectors, over vectors
/// that are zipped somewhere on the same path, over results of such loops, or with the same bounds. Nothing
/// moves past a foreign call, and a loop has at most 16 builders.
ir::Expr fuse_siblings(ir::Expr root, PassContext& context);

}  // namespace weld::passes
