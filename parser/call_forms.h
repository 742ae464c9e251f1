#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "ir/nodes.h"

namespace weld::parser {

/// `keyword(a, b, …)`: the notation of every node whose fields are all expressions, derived from ir/nodes.h.
struct CallForm {
  std::string_view keyword;
  std::size_t arity;
  std::size_t node_index;  ///< of the alternative of ir::Node
  ir::Node (*make)(std::span<const ir::Expr> parts);
};

/// All forms; several may share a keyword.
std::span<const CallForm> call_forms();

}  // namespace weld::parser
