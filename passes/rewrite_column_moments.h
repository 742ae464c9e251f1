#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Reads the rows of a matrix once for the sums of its columns, and for the squares of the columns' distances
/// from what is computed of these sums, such as means:
///
///   let sums = result(for(rows, vecmerger[f64,+](zeros), |b, i, row| for(row, b, |b, j, x| merge(b, {j,
///   x})))); let mean = … result(for(rows, vecmerger[f64,+](zeros), |b, i, row|
///     for(zip(row, mean), b, |b, j, e| merge(b, {j, (e.$0 - e.$1) * (e.$0 - e.$1)}))))
///
/// The loop of the sums gets two vecmergers more, for the distances d of the values from an origin and for
/// d * d. The origin is the mean of the first 64 rows, as d must not be large beside the deviations: then
///
///   Σ (x - m)² = Σ d² - s * (2 * Σ d - n * s)        where s = m - origin
///
/// Where the right side loses more than 6 bits for any column, in other words where the first rows are
/// unlike the others, or where it is no number, the original loop runs: the result is as accurate as that of
/// two passes, whatever the data. It also runs where a row is shorter than `mean`, which is its error.
/// Fires for float values of one vector a row, the same ones in both loops, in programs that are a chain of
/// lets; not where there are known to be few rows. Expects fused loops.
ir::Expr rewrite_column_moments(ir::Expr root, PassContext& context);

}  // namespace weld::passes
