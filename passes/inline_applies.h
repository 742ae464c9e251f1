#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Replaces calls by the body of the function, the arguments bound by `let`:
///
///   let f = |x| x * x; f(a + 1L)    becomes    let x = a + 1L; x * x
///
/// Every call has its own copy of the function, with symbols of its own. Afterwards there is no Apply and no
/// function bound by a `let`.
ir::Expr inline_applies(ir::Expr root, PassContext& context);

}  // namespace weld::passes
