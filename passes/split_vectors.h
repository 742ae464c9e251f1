#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Stores vectors of structs by columns, where only the program itself sees them:
///
///   let v = result(for(w, appender[{i64,f64}], |b, i, x| merge(b, {i, x})));
///   result(for(v, merger[f64,+], |b, i, e| merge(b, e.$1)))
///
/// becomes
///
///   let v = result(for(w, {appender[f64]}, |b, i, x| {merge(b.$0, x)}));
///   result(for(v.$0, merger[f64,+], |b, i, e| merge(b, e)))
///
/// with one appender a column that somebody reads: loops walk over the columns they use, which vectorise, and
/// columns that nobody uses are not built (unless their values may fail). Fires for results of loops that are
/// walked over, sliced, measured and looked up, and nothing else. Where whole elements are looked up at
/// places that are not known, they stay together: that is one access to memory, not one a column. Expects
/// inlined lets and zips.
ir::Expr split_vectors(ir::Expr root, PassContext& context);

}  // namespace weld::passes
