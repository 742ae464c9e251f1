#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Computes values once where their mean is computed, and then the sum of squared deviations from it:
///
///   let mean = result(for(v, merger[f64,+], |b, i, x| merge(b, f(x)))) / f64(len(v));
///   result(for(v, merger[f64,+], |b, i, x| merge(b, (f(x) - mean) * (f(x) - mean))))
///
/// becomes one loop over chunks of 2,048 elements, whose values stay in the nearest cache while it sums them
/// up, s, and then their deviations from the chunk's own mean, r, and the squares of those, q; and two short
/// loops over the chunks:
///
///   mean = Σ s / f64(len(v))        squares = Σ q + d * (2 * r + size * d)        where d = s / size - mean
///
/// after Chan, Golub and LeVeque, with r for the rounding of the chunk's mean: only numbers that are nearly
/// equal are subtracted, so that the result is as accurate as that of two passes, unlike sums of squares.
/// Fires for float values of one vector that are expensive to compute, can neither fail nor diverge, and
/// where the divisor is the vector's length. Cheap ones are computed again from the vector, which is faster.
/// Expects fused loops.
ir::Expr rewrite_moments(ir::Expr root, PassContext& context);

}  // namespace weld::passes
