#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Replaces arithmetic by less of it, where that is exact for every input:
///
///   (x + 2L) + 3L == 7L    becomes    x == 2L
///   y / 8u                 becomes    y >> 3u
///   f64(i64(i))            becomes    f64(i), where i is an i32
///
/// The identities are those of algebra_rules.h, each proved in a test, and compositions of casts. Constants
/// go to the right of what commutes. Operands that may fail or diverge are neither dropped nor reordered
/// against each other. Expects inlined lets: a name is not looked through.
ir::Expr simplify_algebra(ir::Expr root, PassContext& context);

}  // namespace weld::passes
