#pragma once

#include "parser/expansion.h"

namespace weld::parser {

/// Makes the nodes of an expanded program, whose types are settled; every node is checked as it is made.
/// What cannot be made is reported and left out, with all that it is part of.
///
/// Errors   added to `diagnostics`; types that could not be inferred only if nothing else is wrong. UserError
///          (BudgetExceeded) from the arena.
/// Returns  null if anything was reported, now or before.
/// Memory   nothing recurses over the depth of the program.
ir::Expr elaborate(const Expanded& expanded, ir::Arena& arena, Unifier& types, Diagnostics& diagnostics);

}  // namespace weld::parser
