#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Fuses loops with the loops that use their vectors, so that these are not made:
///
///   let x = result(for(v, appender[f64], |b, i, e| merge(b, e * 2.0)));
///   result(for(zip(x, w), merger[f64,+], |b, i, e| merge(b, e.$0 * e.$1)))
///
/// becomes
///
///   result(for(zip(v, w), merger[f64,+], |b, i, e| let y = e.$0 * 2.0; merge(b, y * e.$1)))
///
/// A loop that makes one element an iteration fuses with every loop that walks over its vector from end to
/// end, next to other vectors too; filters and flattens with loops that walk over nothing else and do not
/// look at the iteration number. Loops that use one vector become one loop with it, which also makes the
/// vector where it is needed as a whole. Where other computations come in between them, the vector is made
/// once, by the first of them, or its elements are computed again if that is cheaper than to write and read
/// them.
///
/// Every check of lengths and bounds stays, and everything that may fail is evaluated as often as before;
/// which of several errors is reported may change.
ir::Expr fuse_loops(ir::Expr root, PassContext& context);

}  // namespace weld::passes
