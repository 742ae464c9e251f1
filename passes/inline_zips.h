#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Replaces a zip that a loop walks over by one iterator per vector:
///
///   for(zip(a, b), merger[i64,+], |m, i, e| …)    becomes    the same loop with the iterators a and b
///
/// where `zip(a, b)` is a value before and two iterators afterwards. Where it is one of several iterators, or
/// is nested in another zip, fields of the element are renumbered. Any other zip, one with bounds included
/// (its vectors must agree in length beyond them), becomes a loop that appends structs. Afterwards there is
/// no Zip.
ir::Expr inline_zips(ir::Expr root, PassContext& context);

}  // namespace weld::passes
