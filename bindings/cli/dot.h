#pragma once

#include <string>

#include "ir/expr.h"

namespace weld::cli {

/// The program as a graph in the language of Graphviz: a node for each expression, edges to its parts in the
/// order of evaluation, dashed ones from uses of names to where they are bound.
std::string to_dot(ir::Expr program);

}  // namespace weld::cli
