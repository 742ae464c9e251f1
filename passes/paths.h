#pragma once

#include "ir/nodes.h"

namespace weld::passes {

/// A name, or a field of one, of a field of one, …: what costs nothing to write down again.
inline bool is_path(ir::Expr expr) {
  while (const auto* field = expr.as<ir::GetField>()) expr = field->value;
  return expr.is<ir::Ident>();
}

}  // namespace weld::passes
