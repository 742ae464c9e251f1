#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Replaces a branch around merges into mergers by merges of selected values:
///
///   if(x > 0L, {merge(b.$0, x), merge(b.$1, 1L)}, b)
///   becomes
///   let c = x > 0L; {merge(b.$0, select(c, x, 0L)), merge(b.$1, select(c, 1L, 0L))}
///
/// so that scalar loops have no branch to mispredict. The identity is merged instead, which leaves what a
/// block of a loop adds up as it is, to the bit (ir/reduction_order.h); both sides may merge, each into
/// builders of its own. Also replaces `if` by `select` where both values are so cheap that branching costs
/// more.
///
/// Fires where what would be evaluated in vain can neither fail nor diverge and costs less than the branch
/// does (expression_cost.h), or as `predicate:true|false` on the branch says; never for the other builders:
/// an appender would keep the identity as an element, a dictmerger its key, and the index of a vecmerger may
/// be out of range. Sums of floats outside of a loop stay branches: a held -0.0 would become +0.0.
ir::Expr predicate_merges(ir::Expr root, PassContext& context);

}  // namespace weld::passes
