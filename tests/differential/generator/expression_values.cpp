#include <algorithm>
#include <utility>

#include "tests/differential/generator/expression_generator.h"
#include "tests/differential/generator/random_values.h"

namespace weld::differential {

using ir::BinaryOp;
using ir::Expr;
using ir::ScalarKind;
using ir::Type;
using ir::UnaryOp;

Expr ExpressionGenerator::program() {
  std::vector<ir::Parameter> parameters;
  const std::size_t count = random_.below(4);
  for (std::size_t i = 0; i < count; ++i) {
    const Type type = random_.chance(60) ? vec(random_.chance(70) ? scalar() : value_type(2)) : value_type(2);
    if (holds_dict(type)) continue;
    parameters.push_back({arena_.fresh_symbol("p"), annotated_parameter(type)});
    scope_.push_back(arena_.ident(parameters.back().symbol, parameters.back().type));
  }
  const Expr body = value(result_type(), 24 + static_cast<int>(random_.below(40)));
  return arena_.make<ir::Lambda>({}, parameters, body);
}

Expr ExpressionGenerator::value(Type type, int budget) {
  if (budget <= 1) return leaf(type);
  if (random_.chance(18)) return any_form(type, budget - 1);
  if (const auto* kind = type.as<ir::ScalarType>()) return scalar_value(kind->kind, budget - 1);
  if (const auto* inner = type.as<ir::VecType>()) return vector_value(inner->element, budget - 1);
  if (const auto* dict = type.as<ir::DictType>()) return dict_value(*dict, budget - 1);
  return struct_value(type, *type.as<ir::StructType>(), budget - 1);
}

Expr ExpressionGenerator::any_form(Type type, int budget) {
  switch (random_.below(11)) {
    case 0:
    case 1:
      return let(value(value_type(2), budget / 2), [&](Expr ident) {
        scope_.push_back(ident);
        const Expr body = value(type, budget / 2);
        scope_.pop_back();
        return body;
      });
    case 2:
    case 3:
      return arena_.make<ir::If>({}, condition(budget / 3), value(type, budget / 3), value(type, budget / 3));
    case 4:
      return arena_.make<ir::Select>({}, condition(budget / 3), value(type, budget / 3),
                                     value(type, budget / 3));
    case 5: {
      std::vector<Expr> members{value(value_type(1), budget / 3), value(type, budget / 2)};
      const std::uint32_t index = random_.chance(50) ? 1 : 0;
      if (index == 0) std::swap(members[0], members[1]);
      return field(make_struct(members), index);
    }
    case 6:
      return vector_element(type, budget);
    case 7: {
      // A function, applied.
      const Type argument = value_type(1);
      const Expr function = lambda({argument}, [&](auto& uses) { return value(type, budget / 2); });
      const Expr given = value(argument, budget / 3);
      if (random_.chance(50)) return arena_.make<ir::Apply>({}, function, std::vector{given});
      return let(function, [&](Expr name) { return arena_.make<ir::Apply>({}, name, std::vector{given}); });
    }
    case 8:
      return iterated(type, budget);
    case 9: {
      if (!may_fail()) return leaf(type);
      const Expr bytes = risks() ? value(vec(Type::scalar(ScalarKind::kU8)), budget / 2)
                                 : arena_.make<ir::Serialize>({}, value(type, budget / 2));
      return arena_.make<ir::Deserialize>({}, type, bytes);
    }
    default:
      return dict_element(type, budget);
  }
}

Expr ExpressionGenerator::vector_element(Type type, int budget) {
  if (!may_fail()) return leaf(type);
  if (const auto ident = in_scope(vec(type)); ident && random_.chance(60)) {
    const Expr index = value(kI64, budget / 2);
    if (risks()) return arena_.make<ir::Lookup>({}, *ident, index);
    // if(len(v) > 0, lookup(v, (i % len + len) % len), …)
    const Expr size = length(*ident);
    const Expr wrapped =
        binary(BinaryOp::kRem, binary(BinaryOp::kAdd, binary(BinaryOp::kRem, index, size), size), size);
    return arena_.make<ir::If>({}, binary(BinaryOp::kGt, size, i64(0)),
                               arena_.make<ir::Lookup>({}, *ident, wrapped), leaf(type));
  }
  std::vector<Expr> elements{value(type, budget / 2)};
  while (random_.chance(50)) elements.push_back(leaf(type));
  const auto index = static_cast<std::int64_t>(random_.below(elements.size() + (random_.chance(5) ? 1 : 0)));
  return arena_.make<ir::Lookup>({}, arena_.make<ir::MakeVector>({}, elements, type), i64(index));
}

Expr ExpressionGenerator::dict_element(Type type, int budget) {
  const auto* inner = type.as<ir::VecType>();
  const bool sums =
      ir::is_scalar_or_scalar_struct(type) && !ir::is_scalar(type, ScalarKind::kBool) && !has_bool(type);
  if (!inner && !sums) return leaf(type);
  const Type dict = arena_.dict(key_type(1), type);
  const Expr container = value(dict, budget / 2);
  const Expr key = value(dict.as<ir::DictType>()->key, budget / 3);
  if (risks()) return arena_.make<ir::Lookup>({}, container, key);
  if (random_.chance(40)) {
    // if(keyexists(d, k), lookup(d, k), …)
    return let(container, [&](Expr names) {
      return let(key, [&](Expr name) {
        Expr asked = arena_.make<ir::KeyExists>({}, names, name);
        if (random_.chance(30)) asked = binary(BinaryOp::kLogicalAnd, condition(2), asked);
        return arena_.make<ir::If>({}, asked, arena_.make<ir::Lookup>({}, names, name), leaf(type));
      });
    });
  }
  return field(arena_.make<ir::OptLookup>({}, container, key), 1);
}

Expr ExpressionGenerator::iterated(Type type, int budget) {
  const Expr initial = make_struct({value(type, budget / 3), i64(0)});
  const auto rounds = static_cast<std::int64_t>(random_.below(4));
  ++loop_depth_;
  const Expr update = lambda({initial.type()}, [&](auto& uses) {
    const Expr state = uses[0];
    const Expr counter = field(state, 1);
    const Expr next = make_struct({value(type, budget / 2), binary(BinaryOp::kAdd, counter, i64(1))});
    return make_struct({next, binary(BinaryOp::kLt, counter, i64(rounds))});
  });
  --loop_depth_;
  return field(arena_.make<ir::Iterate>({}, initial, update), 0);
}

Expr ExpressionGenerator::condition(int budget) {
  const Expr made = value(kBool, std::max(2, budget));
  if (!random_.chance(8)) return made;
  return arena_.with_annotations(made, numbers({{"branch_selectivity", "0.5"}}));
}

Expr ExpressionGenerator::scalar_value(ScalarKind kind, int budget) {
  const Type type = Type::scalar(kind);
  if (kind == ScalarKind::kBool && random_.chance(70)) return bool_value(budget);
  if (kind == ScalarKind::kI64 && random_.chance(12))
    return length(value(random_.chance(85) ? vec(value_type(1)) : dict_type(1), budget));
  if (kind == ScalarKind::kI64 && may_fail() && random_.chance(3)) return foreign(budget);
  switch (random_.below(10)) {
    case 0:
      return leaf(type);
    case 1:
    case 2:
      return arena_.make<ir::Cast>({}, kind, value(scalar(), budget));
    case 3:
      return unary(kind, budget);
    case 4:
    case 5:
      if (kind != ScalarKind::kBool && loop_depth_ < kMaxLoopDepth) return merged(type, budget);
      [[fallthrough]];
    default:
      return arithmetic(type, kind, budget);
  }
}

Expr ExpressionGenerator::foreign(int budget) {
  const Expr argument = value(kI64, budget / 2);
  if (random_.chance(50)) {
    const std::vector<ir::Annotation> pure{word("pure", "true")};
    const Expr call = arena_.make<ir::ForeignCall>({}, arena_.keep("weld_test_add"), kI64,
                                                   std::vector{argument, leaf(kI64)});
    return random_.chance(50) ? arena_.with_annotations(call, pure) : call;
  }
  return arena_.make<ir::ForeignCall>({}, arena_.keep("weld_test_check"), kI64, std::vector{argument});
}

Expr ExpressionGenerator::bool_value(int budget) {
  switch (random_.below(8)) {
    case 0: {
      const auto op = random_.chance(50) ? BinaryOp::kLogicalAnd : BinaryOp::kLogicalOr;
      return binary(op, value(kBool, budget / 2), value(kBool, budget / 2));
    }
    case 1:
      return arena_.make<ir::Unary>({}, UnaryOp::kNot, value(kBool, budget));
    case 2:
      if (random_.chance(50)) {
        const Type dict = dict_type(1);
        return arena_.make<ir::KeyExists>({}, value(dict, budget / 2),
                                          value(dict.as<ir::DictType>()->key, budget / 3));
      }
      return arena_.make<ir::Unary>(
          {}, UnaryOp::kIsNan,
          value(Type::scalar(random_.chance(50) ? ScalarKind::kF64 : ScalarKind::kF32), budget));
    case 3:
      if (risks()) return arena_.make<ir::Assert>({}, value(kBool, budget));
      return arena_.make<ir::Assert>({},
                                     binary(BinaryOp::kLogicalOr, value(kBool, budget / 2), literal(true)));
    default: {
      const auto op =
          static_cast<BinaryOp>(static_cast<int>(BinaryOp::kEq) + static_cast<int>(random_.below(6)));
      const Type type = random_.chance(70) ? scalar() : comparable_type(2);
      return binary(op, value(type, budget / 2), value(type, budget / 2));
    }
  }
}

Expr ExpressionGenerator::unary(ScalarKind kind, int budget) {
  if (kind == ScalarKind::kBool) return arena_.make<ir::Unary>({}, UnaryOp::kNot, value(kBool, budget));
  static constexpr UnaryOp kAny[] = {UnaryOp::kNeg, UnaryOp::kAbs, UnaryOp::kSign};
  UnaryOp op = random_.pick(kAny);
  if (ir::is_float(kind) && random_.chance(75)) {
    op = static_cast<UnaryOp>(static_cast<int>(UnaryOp::kExp) +
                              static_cast<int>(random_.below(ir::kNumUnaryOps - 3)));
  }
  return arena_.make<ir::Unary>({}, op, value(Type::scalar(kind), budget));
}

Expr ExpressionGenerator::arithmetic(Type type, ScalarKind kind, int budget) {
  const BinaryOp op = arithmetic_op(kind);
  const Expr left = value(type, budget / 2);
  Expr right = value(type, budget / 2);
  if (divides(op, kind) && !risks()) {
    right = binary(BinaryOp::kBitOr, right, arena_.make<ir::Cast>({}, kind, i64(1)));
  }
  return binary(op, left, right);
}

Expr ExpressionGenerator::struct_value(Type type, const ir::StructType& structure, int budget) {
  if (ir::is_scalar_or_scalar_struct(type) && !has_bool(type) && loop_depth_ < kMaxLoopDepth &&
      random_.chance(20)) {
    return merged(type, budget);
  }
  if (!structure.members.empty() && loop_depth_ < kMaxLoopDepth && random_.chance(30)) {
    if (const auto builders = builders_for(type)) return built(*builders, budget);
  }
  std::vector<Expr> members;
  const int share = structure.members.empty() ? 0 : budget / static_cast<int>(structure.members.size());
  for (const Type member : structure.members) members.push_back(value(member, share));
  return make_struct(members);
}

Expr ExpressionGenerator::vector_value(Type element, int budget) {
  const Type type = vec(element);
  if (ir::is_scalar(element, ScalarKind::kU8) && random_.chance(15)) {
    return arena_.make<ir::Serialize>({}, value(value_type(2), budget));
  }
  if (const auto* structure = element.as<ir::StructType>();
      structure && structure->members.size() == 2 && random_.chance(25)) {
    const Type key = structure->members[0];
    const Type held = structure->members[1];
    const bool sums =
        ir::is_scalar_or_scalar_struct(held) && !has_bool(held) && !ir::is_scalar(held, ScalarKind::kBool);
    if (ir::is_hashable(key) && (held.as<ir::VecType>() || sums)) {
      return arena_.make<ir::ToVec>({}, value(arena_.dict(key, held), budget));
    }
  }
  if (const auto* structure = element.as<ir::StructType>();
      structure && structure->members.size() >= 2 && may_fail() && random_.chance(20)) {
    std::vector<Expr> vectors;
    for (const Type member : structure->members)
      vectors.push_back(value(vec(member), budget / static_cast<int>(structure->members.size())));
    return arena_.make<ir::Zip>({}, vectors);
  }
  switch (random_.below(10)) {
    case 0:
      return leaf(type);
    case 1: {
      std::vector<Expr> elements;
      while (random_.chance(65) && elements.size() < 5) elements.push_back(value(element, budget / 3));
      return arena_.make<ir::MakeVector>({}, elements, element);
    }
    case 2: {
      if (!may_fail()) return leaf(type);
      const Expr start = risks() ? value(kI64, budget / 3) : i64(0);
      const Expr count =
          risks() ? value(kI64, budget / 3) : i64(static_cast<std::int64_t>(random_.below(70)));
      return arena_.make<ir::Slice>({}, value(type, budget / 2), start, count);
    }
    case 3:
      return sorted(type, element, budget);
    default:
      if (loop_depth_ >= kMaxLoopDepth) return leaf(type);
      return built(*builders_for(type), budget);
  }
}

Expr ExpressionGenerator::sorted(Type type, Type element, int budget) {
  const Expr vector = value(type, budget / 2);
  const auto in_function = [&](const auto& write) {
    ++loop_depth_;
    const Expr made = write();
    --loop_depth_;
    return made;
  };
  if (random_.chance(60)) {
    const Type key = comparable_type(1);
    return arena_.make<ir::Sort>({}, vector, in_function([&] {
                                   return lambda({element}, [&](auto&) { return value(key, budget / 3); });
                                 }));
  }
  // The key of a as a function of a, applied to both: compared without floats, and without failing.
  Type key = comparable_type(1);
  while (holds_float(key)) key = comparable_type(1);
  const bool before = std::exchange(infallible_, true);
  const Expr of_one =
      in_function([&] { return lambda({element}, [&](auto&) { return value(key, budget / 4); }); });
  const Expr comparator = lambda({element, element}, [&](auto& uses) {
    const Expr left = arena_.make<ir::Apply>({}, of_one, std::vector{uses[0]});
    const Expr right = arena_.make<ir::Apply>({}, ir::clone_fresh(of_one, arena_), std::vector{uses[1]});
    return let(left, [&](Expr a) {
      return let(right, [&](Expr b) {
        const Expr greater = arena_.make<ir::If>({}, binary(BinaryOp::kGt, a, b), literal(std::int32_t{1}),
                                                 literal(std::int32_t{0}));
        return arena_.make<ir::If>({}, binary(BinaryOp::kLt, a, b), literal(std::int32_t{-1}), greater);
      });
    });
  });
  infallible_ = before;
  return arena_.make<ir::Sort>({}, vector, comparator);
}

Expr ExpressionGenerator::dict_value(const ir::DictType& dict, int budget) {
  const Type type = arena_.dict(dict.key, dict.value);
  if (loop_depth_ >= kMaxLoopDepth) return leaf(type);
  return built(*builders_for(type), budget);
}

}  // namespace weld::differential
