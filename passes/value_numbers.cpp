#include "passes/value_numbers.h"

#include <algorithm>
#include <string_view>
#include <type_traits>
#include <vector>

namespace weld::passes {
namespace {

std::uint64_t number_of(std::string_view text) {
  return std::hash<std::string_view>{}(text);
}

std::uint64_t number_of(ir::Annotations annotations) {
  std::uint64_t number = annotations.size();
  for (const ir::Annotation& annotation : annotations) {
    number = number * 31 + number_of(annotation.key);
    number = number * 31 + number_of(annotation.value) + static_cast<std::uint64_t>(annotation.kind);
  }
  return number;
}

// Of the fields that are neither expressions nor symbols.
template <class T>
std::uint64_t number_of_field(const T& field) {
  if constexpr (std::is_same_v<T, ir::ScalarValue>) {
    return field.bits;  // the kind is in the type of the expression
  } else if constexpr (std::is_same_v<T, std::string_view>) {
    return number_of(field);
  } else if constexpr (std::is_same_v<T, ir::Type>) {
    return field ? field.hash() * 31 + number_of(field.annotations()) : 0;
  } else if constexpr (std::is_same_v<T, ir::Expr>) {
    return field ? 1 : 0;
  } else if constexpr (std::is_same_v<T, std::span<const ir::Expr>>) {
    return field.size();
  } else if constexpr (std::is_same_v<T, std::span<const ir::Iterator>>) {
    std::uint64_t number = field.size();
    for (const ir::Iterator& it : field) {
      number = number * 8 + static_cast<std::uint64_t>(it.kind);
      number = number * 8 + (it.start ? 1 : 0) + (it.shape ? 2 : 0);
    }
    return number;
  } else if constexpr (std::is_same_v<T, std::span<const ir::Parameter>>) {
    std::uint64_t number = field.size();
    for (const ir::Parameter& parameter : field) number = number * 31 + parameter.type.hash();
    return number;
  } else if constexpr (std::is_enum_v<T> || std::is_integral_v<T>) {
    return static_cast<std::uint64_t>(field);
  } else {
    static_assert(std::is_same_v<T, ir::Symbol>);
    return 0;
  }
}

}  // namespace

ValueNumber ValueNumbering::of_symbol(ir::Symbol symbol) const {
  const auto found = symbols_.find(symbol.id());
  if (found != symbols_.end()) return found->second;
  ValueNumber number{.low = 1, .high = 2};
  add(number, symbol.id());
  return number;
}

ValueNumber ValueNumbering::of_node(ir::Expr expr) {
  ValueNumber number;
  add(number, expr.record().node.index());
  add(number, expr.type().hash());
  add(number, number_of(expr.annotations()));
  std::visit(
      [&](const auto& node) {
        std::apply(
            [&](const auto&... field) {
              (add(number, number_of_field<std::remove_cvref_t<decltype(field)>>(field)), ...);
            },
            std::remove_cvref_t<decltype(node)>::fields(node));
      },
      expr.record().node);
  return number;
}

// Symbols that are bound inside count by their order.
ValueNumber ValueNumbering::of_closed(ir::Expr root) const {
  ValueNumber number;
  std::unordered_map<std::uint64_t, std::uint64_t> bound;
  const auto bind = [&](ir::Symbol symbol) { bound.emplace(symbol.id(), bound.size()); };
  std::vector<ir::Expr> pending{root};
  while (!pending.empty()) {
    const ir::Expr expr = pending.back();
    pending.pop_back();
    if (const auto* ident = expr.as<ir::Ident>()) {
      const auto found = bound.find(ident->symbol.id());
      if (found == bound.end()) {
        add(number, of_symbol(ident->symbol));
      } else {
        add(number, 3);
        add(number, found->second);
      }
      continue;
    }
    add(number, of_node(expr));
    if (const auto* let = expr.as<ir::Let>()) bind(let->symbol);
    if (const auto* lambda = expr.as<ir::Lambda>()) {
      for (const ir::Parameter& parameter : lambda->parameters) bind(parameter.symbol);
    }
    const auto first = static_cast<std::ptrdiff_t>(pending.size());
    ir::for_each_child(expr, [&](ir::Expr part) { pending.push_back(part); });
    std::reverse(pending.begin() + first, pending.end());
  }
  return number;
}

}  // namespace weld::passes
