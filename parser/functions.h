#pragma once

#include <cstdint>
#include <string_view>

namespace weld::parser {

/// A function that is written like a call and is an operator in the IR: `exp(x)`, `min(a, b)`, `abs(x)`.
struct NamedFunction {
  std::string_view name;
  bool is_unary;
  bool is_keyword;  ///< else an ordinary name, which a program may bind
  std::uint8_t op;  ///< ir::UnaryOp or ir::BinaryOp
};

/// Null when there is none of that name.
const NamedFunction* find_function(std::string_view name);

}  // namespace weld::parser
