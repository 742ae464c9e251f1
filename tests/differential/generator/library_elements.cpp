#include <algorithm>

#include "tests/differential/generator/library_generator.h"
#include "tests/differential/generator/random_values.h"

namespace weld::differential {

using ir::BinaryOp;
using ir::Expr;
using ir::ScalarKind;
using ir::Type;
using ir::UnaryOp;

Type LibraryGenerator::element_type() {
  const auto number = [&] {
    static constexpr ScalarKind kCommon[] = {ScalarKind::kF64, ScalarKind::kI64, ScalarKind::kI32,
                                             ScalarKind::kF32};
    return Type::scalar(random_.chance(75) ? random_.pick(kCommon) : scalar_kind());
  };
  if (!random_.chance(12)) return number();
  std::vector<Type> members;
  do members.push_back(random_.chance(8) ? vec(Type::scalar(ScalarKind::kI8)) : number());
  while (members.size() < 2 || random_.chance(35));
  return arena_.structure(std::span<const Type>(members));
}

Expr LibraryGenerator::element(Type type, int budget) {
  if (const auto* scalar = type.as<ir::ScalarType>()) return scalar_of(scalar->kind, budget);
  const auto* structure = type.as<ir::StructType>();
  if (!structure) return leaf(type);
  if (random_.chance(25)) {
    if (const auto ident = in_scope(type)) return *ident;
  }
  if (budget > 4 && random_.chance(15)) {
    return arena_.make<ir::If>({}, condition(budget / 3), element(type, budget / 3),
                               element(type, budget / 3));
  }
  std::vector<Expr> members;
  const int share = budget / static_cast<int>(std::max<std::size_t>(1, structure->members.size()));
  for (const Type member : structure->members) members.push_back(element(member, share));
  return make_struct(members);
}

// A name of that kind, one of another kind cast to it, or a literal.
Expr LibraryGenerator::leaf_of(ScalarKind kind) {
  if (row_here_ && kind == ScalarKind::kI64 && random_.chance(15)) return row_here_;
  if (random_.chance(75)) {
    if (const auto ident = in_scope(Type::scalar(kind))) return *ident;
  }
  if (random_.chance(60)) {
    if (const auto ident = in_scope(Type::scalar(scalar_kind())))
      return arena_.make<ir::Cast>({}, kind, *ident);
  }
  return literal(random_scalar(random_, kind));
}

Expr LibraryGenerator::condition(int budget) {
  if (budget > 6 && random_.chance(40)) {
    // Conjuncts and disjuncts, of which later ones may fail where earlier ones are false.
    Expr made = condition(budget / 3);
    const auto op = random_.chance(75) ? BinaryOp::kLogicalAnd : BinaryOp::kLogicalOr;
    const std::size_t more = 1 + random_.below(3);
    for (std::size_t i = 0; i < more; ++i) made = binary(op, made, condition(budget / 4));
    return made;
  }
  if (random_.chance(10)) {
    if (const auto text = in_scope(vec(Type::scalar(ScalarKind::kI8)))) {
      const auto op = random_.chance(60) ? BinaryOp::kEq : BinaryOp::kLt;
      return binary(op, *text, string_literal());
    }
  }
  return scalar_of(ScalarKind::kBool, std::max(2, budget));
}

Expr LibraryGenerator::scalar_of(ScalarKind kind, int budget) {
  if (budget <= 1) return leaf_of(kind);
  const auto part = [&] { return scalar_of(kind, budget / 2); };
  const std::size_t choice = random_.below(100);
  if (choice < 12) return arena_.make<ir::Cast>({}, kind, scalar_of(scalar_kind(), budget - 1));
  if (choice < 18) return leaf_of(kind);
  if (choice < 25) return arena_.make<ir::Select>({}, condition(budget / 3), part(), part());
  if (choice < 32) {
    const Expr branch = arena_.make<ir::If>({}, condition(budget / 3), part(), part());
    if (!random_.chance(15)) return branch;
    const std::vector<ir::Annotation> annotations{word("predicate", random_.chance(50) ? "true" : "false")};
    return arena_.with_annotations(branch, annotations);
  }
  if (choice < 38) {
    return let(element(element_type(), budget / 3), [&](Expr ident) {
      scope_.push_back(ident);
      const Expr body = scalar_of(kind, budget * 2 / 3);
      scope_.pop_back();
      return body;
    });
  }
  if (choice < 44) return looked_up(kind, budget);
  if (choice < 47) return checked(part(), budget);
  if (choice < 49 && loop_depth_ < 2) return inner_reduction(kind, budget);
  if (choice < 51) return field(make_struct({scalar_of(scalar_kind(), budget / 3), part()}), 1);
  if (kind == ScalarKind::kBool) {
    if (choice < 58) return arena_.make<ir::Unary>({}, UnaryOp::kNot, part());
    if (choice < 66) {
      static constexpr BinaryOp kOps[] = {BinaryOp::kLogicalAnd, BinaryOp::kLogicalOr, BinaryOp::kBitAnd,
                                          BinaryOp::kBitOr, BinaryOp::kXor};
      return binary(random_.pick(kOps), part(), part());
    }
    const ScalarKind of = scalar_kind();
    const auto op =
        static_cast<BinaryOp>(static_cast<int>(BinaryOp::kEq) + static_cast<int>(random_.below(6)));
    return binary(op, scalar_of(of, budget / 2), scalar_of(of, budget / 2));
  }
  if (choice < 60) {
    static constexpr UnaryOp kAny[] = {UnaryOp::kNeg, UnaryOp::kAbs, UnaryOp::kSign};
    UnaryOp op = random_.pick(kAny);
    if (ir::is_float(kind) && random_.chance(70)) {
      op = static_cast<UnaryOp>(static_cast<int>(UnaryOp::kExp) +
                                static_cast<int>(random_.below(ir::kNumUnaryOps - 3)));
      if (op == UnaryOp::kIsNan) op = UnaryOp::kSqrt;
    }
    return arena_.make<ir::Unary>({}, op, part());
  }
  if (ir::is_integer(kind) && choice < 66) return guarded_division(kind, budget);
  const BinaryOp op = arithmetic_op(kind);
  Expr right = part();
  if (divides(op, kind) && !risks())
    right = binary(BinaryOp::kBitOr, right, arena_.make<ir::Cast>({}, kind, i64(1)));
  return binary(op, part(), right);
}

// Fails nowhere, but would where the branch is not taken.
Expr LibraryGenerator::guarded_division(ScalarKind kind, int budget) {
  return let(scalar_of(kind, budget / 2), [&](Expr divisor) {
    const auto op = random_.chance(50) ? BinaryOp::kDiv : BinaryOp::kRem;
    const Expr zero = arena_.literal(ir::ScalarValue{kind, 0});
    const Expr quotient = binary(op, scalar_of(kind, budget / 3), divisor);
    const Expr holds = binary(BinaryOp::kNe, divisor, zero);
    if (random_.chance(30)) {
      const Expr even = binary(BinaryOp::kLogicalAnd, holds, binary(BinaryOp::kGt, quotient, zero));
      return arena_.make<ir::If>({}, even, leaf_of(kind), leaf_of(kind));
    }
    return arena_.make<ir::If>({}, holds, quotient, leaf_of(kind));
  });
}

// The value after an assertion that holds, mostly; in a branch that is rarely taken, sometimes.
Expr LibraryGenerator::checked(Expr value, int budget) {
  if (!may_fail()) return value;
  const Expr condition_or_true =
      risks() ? condition(budget / 3) : binary(BinaryOp::kLogicalOr, condition(budget / 3), literal(true));
  const Expr check = arena_.make<ir::Assert>({}, condition_or_true);
  const Expr rarely =
      random_.chance(50) ? check : arena_.make<ir::If>({}, condition(budget / 4), check, literal(true));
  const Expr zero = zero_expression(arena_, value.type());
  return arena_.make<ir::If>({}, rarely, value, zero);
}

// An element of a column: of this row, or of any in range; or what a dictionary has for a key.
Expr LibraryGenerator::looked_up(ScalarKind kind, int budget) {
  const Type type = Type::scalar(kind);
  if (row_here_ && random_.chance(50)) {
    const auto same_rows = column_where([&](const Column& column) {
      return column.rows == rows_here_ && column.vector.type().as<ir::VecType>()->element == type;
    });
    if (same_rows) return arena_.make<ir::Lookup>({}, same_rows->vector, row_here_);
  }
  if (random_.chance(40)) {
    for (const Expr value : values_) {
      const auto* dict = value.type().as<ir::DictType>();
      if (!dict || dict->value != type || !dict->key.as<ir::ScalarType>()) continue;
      return let(scalar_of(ir::element_kind(dict->key), budget / 3), [&](Expr key) {
        if (random_.chance(50)) return field(arena_.make<ir::OptLookup>({}, value, key), 1);
        const Expr found = arena_.make<ir::Lookup>({}, value, key);
        if (risks()) return found;
        return arena_.make<ir::If>({}, arena_.make<ir::KeyExists>({}, value, key), found, leaf_of(kind));
      });
    }
  }
  const auto any = column_where(
      [&](const Column& column) { return column.vector.type().as<ir::VecType>()->element == type; });
  if (!any || !may_fail()) return leaf_of(kind);
  const Expr size = length(any->vector);
  if (risks()) return arena_.make<ir::Lookup>({}, any->vector, scalar_of(ScalarKind::kI64, budget / 3));
  return let(scalar_of(ScalarKind::kI64, budget / 3), [&](Expr index) {
    if (random_.chance(50)) {
      const Expr in_range = binary(BinaryOp::kLogicalAnd, binary(BinaryOp::kGe, index, i64(0)),
                                   binary(BinaryOp::kLt, index, size));
      return arena_.make<ir::If>({}, in_range, arena_.make<ir::Lookup>({}, any->vector, index),
                                 leaf_of(kind));
    }
    const Expr wrapped = binary(
        BinaryOp::kRem, arena_.make<ir::Unary>({}, UnaryOp::kAbs, binary(BinaryOp::kRem, index, size)), size);
    return arena_.make<ir::If>({}, binary(BinaryOp::kGt, size, i64(0)),
                               arena_.make<ir::Lookup>({}, any->vector, wrapped), leaf_of(kind));
  });
}

// A reduction of a column, within a loop or outside of any.
Expr LibraryGenerator::inner_reduction(ScalarKind kind, int budget) {
  if (kind == ScalarKind::kBool || columns_.empty()) return leaf_of(kind);
  const Type builder = arena_.merger(Type::scalar(kind), merge_op());
  const Source over = source();
  return arena_.make<ir::Result>(
      {}, loop(over, new_builder(builder), [&](Expr inner, Expr) { return merges(inner, budget / 2); }));
}

}  // namespace weld::differential
