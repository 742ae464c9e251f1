#pragma once

#include "ir/nodes.h"

namespace weld::ir {

/// The effects of a node, from those of its parts (which are already computed).
Effects infer_effects(const Node& node, Annotations annotations);

/// True when evaluating may end the run with an error, loop for ever, or act on the outside: such an
/// expression is never evaluated where the program would not have evaluated it (DESIGN.md §4).
inline bool may_fail_or_diverge(Expr expr) {
  return any(expr.effects() & (Effects::kMayFail | Effects::kMayDiverge | Effects::kForeign));
}

/// True when dropping or repeating the expression cannot be noticed: no error, no divergence, no foreign
/// call, no builder consumed.
inline bool is_pure(Expr expr) {
  return !may_fail_or_diverge(expr) && !any(expr.effects() & Effects::kMerges);
}

}  // namespace weld::ir
