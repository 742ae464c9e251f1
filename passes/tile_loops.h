#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Does several iterations of a loop at a time whose work is one inner reduction each (matrix times vector,
/// matrix times matrix, pairwise interactions), with one inner loop for all of them:
///
///   for(rows, appender, |b, i, row| merge(b, result(for(zip(row, x), merger[f64,+], |m, j, e| merge(m, e.$0
///   * e.$1)))))
///
/// becomes, for rows four at a time,
///
///   for(iter(rows, len(rows) & -4L, len(rows), 1L),      # the rest of the rows, as before
///     @(tile_size:4) for(rangeiter(0L, len(rows) & -4L, 4L), appender, |b, i, first|
///       let row = lookup(rows, first); let row2 = lookup(rows, first + 1L); …
///       let r = result(for(zip(row, x, row2, …), {merger[f64,+], merger[f64,+], …},
///         |m, j, e| {merge(m.$0, e.$0 * e.$1), merge(m.$1, e.$2 * e.$1), …}));
///       let b2 = merge(b, r.$0); let b3 = merge(b2, r.$1); …),
///     |b, i, row| …)
///
/// so that x is loaded once for four rows, and four sums overlap that would each wait for their last
/// addition. Every sum adds the same values in the same order. Fires where the inner loop walks over a vector
/// that is the same for all rows (which makes their lengths equal), its arithmetic is little beside its
/// loads, the sums fit in the registers, and no builder of the outer loop depends on the order of float
/// additions, which goes by its blocks. `tile_size:n` on the loop asks for n rows at a time, up to 8; 1
/// leaves the loop alone.
ir::Expr tile_loops(ir::Expr root, PassContext& context);

}  // namespace weld::passes
