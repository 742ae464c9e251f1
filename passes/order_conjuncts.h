#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Puts the parts of a condition into the order that costs least:
///
///   if(contains(name, "x") && year > 1990L && i8 == 3c, …)
///   becomes
///   if(i8 == 3c & year > 1990L && contains(name, "x"), …)
///
/// A part is the better first the less it costs for the share of evaluations that it decides (what ends the
/// condition is skipped by the others). Shares come from `branch_selectivity:x` on the part, else from its
/// form. Parts of equal rank keep their order. Parts that can fail, diverge or act on the outside stay where
/// they are, and nothing moves across them.
///
/// Where the part on the right is so cheap that branching costs more than evaluating it, and cannot fail,
/// `&&` becomes `&` and `||` becomes `|`.
ir::Expr order_conjuncts(ir::Expr root, PassContext& context);

}  // namespace weld::passes
