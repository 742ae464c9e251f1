#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Writes short loops out whose number of iterations is known:
///
///   result(for([a, b], merger[i64,+], |m, i, x| merge(m, x * x)))
///   becomes
///   let x = a; let y = b; x * x + y * y
///
///   for(rangeiter(0L, 2L, 1L), b, |b, i, e| if(e > k, merge(b, e), b))
///   becomes
///   let c = if(0L > k, merge(b, 0L), b); if(1L > k, merge(c, 1L), c)
///
/// Loops over vector literals and ranges of literals, of at most kMaxUnrolledIterations iterations and
/// kMaxUnrolledNodes nodes. Sums and products of floats are added up as the loop did (ir/reduction_order.h):
/// from the identity on, in order, the total being one value for the builder. Where floats are summed up by
/// keys, or by several builders, loops stay. Expects inlined lets, and leaves many.
ir::Expr unroll_loops(ir::Expr root, PassContext& context);

inline constexpr std::int64_t kMaxUnrolledIterations = 8;
inline constexpr std::uint32_t kMaxUnrolledNodes = 256;

}  // namespace weld::passes
