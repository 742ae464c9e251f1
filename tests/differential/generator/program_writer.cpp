#include "tests/differential/generator/program_writer.h"

#include <algorithm>

#include "tests/differential/generator/random_values.h"

namespace weld::differential {

using ir::BinaryOp;
using ir::Expr;
using ir::Iterator;
using ir::IteratorKind;
using ir::MergeOp;
using ir::ScalarKind;
using ir::Type;

Type ProgramWriter::scalar() {
  return random_.chance(40) ? (random_.chance(50) ? kI64 : Type::scalar(ScalarKind::kF64))
                            : Type::scalar(scalar_kind());
}

Type ProgramWriter::structure(int depth, const std::function<Type(int)>& member) {
  std::vector<Type> members;
  const std::size_t count = random_.chance(5) ? 0 : 1 + random_.below(3);
  for (std::size_t i = 0; i < count; ++i) members.push_back(member(depth - 1));
  return arena_.structure(std::span<const Type>(members));
}

Type ProgramWriter::scalars() {
  if (random_.chance(75)) return numeric();
  std::vector<Type> members{numeric()};
  while (random_.chance(40)) members.push_back(numeric());
  return arena_.structure(std::span<const Type>(members));
}

Type ProgramWriter::key_type(int depth) {
  if (depth == 0 || random_.chance(60)) return scalar();
  if (random_.chance(50))
    return vec(random_.chance(50) ? Type::scalar(ScalarKind::kI8) : key_type(depth - 1));
  return structure(depth, [&](int rest) { return key_type(rest); });
}

Type ProgramWriter::dict_type(int depth) {
  const Type key = key_type(std::min(depth, 2));
  return arena_.dict(key, random_.chance(50) ? scalars() : vec(value_type(std::max(0, depth - 2))));
}

Type ProgramWriter::value_type(int depth) {
  if (depth == 0 || random_.chance(45)) return scalar();
  switch (random_.below(5)) {
    case 0:
    case 1:
      return vec(value_type(depth - 1));
    case 2:
      return vec(Type::scalar(ScalarKind::kI8));
    case 3:
      return depth > 1 && random_.chance(40) ? dict_type(depth - 1) : scalar();
    default:
      return structure(depth, [&](int rest) { return value_type(rest); });
  }
}

Type ProgramWriter::result_type() {
  if (random_.chance(30)) return structure(3, [&](int rest) { return value_type(rest); });
  return random_.chance(50) ? vec(value_type(2)) : value_type(3);
}

Type ProgramWriter::comparable_type(int depth) {
  if (depth == 0 || random_.chance(60)) return scalar();
  if (random_.chance(60)) return vec(comparable_type(depth - 1));
  return structure(depth, [&](int rest) { return comparable_type(rest); });
}

bool ProgramWriter::holds_dict(Type type) {
  if (type.as<ir::DictType>()) return true;
  if (const auto* inner = type.as<ir::VecType>()) return holds_dict(inner->element);
  const auto* structure = type.as<ir::StructType>();
  return structure && std::ranges::any_of(structure->members, holds_dict);
}

bool ProgramWriter::holds_float(Type type) {
  if (const auto* scalar = type.as<ir::ScalarType>()) return ir::is_float(scalar->kind);
  if (const auto* inner = type.as<ir::VecType>()) return holds_float(inner->element);
  const auto* structure = type.as<ir::StructType>();
  return structure && std::ranges::any_of(structure->members, holds_float);
}

Type ProgramWriter::annotated_parameter(Type type) {
  if (!random_.chance(10)) return type;
  return arena_.with_annotations(type, numbers({{"min", "0"}, {"max", "10"}}));
}

std::vector<ir::Annotation> ProgramWriter::numbers(
    std::initializer_list<std::pair<std::string_view, std::string_view>> entries) {
  std::vector<ir::Annotation> annotations;
  for (const auto& [key, number] : entries) {
    annotations.push_back({arena_.keep(key), ir::Annotation::Kind::kNumber, arena_.keep(number)});
  }
  return annotations;
}

ir::Annotation ProgramWriter::word(std::string_view key, std::string_view value) {
  return {arena_.keep(key), ir::Annotation::Kind::kWord, arena_.keep(value)};
}

std::optional<Expr> ProgramWriter::in_scope(Type type) {
  std::vector<Expr> found;
  for (const Expr ident : scope_) {
    if (ident.type() == type) found.push_back(ident);
    const auto* structure = ident.type().as<ir::StructType>();
    for (std::uint32_t i = 0; structure && i < structure->members.size(); ++i) {
      if (structure->members[i] == type) found.push_back(field(ident, i));
    }
  }
  if (found.empty()) return std::nullopt;
  return random_.pick(found);
}

Expr ProgramWriter::leaf(Type type) {
  if (random_.chance(75)) {
    if (const auto ident = in_scope(type)) return *ident;
  }
  if (const auto* scalar = type.as<ir::ScalarType>()) return literal(random_scalar(random_, scalar->kind));
  if (const auto* inner = type.as<ir::VecType>()) {
    if (ir::is_scalar(inner->element, ScalarKind::kI8) && random_.chance(60)) return string_literal();
    std::vector<Expr> elements;
    while (random_.chance(55)) elements.push_back(leaf(inner->element));
    return arena_.make<ir::MakeVector>({}, elements, inner->element);
  }
  if (const auto* structure = type.as<ir::StructType>()) {
    std::vector<Expr> members;
    for (const Type member : structure->members) members.push_back(leaf(member));
    return make_struct(members);
  }
  return zero_expression(arena_, type);
}

Expr ProgramWriter::string_literal() {
  static constexpr std::string_view kTexts[] = {
      "", "a", "b", "ab", std::string_view("a\0b", 3), "\xc3\xa4", "a longer text than most"};
  return arena_.make<ir::StringLiteral>({}, arena_.keep(random_.pick(kTexts)));
}

bool ProgramWriter::has_bool(Type type) {
  const auto* structure = type.as<ir::StructType>();
  return structure && std::ranges::any_of(structure->members, [](Type member) {
           return ir::is_scalar(member, ScalarKind::kBool);
         });
}

BinaryOp ProgramWriter::arithmetic_op(ScalarKind kind) {
  static constexpr BinaryOp kNumeric[] = {BinaryOp::kAdd, BinaryOp::kSub, BinaryOp::kMul, BinaryOp::kDiv,
                                          BinaryOp::kRem, BinaryOp::kMin, BinaryOp::kMax};
  static constexpr BinaryOp kBits[] = {BinaryOp::kBitAnd, BinaryOp::kBitOr, BinaryOp::kXor};
  static constexpr BinaryOp kShifts[] = {BinaryOp::kShl, BinaryOp::kShr};
  static constexpr BinaryOp kFloat[] = {BinaryOp::kPow, BinaryOp::kAtan2, BinaryOp::kHypot};
  if (kind == ScalarKind::kBool) return random_.pick(kBits);
  if (ir::is_integer(kind) && random_.chance(25))
    return random_.chance(60) ? random_.pick(kBits) : random_.pick(kShifts);
  if (ir::is_float(kind) && random_.chance(15)) return random_.pick(kFloat);
  return random_.pick(kNumeric);
}

bool ProgramWriter::divides(BinaryOp op, ScalarKind kind) {
  return ir::is_integer(kind) && (op == BinaryOp::kDiv || op == BinaryOp::kRem);
}

Type ProgramWriter::element_of(const Iterator& it) {
  if (it.kind == IteratorKind::kRange) return kI64;
  const Type element = it.data.type().as<ir::VecType>()->element;
  return it.kind == IteratorKind::kSimd ? arena_.simd(ir::element_kind(element)) : element;
}

bool ProgramWriter::is_name(Expr expr) {
  while (const auto* field = expr.as<ir::GetField>()) expr = field->value;
  return expr.is<ir::Ident>();
}

Expr ProgramWriter::summand(Expr value, MergeOp op) {
  const Type type = value.type();
  if (sums_ == Sums::kAny || (op != MergeOp::kAdd && op != MergeOp::kMul) || !holds_float(type)) return value;
  if (const auto* structure = type.as<ir::StructType>()) {
    if (!is_name(value)) return let(value, [&](Expr ident) { return summand(ident, op); });
    std::vector<Expr> members;
    for (std::uint32_t i = 0; i < structure->members.size(); ++i)
      members.push_back(summand(field(value, i), op));
    return make_struct(members);
  }
  if (op == MergeOp::kMul) return arena_.make<ir::Unary>({}, ir::UnaryOp::kSign, value);
  const ScalarKind kind = ir::element_kind(type);
  const auto whole = [&](Expr of) {
    const ScalarKind narrow = kind == ScalarKind::kF32 ? ScalarKind::kI8 : ScalarKind::kI16;
    return arena_.make<ir::Cast>({}, kind, arena_.make<ir::Cast>({}, narrow, of));
  };
  if (!random_.chance(10) || type.as<ir::SimdType>()) return whole(value);
  // Infinities become NaN, and stay so.
  return let(value, [&](Expr ident) {
    const Expr zero = binary(BinaryOp::kSub, ident, ident);
    return binary(BinaryOp::kAdd, whole(ident), zero);
  });
}

}  // namespace weld::differential
