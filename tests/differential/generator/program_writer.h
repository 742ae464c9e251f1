#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/arena.h"
#include "ir/fields.h"
#include "tests/differential/generator/program_generator.h"
#include "tests/differential/generator/random.h"

namespace weld::differential {

/// What the writers of random programs share: random types, small expressions, names in scope.
class ProgramWriter {
 protected:
  using BinaryOp = ir::BinaryOp;
  using Expr = ir::Expr;
  using Iterator = ir::Iterator;
  using MergeOp = ir::MergeOp;
  using ScalarKind = ir::ScalarKind;
  using Type = ir::Type;
  using UnaryOp = ir::UnaryOp;

  ProgramWriter(Random& random, ir::Arena& arena, Sums sums) : random_(random), arena_(arena), sums_(sums) {}

  // --- Types.
  ScalarKind scalar_kind() { return static_cast<ScalarKind>(random_.below(ir::kNumScalarKinds)); }
  ScalarKind numeric_kind() { return static_cast<ScalarKind>(random_.below(ir::kNumScalarKinds - 1)); }
  Type scalar();
  Type numeric() { return Type::scalar(numeric_kind()); }
  Type vec(Type element) { return arena_.vec(element); }
  Type structure(int depth, const std::function<Type(int)>& member);
  Type scalars();
  Type key_type(int depth);
  Type dict_type(int depth);
  // Without builders and simd.
  Type value_type(int depth);
  Type result_type();
  Type comparable_type(int depth);
  static bool holds_dict(Type type);
  static bool holds_float(Type type);
  Type annotated_parameter(Type type);

  // --- Small expressions.
  template <class T>
  Expr literal(T value) {
    return arena_.literal(value);
  }
  Expr i64(std::int64_t value) { return literal(value); }
  Expr binary(BinaryOp op, Expr left, Expr right) { return arena_.make<ir::Binary>({}, op, left, right); }
  Expr field(Expr structure, std::uint32_t index) { return arena_.make<ir::GetField>({}, structure, index); }
  Expr length(Expr vector) { return arena_.make<ir::Length>({}, vector); }
  Expr make_struct(std::vector<Expr> members) { return arena_.make<ir::MakeStruct>({}, members); }
  std::vector<ir::Annotation> numbers(
      std::initializer_list<std::pair<std::string_view, std::string_view>> entries);
  ir::Annotation word(std::string_view key, std::string_view value);
  template <class Body>
  Expr let(Expr bound, Body&& body) {
    const ir::Symbol symbol = arena_.fresh_symbol("x");
    const Expr ident = arena_.ident(symbol, bound.type());
    return arena_.make<ir::Let>({}, symbol, bound, body(ident));
  }
  // A lambda whose parameters that hold no builder are in scope in the body.
  template <class Body>
  Expr lambda(const std::vector<Type>& types, Body&& body) {
    std::vector<ir::Parameter> parameters;
    std::vector<Expr> uses;
    const std::size_t before = scope_.size();
    for (const Type type : types) {
      parameters.push_back({arena_.fresh_symbol("a"), type});
      uses.push_back(arena_.ident(parameters.back().symbol, type));
      if (!ir::contains_builder(type)) scope_.push_back(uses.back());
    }
    const Expr made = arena_.make<ir::Lambda>({}, parameters, body(uses));
    scope_.resize(before);
    return made;
  }
  std::optional<Expr> in_scope(Type type);
  bool may_fail() { return !infallible_; }
  // Something that fails at run time, now and then.
  bool risks() { return may_fail() && random_.chance(6); }
  Expr leaf(Type type);
  Expr string_literal();

  // --- Values of any type.
  static bool has_bool(Type type);

  // --- Scalars.
  BinaryOp arithmetic_op(ScalarKind kind);
  static bool divides(BinaryOp op, ScalarKind kind);

  // --- Structs.
  MergeOp merge_op() { return random_.chance(55) ? MergeOp::kAdd : static_cast<MergeOp>(random_.below(4)); }

  // --- Builders.
  Type element_of(const Iterator& it);
  // A name, or a field of one: may be used several times.
  static bool is_name(Expr expr);
  // Whether sums of values of that type may not be what is asked for.
  bool is_inexact(Type type) { return sums_ == Sums::kExact && holds_float(type); }
  // The value, or one near it of which sums and products are the same in any order, where that is asked for.
  Expr summand(Expr value, MergeOp op);

  static inline const Type kBool = Type::scalar(ScalarKind::kBool);
  static inline const Type kI64 = Type::scalar(ScalarKind::kI64);
  static inline const Type kI32 = Type::scalar(ScalarKind::kI32);
  static inline const Type kF64 = Type::scalar(ScalarKind::kF64);

  Random& random_;
  ir::Arena& arena_;
  const Sums sums_;
  std::vector<Expr> scope_;
  bool infallible_ = false;
};

}  // namespace weld::differential
