#include <algorithm>
#include <utility>

#include "tests/differential/generator/expression_generator.h"
#include "tests/differential/generator/random_values.h"

namespace weld::differential {

using ir::BinaryOp;
using ir::Expr;
using ir::Iterator;
using ir::IteratorKind;
using ir::ScalarKind;
using ir::Type;
using ir::UnaryOp;

std::optional<Type> ExpressionGenerator::builders_for(Type type) {
  if (const auto* structure = type.as<ir::StructType>()) {
    if (structure->members.empty()) return std::nullopt;
    std::vector<Type> members;
    for (const Type member : structure->members) {
      const auto builder = builders_for(member);
      if (!builder) return std::nullopt;
      members.push_back(*builder);
    }
    return arena_.structure(std::span<const Type>(members));
  }
  if (const auto* vec = type.as<ir::VecType>()) {
    const bool adds = ir::is_scalar_or_scalar_struct(vec->element) && !has_bool(vec->element) &&
                      !ir::is_scalar(vec->element, ScalarKind::kBool);
    if (adds && random_.chance(25)) return arena_.vecmerger(vec->element, merge_op());
    return arena_.appender(vec->element);
  }
  if (const auto* dict = type.as<ir::DictType>()) {
    if (const auto* values = dict->value.as<ir::VecType>())
      return arena_.groupmerger(dict->key, values->element);
    return arena_.dictmerger(dict->key, dict->value, merge_op());
  }
  if (ir::is_scalar(type, ScalarKind::kBool)) return std::nullopt;
  return arena_.merger(type, merge_op());
}

Expr ExpressionGenerator::new_builder(Type type, int budget) {
  if (const auto* structure = type.as<ir::StructType>()) {
    std::vector<Expr> members;
    for (const Type member : structure->members) members.push_back(new_builder(member, budget / 2));
    return make_struct(members);
  }
  Expr argument;
  if (const auto* vecmerger = type.as<ir::VecMergerType>()) {
    std::vector<Expr> elements;
    for (int i = 0; i < kVecMergerLength; ++i)
      elements.push_back(summand(leaf(vecmerger->element), vecmerger->op));
    argument = arena_.make<ir::MakeVector>({}, elements, vecmerger->element);
  } else if (random_.chance(25)) {
    if (const auto* merger = type.as<ir::MergerType>()) {
      argument = summand(value(merger->value, budget / 3), merger->op);
    } else if (const auto* dict = type.as<ir::DictMergerType>();
               dict && random_.chance(60) && !is_inexact(dict->value)) {
      argument = value(arena_.dict(dict->key, dict->value), budget / 3);
    } else if (!type.as<ir::GroupMergerType>()) {
      argument = leaf(kI64);
    }
  }
  const Expr made = arena_.make<ir::NewBuilder>({}, type, argument);
  if (!random_.chance(5)) return made;
  const std::vector<ir::Annotation> annotations{word("impl", random_.chance(50) ? "local" : "global")};
  return arena_.with_annotations(made, annotations);
}

Expr ExpressionGenerator::built(Type type, int budget) {
  Expr builder = new_builder(type, budget / 4);
  if (random_.chance(15)) builder = filled(builder, budget / 4, false, std::nullopt);
  if (random_.chance(10))
    builder = iterated_builder(builder, budget / 3);
  else
    builder = loop(builder, budget);
  if (random_.chance(10)) builder = loop(builder, budget / 3);
  if (random_.chance(10)) builder = filled(builder, budget / 4, false, std::nullopt);
  return arena_.make<ir::Result>({}, builder);
}

Expr ExpressionGenerator::iterated_builder(Expr builder, int budget) {
  const Expr initial = make_struct({builder, i64(0)});
  const auto rounds = static_cast<std::int64_t>(random_.below(4));
  ++loop_depth_;
  const Expr update = lambda({initial.type()}, [&](auto& uses) {
    const Expr counter = field(uses[0], 1);
    scope_.push_back(counter);
    const Expr next = make_struct(
        {filled(field(uses[0], 0), budget, true, std::nullopt), binary(BinaryOp::kAdd, counter, i64(1))});
    scope_.pop_back();
    return make_struct({next, binary(BinaryOp::kLt, counter, i64(rounds))});
  });
  --loop_depth_;
  return field(arena_.make<ir::Iterate>({}, initial, update), 0);
}

Expr ExpressionGenerator::loop(Expr builder, int budget) {
  std::vector<Iterator> iterators;
  iterate_over(iterators, budget / 3);
  std::vector<Type> elements;
  for (const Iterator& it : iterators) elements.push_back(element_of(it));
  const Type element = elements.size() == 1 ? elements[0] : arena_.structure(std::span<const Type>(elements));
  ++loop_depth_;
  const Expr function = lambda({builder.type(), kI64, element}, [&](auto& uses) {
    std::optional<Expr> lanes;
    if (element.template as<ir::SimdType>()) lanes = uses[2];
    if (elements.size() > 1 && elements[0].template as<ir::SimdType>()) lanes = field(uses[2], 0);
    return filled(uses[0], budget, true, lanes);
  });
  --loop_depth_;
  const Expr made = arena_.make<ir::For>({}, iterators, builder, function, Expr());
  return annotated_loop(made);
}

Expr ExpressionGenerator::annotated_loop(Expr loop) {
  std::vector<ir::Annotation> annotations;
  static constexpr std::string_view kBlocks[] = {"1", "2", "5", "16", "63", "64", "65", "100", "1000"};
  if (random_.chance(35)) annotations = numbers({{"block", random_.pick(kBlocks)}});
  if (random_.chance(5)) annotations.push_back(word("parallel", random_.chance(50) ? "true" : "false"));
  if (random_.chance(5)) annotations.push_back(word("vectorize", "true"));
  if (random_.chance(5)) annotations.push_back(numbers({{"ranges", random_.chance(50) ? "1" : "3"}})[0]);
  if (random_.chance(3)) annotations.push_back(numbers({{"grain_size", "10"}})[0]);
  return annotations.empty() ? loop : arena_.with_annotations(loop, annotations);
}

Expr ExpressionGenerator::loop_data(int budget) {
  std::vector<Expr> vectors;
  for (const Expr ident : scope_) {
    if (ident.type().as<ir::VecType>()) vectors.push_back(ident);
    const auto* structure = ident.type().as<ir::StructType>();
    for (std::uint32_t i = 0; structure && i < structure->members.size(); ++i) {
      if (structure->members[i].as<ir::VecType>()) vectors.push_back(field(ident, i));
    }
  }
  if (!vectors.empty() && random_.chance(80)) return random_.pick(vectors);
  return value(vec(value_type(1)), budget);
}

void ExpressionGenerator::iterate_over(std::vector<Iterator>& iterators, int budget) {
  const Expr data = loop_data(budget);
  const bool named = is_name(data);
  const Type element = data.type().as<ir::VecType>()->element;
  if (!named || random_.chance(10)) {
    if (random_.chance(30)) {
      iterators.push_back({.kind = IteratorKind::kRange,
                           .start = i64(0),
                           .end = i64(static_cast<std::int64_t>(random_.below(20))),
                           .stride = i64(1)});
    } else {
      iterators.push_back({.data = data});
    }
    return;
  }
  if (element.as<ir::ScalarType>() && random_.chance(20)) {
    const bool bounded = may_fail() && random_.chance(20);
    Iterator it{.kind = random_.chance(70) ? IteratorKind::kSimd : IteratorKind::kFringe, .data = data};
    if (bounded) bound(it, i64(1));
    iterators.push_back(it);
    if (random_.chance(25)) iterators.push_back(it);
    return;
  }
  const std::size_t count = random_.chance(70) ? 1 : 2 + random_.below(2);
  for (std::size_t i = 0; i < count; ++i) {
    switch (random_.below(6)) {
      case 0: {
        Iterator it{.kind = IteratorKind::kRange, .start = i64(0), .end = length(data), .stride = i64(1)};
        if (risks()) it.start = leaf(kI64);
        if (count == 1 && random_.chance(50))
          it.stride = i64(1 + static_cast<std::int64_t>(random_.below(4)));
        iterators.push_back(it);
        break;
      }
      case 1:
        if (may_fail()) {
          Iterator it{.kind = IteratorKind::kScalar, .data = data};
          bound(it, i64(count == 1 ? 1 + static_cast<std::int64_t>(random_.below(3)) : 1));
          iterators.push_back(it);
          break;
        }
        [[fallthrough]];
      case 2:
        if (may_fail() && random_.chance(50)) {
          iterators.push_back(nd_iterator(data));
          break;
        }
        [[fallthrough]];
      default:
        iterators.push_back({.data = risks() ? loop_data(budget / 2) : data});
    }
  }
}

void ExpressionGenerator::bound(Iterator& it, Expr stride) {
  it.start = risks() ? leaf(kI64) : i64(0);
  it.end = risks() ? leaf(kI64) : length(it.data);
  it.stride = risks() ? leaf(kI64) : stride;
}

Iterator ExpressionGenerator::nd_iterator(Expr data) {
  Iterator it{.kind = IteratorKind::kNd, .data = data};
  const auto i64s = [&](const std::vector<Expr>& elements) {
    return arena_.make<ir::MakeVector>({}, elements, kI64);
  };
  const Expr size = length(data);
  switch (random_.below(4)) {
    case 0:
      return it;
    case 1:
      it.start = i64(0);
      it.end = size;
      it.shape = i64s({size});
      it.strides = i64s({i64(1)});
      break;
    case 2:
      it.start = binary(BinaryOp::kSub, size, i64(1));
      it.end = binary(BinaryOp::kSub, binary(BinaryOp::kAdd, size, size), i64(1));
      it.shape = i64s({i64(1), size});
      it.strides = i64s({risks() ? leaf(kI64) : i64(7), i64(-1)});
      break;
    default:
      it.start = i64(0);
      it.end = binary(BinaryOp::kMul, size, i64(2));
      it.shape = i64s({size, i64(2)});
      it.strides = i64s({i64(1), i64(0)});
      break;
  }
  it.stride = i64(1);
  return it;
}

Expr ExpressionGenerator::filled(Expr builder, int budget, bool in_loop, std::optional<Expr> lanes) {
  if (!is_name(builder)) {
    return let(builder, [&](Expr ident) { return filled(ident, budget, in_loop, lanes); });
  }
  if (random_.chance(15) && budget > 3) {
    return let(value(value_type(1), budget / 3), [&](Expr ident) {
      scope_.push_back(ident);
      const Expr body = filled(builder, budget * 2 / 3, in_loop, lanes);
      scope_.pop_back();
      return body;
    });
  }
  if (random_.chance(25) && budget > 3) {
    const Expr left = filled(builder, budget / 2, in_loop, lanes);
    const Expr branch = random_.chance(60) ? arena_.make<ir::If>({}, condition(budget / 2), left, builder)
                                           : arena_.make<ir::If>({}, condition(budget / 2), left,
                                                                 filled(builder, budget / 2, in_loop, lanes));
    if (!random_.chance(15)) return branch;
    const std::vector<ir::Annotation> annotations{word("predicate", random_.chance(50) ? "true" : "false")};
    return arena_.with_annotations(branch, annotations);
  }
  if (const auto* structure = builder.type().as<ir::StructType>()) {
    if (loop_depth_ < kMaxLoopDepth && random_.chance(10) && budget > 4) return loop(builder, budget / 2);
    std::vector<Expr> members;
    const int share = budget / static_cast<int>(structure->members.size());
    for (std::uint32_t i = 0; i < structure->members.size(); ++i)
      members.push_back(filled(field(builder, i), share, in_loop, lanes));
    return make_struct(members);
  }
  if (loop_depth_ < kMaxLoopDepth && random_.chance(12) && budget > 4) return loop(builder, budget / 2);
  if (random_.chance(5)) return builder;
  const Expr merged = arena_.make<ir::Merge>({}, builder, merge_value(builder.type(), budget, lanes));
  return random_.chance(12) ? filled(merged, budget / 2, in_loop, lanes) : merged;
}

Expr ExpressionGenerator::merge_value(Type builder, int budget, const std::optional<Expr>& lanes) {
  if (const auto* appender = builder.as<ir::AppenderType>()) {
    if (lanes && appender->element.as<ir::ScalarType>() && random_.chance(80))
      return simd_value(ir::element_kind(appender->element), *lanes, budget);
    return value(appender->element, budget);
  }
  if (const auto* merger = builder.as<ir::MergerType>()) {
    if (lanes && merger->value.as<ir::ScalarType>() && random_.chance(80))
      return summand(simd_value(ir::element_kind(merger->value), *lanes, budget), merger->op);
    return summand(value(merger->value, budget), merger->op);
  }
  if (const auto* dict = builder.as<ir::DictMergerType>())
    return make_struct({key(dict->key, budget / 2), summand(value(dict->value, budget / 2), dict->op)});
  if (const auto* group = builder.as<ir::GroupMergerType>())
    return make_struct({key(group->key, budget / 2), value(group->value, budget / 2)});
  const auto* vecmerger = builder.as<ir::VecMergerType>();
  Expr index = value(kI64, budget / 2);
  if (!risks()) index = binary(BinaryOp::kBitAnd, index, i64(kVecMergerLength - 1));
  return make_struct({index, summand(value(vecmerger->element, budget / 2), vecmerger->op)});
}

Expr ExpressionGenerator::key(Type type, int budget) {
  const Expr made = value(type, budget);
  const auto* scalar = type.as<ir::ScalarType>();
  if (!scalar || !ir::is_integer(scalar->kind) || random_.chance(40)) return made;
  return binary(BinaryOp::kBitAnd, made, arena_.make<ir::Cast>({}, scalar->kind, i64(15)));
}

Expr ExpressionGenerator::simd_value(ScalarKind kind, Expr lanes, int budget) {
  const ScalarKind from = ir::element_kind(lanes.type());
  if (budget <= 1 || random_.chance(15)) {
    if (from == kind) return lanes;
    if (random_.chance(60)) return arena_.make<ir::Cast>({}, kind, lanes);
    return arena_.make<ir::Broadcast>({}, leaf(Type::scalar(kind)));
  }
  const auto part = [&](ScalarKind of) { return simd_value(of, lanes, budget / 2); };
  switch (random_.below(8)) {
    case 0: {
      const ScalarKind other = scalar_kind();
      return arena_.make<ir::Cast>({}, kind, part(other));
    }
    case 1:
      return arena_.make<ir::Broadcast>({}, value(Type::scalar(kind), budget / 2));
    case 2:
      return arena_.make<ir::Select>({}, part(ScalarKind::kBool), part(kind), part(kind));
    case 3: {
      if (kind == ScalarKind::kBool) return arena_.make<ir::Unary>({}, UnaryOp::kNot, part(kind));
      static constexpr UnaryOp kAny[] = {UnaryOp::kNeg, UnaryOp::kAbs, UnaryOp::kSign};
      UnaryOp op = random_.pick(kAny);
      if (ir::is_float(kind) && random_.chance(70)) {
        op = static_cast<UnaryOp>(static_cast<int>(UnaryOp::kExp) +
                                  static_cast<int>(random_.below(ir::kNumUnaryOps - 3)));
        if (op == UnaryOp::kIsNan) op = UnaryOp::kTrunc;
      }
      return arena_.make<ir::Unary>({}, op, part(kind));
    }
    case 4:
      if (kind == ScalarKind::kBool) {
        const ScalarKind of = scalar_kind();
        const auto op =
            static_cast<BinaryOp>(static_cast<int>(BinaryOp::kEq) + static_cast<int>(random_.below(6)));
        return binary(op, part(of), part(of));
      }
      [[fallthrough]];
    default: {
      const BinaryOp op = arithmetic_op(kind);
      Expr right = part(kind);
      if (divides(op, kind) && !risks()) {
        right = binary(BinaryOp::kBitOr, right,
                       arena_.make<ir::Broadcast>({}, arena_.make<ir::Cast>({}, kind, i64(1))));
      }
      return binary(op, part(kind), right);
    }
  }
}

}  // namespace weld::differential
