#include "parser/functions.h"

#include <unordered_map>

#include "ir/nodes.h"
#include "ir/printer.h"

namespace weld::parser {

const NamedFunction* find_function(std::string_view name) {
  static const std::unordered_map<std::string_view, NamedFunction> functions = [] {
    std::unordered_map<std::string_view, NamedFunction> named;
    const auto add = [&](std::string_view function, bool is_unary, int op) {
      named[function] = {function, is_unary, ir::is_keyword(function), static_cast<std::uint8_t>(op)};
    };
    for (int op = static_cast<int>(ir::UnaryOp::kExp); op < ir::kNumUnaryOps; ++op) {
      add(ir::op_name(static_cast<ir::UnaryOp>(op)), true, op);
    }
    for (int op = 0; op < ir::kNumBinaryOps; ++op) {
      const auto binary = static_cast<ir::BinaryOp>(op);
      if (!ir::is_infix(binary)) add(ir::op_name(binary), false, op);
    }
    return named;
  }();
  const auto found = functions.find(name);
  return found == functions.end() ? nullptr : &found->second;
}

}  // namespace weld::parser
