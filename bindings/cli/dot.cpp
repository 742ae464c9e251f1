#include "bindings/cli/dot.h"

#include <fmt/format.h>

#include <unordered_map>

#include "ir/fields.h"
#include "ir/printer.h"

namespace weld::cli {
namespace {

struct Label {
  template <class N>
  std::string operator()(const N& node) const {
    if constexpr (requires { N::kKeyword; }) {
      return std::string(N::kKeyword);
    } else {
      return name_of(node);
    }
  }

  static std::string name_of(const ir::Ident& node) { return std::string(node.symbol.name()); }
  static std::string name_of(const ir::Let& node) { return fmt::format("let {}", node.symbol.name()); }
  static std::string name_of(const ir::Lambda& node) {
    std::string names;
    for (const ir::Parameter& parameter : node.parameters) {
      names += fmt::format("{}{}", names.empty() ? "" : ", ", parameter.symbol.name());
    }
    return fmt::format("|{}|", names);
  }
  static std::string name_of(const ir::Apply&) { return "call"; }
  static std::string name_of(const ir::Cast& node) { return std::string(ir::scalar_name(node.kind)); }
  static std::string name_of(const ir::Unary& node) { return std::string(ir::op_name(node.op)); }
  static std::string name_of(const ir::Binary& node) { return std::string(ir::op_name(node.op)); }
  static std::string name_of(const ir::MakeStruct&) { return "{ }"; }
  static std::string name_of(const ir::MakeVector&) { return "[ ]"; }
  static std::string name_of(const ir::GetField& node) { return fmt::format(".${}", node.index); }
  static std::string name_of(const ir::Broadcast&) { return "broadcast"; }
  static std::string name_of(const ir::Deserialize&) { return "deserialize"; }
  static std::string name_of(const ir::ForeignCall& node) { return fmt::format("cudf {}", node.name); }
  static std::string name_of(const ir::For&) { return "for"; }
  static std::string name_of(const ir::NewBuilder& node) { return ir::to_string(node.builder); }
  static std::string name_of(const ir::Literal& node) {
    ir::Arena arena;
    return ir::print(arena.literal(node.value));
  }
  static std::string name_of(const ir::StringLiteral& node) {
    ir::Arena arena;
    return ir::print(arena.make<ir::StringLiteral>({}, node.bytes));
  }
};

std::string quoted(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '"' || c == '\\') escaped.push_back('\\');
    escaped.push_back(c == '\n' ? ' ' : c);
  }
  return escaped;
}

}  // namespace

std::string to_dot(ir::Expr program) {
  std::unordered_map<const ir::ExprRecord*, std::size_t> numbers;
  std::unordered_map<std::uint64_t, std::size_t> binders;
  std::string edges;
  std::string text = "digraph weld {\n  node [shape=box, fontname=\"monospace\"];\n";
  ir::for_each_node(program, [&](ir::Expr expr) {
    const std::size_t number = numbers.size();
    numbers.emplace(expr.get(), number);
    const std::string label = std::visit(Label{}, expr.record().node);
    text += fmt::format("  n{} [label=\"{}\\n{}\"];\n", number, quoted(label),
                        quoted(ir::to_string(expr.type())));
    if (const auto* let = expr.as<ir::Let>()) binders[let->symbol.id()] = number;
    if (const auto* lambda = expr.as<ir::Lambda>()) {
      for (const ir::Parameter& parameter : lambda->parameters) binders[parameter.symbol.id()] = number;
    }
  });
  ir::for_each_node(program, [&](ir::Expr expr) {
    const std::size_t number = numbers.at(expr.get());
    ir::for_each_child(expr, [&](ir::Expr part) {
      edges += fmt::format("  n{} -> n{};\n", number, numbers.at(part.get()));
    });
    const auto* ident = expr.as<ir::Ident>();
    const auto binder = ident ? binders.find(ident->symbol.id()) : binders.end();
    if (binder != binders.end()) {
      edges += fmt::format("  n{} -> n{} [style=dashed, constraint=false];\n", number, binder->second);
    }
  });
  return text + edges + "}\n";
}

}  // namespace weld::cli
