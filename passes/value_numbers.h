#pragma once

#include <cstdint>
#include <unordered_map>

#include "ir/fields.h"

namespace weld::passes {

/// Stands for a value: equal for expressions that compute the same, up to the names of what they bind.
struct ValueNumber {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const ValueNumber&) const = default;
};

struct ValueNumberHash {
  std::size_t operator()(const ValueNumber& number) const { return number.low; }
};

/// Numbers values by 128 bits of hash.
class ValueNumbering {
 public:
  /// From here on a use of the symbol has that number. Other symbols stand for themselves.
  void bind(ir::Symbol symbol, ValueNumber number) { symbols_[symbol.id()] = number; }

  ValueNumber of_symbol(ir::Symbol symbol) const;

  /// Of an expression, given those of its parts in their order. Functions are looked into instead: linear in
  /// the size of the expression if it has any.
  template <class NumberOfPart>
  ValueNumber of(ir::Expr expr, NumberOfPart&& number_of_part) const;

 private:
  static void add(ValueNumber& hash, std::uint64_t value) {
    hash.low = (hash.low ^ value) * 0x9e3779b97f4a7c15u;
    hash.low ^= hash.low >> 29;
    hash.high = (hash.high + value) * 0xbf58476d1ce4e5b9u + hash.low;
    hash.high ^= hash.high >> 32;
  }
  static void add(ValueNumber& hash, const ValueNumber& number) {
    add(hash, number.low);
    add(hash, number.high);
  }
  static ValueNumber of_node(ir::Expr expr);
  ValueNumber of_closed(ir::Expr expr) const;

  std::unordered_map<std::uint64_t, ValueNumber> symbols_;
};

template <class NumberOfPart>
ValueNumber ValueNumbering::of(ir::Expr expr, NumberOfPart&& number_of_part) const {
  if (const auto* ident = expr.as<ir::Ident>()) return of_symbol(ident->symbol);
  bool has_function = false;
  ir::for_each_child(expr, [&](ir::Expr part) { has_function |= part.is<ir::Lambda>(); });
  if (has_function) return of_closed(expr);
  ValueNumber number = of_node(expr);
  ir::for_each_child(expr, [&](ir::Expr part) { add(number, number_of_part(part)); });
  return number;
}

}  // namespace weld::passes
