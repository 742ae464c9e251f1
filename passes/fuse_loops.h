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
/// end, next to other vectors too; filters and flattens with loops that walk over nothing else (or over vectors
/// that were filtered by the same condition) and do not look at the iteration number. The vector may be a field
/// of the result of a struct of builders. Loops that use one vector become one loop with it, which also makes
/// the vector where it is needed as a whole. Where other computations come in between them, the vector is made
/// once, by the first of them, or its elements are computed again if that is cheaper than to write and read
/// them. Outer loops are fused before inner ones, so that rows of a matrix fuse like vectors do.
///
/// A map of which only a part is walked over, or elements are looked up, makes these only; lengths are taken of
/// what a vector is made of, or counted.
///
/// Every check of lengths and bounds stays, and whatever may fail is evaluated if it was before; which of
/// several errors is reported may change. A loop has at most 16 builders and 1,000 operations.
ir::Expr fuse_loops(ir::Expr root, PassContext& context);

}  // namespace weld::passes
