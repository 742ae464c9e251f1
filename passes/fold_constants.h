#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Computes what is known at compile time, with the results of run time to the bit:
///
///   let n = 2L * 3L; if(n > 5L, x + n, y)    becomes    x + 6L
///
/// Operators and casts of literals, branches whose condition is a literal, fields of struct literals, and
/// lengths and elements of vector literals. What would fail (`1 / 0`, `lookup([1], 5L)`) stays and fails at
/// run time, and parts that may fail are never dropped, except in the branch that is not taken.
ir::Expr fold_constants(ir::Expr root, PassContext& context);

}  // namespace weld::passes
