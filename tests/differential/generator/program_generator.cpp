#include "tests/differential/generator/program_generator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include "ir/fields.h"

namespace weld::differential {
namespace {

using ir::BinaryOp;
using ir::Expr;
using ir::Iterator;
using ir::IteratorKind;
using ir::MergeOp;
using ir::ScalarKind;
using ir::ScalarValue;
using ir::Type;
using ir::UnaryOp;
using ir::Value;

const Type kBool = Type::scalar(ScalarKind::kBool);
const Type kI64 = Type::scalar(ScalarKind::kI64);
const Type kI32 = Type::scalar(ScalarKind::kI32);

// Small, equal and extreme values more often than others.
ScalarValue random_scalar(Random& random, ScalarKind kind) {
  return ir::dispatch(kind, [&](auto example) {
    using T = decltype(example);
    using Limits = std::numeric_limits<T>;
    if constexpr (std::is_same_v<T, bool>) {
      return ScalarValue::of(random.chance(50));
    } else if constexpr (std::is_floating_point_v<T>) {
      const T special[] = {T(0),
                           T(-0.0),
                           Limits::quiet_NaN(),
                           Limits::infinity(),
                           -Limits::infinity(),
                           Limits::max(),
                           Limits::denorm_min(),
                           Limits::min(),
                           T(1),
                           T(-1),
                           T(0.5),
                           T(0.1),
                           T(1e10),
                           T(-7.25)};
      if (random.chance(25)) return ScalarValue::of(random.pick(special));
      if (random.chance(40)) return ScalarValue::of(static_cast<T>(static_cast<int>(random.below(9)) - 4));
      const double unit = static_cast<double>(random.bits() >> 11) * 0x1p-53;
      return ScalarValue::of(static_cast<T>(std::ldexp(unit - 0.5, static_cast<int>(random.below(40)) - 10)));
    } else {
      if (random.chance(60))
        return ScalarValue::of(
            static_cast<T>(static_cast<int>(random.below(9)) - (std::is_signed_v<T> ? 3 : 0)));
      const T special[] = {Limits::min(),        Limits::max(), T(Limits::max() - 1),
                           T(Limits::min() + 1), T(64),         T(100)};
      if (random.chance(50)) return ScalarValue::of(random.pick(special));
      return ScalarValue::of(static_cast<T>(random.bits() >> random.below(64)));
    }
  });
}

class Generator {
 public:
  Generator(Random& random, ir::Arena& arena) : random_(random), arena_(arena) {}

  Expr program() {
    std::vector<ir::Parameter> parameters;
    const std::size_t count = random_.below(4);
    for (std::size_t i = 0; i < count; ++i) {
      const Type type =
          random_.chance(60) ? vec(random_.chance(70) ? scalar() : value_type(2)) : value_type(2);
      if (holds_dict(type)) continue;
      parameters.push_back({arena_.fresh_symbol("p"), annotated_parameter(type)});
      scope_.push_back(arena_.ident(parameters.back().symbol, parameters.back().type));
    }
    const Expr body = value(result_type(), 24 + static_cast<int>(random_.below(40)));
    return arena_.make<ir::Lambda>({}, parameters, body);
  }

 private:
  // --- Types.

  ScalarKind scalar_kind() { return static_cast<ScalarKind>(random_.below(ir::kNumScalarKinds)); }
  ScalarKind numeric_kind() { return static_cast<ScalarKind>(random_.below(ir::kNumScalarKinds - 1)); }
  Type scalar() {
    return random_.chance(40) ? (random_.chance(50) ? kI64 : Type::scalar(ScalarKind::kF64))
                              : Type::scalar(scalar_kind());
  }
  Type numeric() { return Type::scalar(numeric_kind()); }
  Type vec(Type element) { return arena_.vec(element); }

  Type structure(int depth, const std::function<Type(int)>& member) {
    std::vector<Type> members;
    const std::size_t count = random_.chance(5) ? 0 : 1 + random_.below(3);
    for (std::size_t i = 0; i < count; ++i) members.push_back(member(depth - 1));
    return arena_.structure(std::span<const Type>(members));
  }

  Type scalars() {
    if (random_.chance(75)) return numeric();
    std::vector<Type> members{numeric()};
    while (random_.chance(40)) members.push_back(numeric());
    return arena_.structure(std::span<const Type>(members));
  }

  Type key_type(int depth) {
    if (depth == 0 || random_.chance(60)) return scalar();
    if (random_.chance(50))
      return vec(random_.chance(50) ? Type::scalar(ScalarKind::kI8) : key_type(depth - 1));
    return structure(depth, [&](int rest) { return key_type(rest); });
  }

  Type dict_type(int depth) {
    const Type key = key_type(std::min(depth, 2));
    return arena_.dict(key, random_.chance(50) ? scalars() : vec(value_type(std::max(0, depth - 2))));
  }

  // Without builders and simd.
  Type value_type(int depth) {
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

  Type result_type() {
    if (random_.chance(30)) return structure(3, [&](int rest) { return value_type(rest); });
    return random_.chance(50) ? vec(value_type(2)) : value_type(3);
  }

  Type comparable_type(int depth) {
    if (depth == 0 || random_.chance(60)) return scalar();
    if (random_.chance(60)) return vec(comparable_type(depth - 1));
    return structure(depth, [&](int rest) { return comparable_type(rest); });
  }

  static bool holds_dict(Type type) {
    if (type.as<ir::DictType>()) return true;
    if (const auto* inner = type.as<ir::VecType>()) return holds_dict(inner->element);
    const auto* structure = type.as<ir::StructType>();
    return structure && std::ranges::any_of(structure->members, holds_dict);
  }

  static bool holds_float(Type type) {
    if (const auto* scalar = type.as<ir::ScalarType>()) return ir::is_float(scalar->kind);
    if (const auto* inner = type.as<ir::VecType>()) return holds_float(inner->element);
    const auto* structure = type.as<ir::StructType>();
    return structure && std::ranges::any_of(structure->members, holds_float);
  }

  Type annotated_parameter(Type type) {
    if (!random_.chance(10)) return type;
    return arena_.with_annotations(type, numbers({{"min", "0"}, {"max", "10"}}));
  }

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
      std::initializer_list<std::pair<std::string_view, std::string_view>> entries) {
    std::vector<ir::Annotation> annotations;
    for (const auto& [key, number] : entries) {
      annotations.push_back({arena_.keep(key), ir::Annotation::Kind::kNumber, arena_.keep(number)});
    }
    return annotations;
  }
  ir::Annotation word(std::string_view key, std::string_view value) {
    return {arena_.keep(key), ir::Annotation::Kind::kWord, arena_.keep(value)};
  }

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

  std::optional<Expr> in_scope(Type type) {
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

  bool may_fail() { return !infallible_; }
  // Something that fails at run time, now and then.
  bool risks() { return may_fail() && random_.chance(6); }

  Expr leaf(Type type) {
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

  Expr string_literal() {
    static constexpr std::string_view kTexts[] = {
        "", "a", "b", "ab", std::string_view("a\0b", 3), "\xc3\xa4", "a longer text than most"};
    return arena_.make<ir::StringLiteral>({}, arena_.keep(random_.pick(kTexts)));
  }

  // --- Values of any type.

  Expr value(Type type, int budget) {
    if (budget <= 1) return leaf(type);
    if (random_.chance(18)) return any_form(type, budget - 1);
    if (const auto* kind = type.as<ir::ScalarType>()) return scalar_value(kind->kind, budget - 1);
    if (const auto* inner = type.as<ir::VecType>()) return vector_value(inner->element, budget - 1);
    if (const auto* dict = type.as<ir::DictType>()) return dict_value(*dict, budget - 1);
    return struct_value(type, *type.as<ir::StructType>(), budget - 1);
  }

  // Forms that give values of whatever type.
  Expr any_form(Type type, int budget) {
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
        return arena_.make<ir::If>({}, condition(budget / 3), value(type, budget / 3),
                                   value(type, budget / 3));
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

  // An element of a vector; in range, mostly.
  Expr vector_element(Type type, int budget) {
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
    const auto index =
        static_cast<std::int64_t>(random_.below(elements.size() + (random_.chance(5) ? 1 : 0)));
    return arena_.make<ir::Lookup>({}, arena_.make<ir::MakeVector>({}, elements, type), i64(index));
  }

  Expr dict_element(Type type, int budget) {
    const auto* inner = type.as<ir::VecType>();
    const bool sums =
        ir::is_scalar_or_scalar_struct(type) && !ir::is_scalar(type, ScalarKind::kBool) && !has_bool(type);
    if (!inner && !sums) return leaf(type);
    const Type dict = arena_.dict(key_type(1), type);
    const Expr container = value(dict, budget / 2);
    const Expr key = value(dict.as<ir::DictType>()->key, budget / 3);
    if (risks()) return arena_.make<ir::Lookup>({}, container, key);
    return field(arena_.make<ir::OptLookup>({}, container, key), 1);
  }

  static bool has_bool(Type type) {
    const auto* structure = type.as<ir::StructType>();
    return structure && std::ranges::any_of(structure->members, [](Type member) {
             return ir::is_scalar(member, ScalarKind::kBool);
           });
  }

  Expr iterated(Type type, int budget) {
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

  Expr condition(int budget) {
    const Expr made = value(kBool, std::max(2, budget));
    if (!random_.chance(8)) return made;
    return arena_.with_annotations(made, numbers({{"branch_selectivity", "0.5"}}));
  }

  // --- Scalars.

  Expr scalar_value(ScalarKind kind, int budget) {
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

  Expr foreign(int budget) {
    const Expr argument = value(kI64, budget / 2);
    if (random_.chance(50)) {
      const std::vector<ir::Annotation> pure{word("pure", "true")};
      const Expr call = arena_.make<ir::ForeignCall>({}, arena_.keep("weld_test_add"), kI64,
                                                     std::vector{argument, leaf(kI64)});
      return random_.chance(50) ? arena_.with_annotations(call, pure) : call;
    }
    return arena_.make<ir::ForeignCall>({}, arena_.keep("weld_test_check"), kI64, std::vector{argument});
  }

  Expr bool_value(int budget) {
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

  Expr unary(ScalarKind kind, int budget) {
    if (kind == ScalarKind::kBool) return arena_.make<ir::Unary>({}, UnaryOp::kNot, value(kBool, budget));
    static constexpr UnaryOp kAny[] = {UnaryOp::kNeg, UnaryOp::kAbs, UnaryOp::kSign};
    UnaryOp op = random_.pick(kAny);
    if (ir::is_float(kind) && random_.chance(75)) {
      op = static_cast<UnaryOp>(static_cast<int>(UnaryOp::kExp) +
                                static_cast<int>(random_.below(ir::kNumUnaryOps - 3)));
    }
    return arena_.make<ir::Unary>({}, op, value(Type::scalar(kind), budget));
  }

  BinaryOp arithmetic_op(ScalarKind kind) {
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

  static bool divides(BinaryOp op, ScalarKind kind) {
    return ir::is_integer(kind) && (op == BinaryOp::kDiv || op == BinaryOp::kRem);
  }

  Expr arithmetic(Type type, ScalarKind kind, int budget) {
    const BinaryOp op = arithmetic_op(kind);
    const Expr left = value(type, budget / 2);
    Expr right = value(type, budget / 2);
    if (divides(op, kind) && !risks()) {
      right = binary(BinaryOp::kBitOr, right, arena_.make<ir::Cast>({}, kind, i64(1)));
    }
    return binary(op, left, right);
  }

  // --- Structs.

  Expr struct_value(Type type, const ir::StructType& structure, int budget) {
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

  // A struct of builders that gives a struct of that type, if there is one.
  std::optional<Type> builders_for(Type type) {
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

  MergeOp merge_op() { return random_.chance(55) ? MergeOp::kAdd : static_cast<MergeOp>(random_.below(4)); }

  // --- Vectors.

  Expr vector_value(Type element, int budget) {
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

  Expr sorted(Type type, Type element, int budget) {
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

  Expr dict_value(const ir::DictType& dict, int budget) {
    const Type type = arena_.dict(dict.key, dict.value);
    if (loop_depth_ >= kMaxLoopDepth) return leaf(type);
    return built(*builders_for(type), budget);
  }

  Expr merged(Type type, int budget) { return built(arena_.merger(type, merge_op()), budget); }

  // --- Builders.

  Expr new_builder(Type type, int budget) {
    if (const auto* structure = type.as<ir::StructType>()) {
      std::vector<Expr> members;
      for (const Type member : structure->members) members.push_back(new_builder(member, budget / 2));
      return make_struct(members);
    }
    Expr argument;
    if (const auto* vecmerger = type.as<ir::VecMergerType>()) {
      std::vector<Expr> elements;
      for (int i = 0; i < kVecMergerLength; ++i) elements.push_back(leaf(vecmerger->element));
      argument = arena_.make<ir::MakeVector>({}, elements, vecmerger->element);
    } else if (random_.chance(25)) {
      if (const auto* merger = type.as<ir::MergerType>()) {
        argument = value(merger->value, budget / 3);
      } else if (const auto* dict = type.as<ir::DictMergerType>(); dict && random_.chance(60)) {
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

  // A value from a builder, or a struct of builders, that loops and merges fill.
  Expr built(Type type, int budget) {
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

  Expr iterated_builder(Expr builder, int budget) {
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

  Expr loop(Expr builder, int budget) {
    std::vector<Iterator> iterators;
    iterate_over(iterators, budget / 3);
    std::vector<Type> elements;
    for (const Iterator& it : iterators) elements.push_back(element_of(it));
    const Type element =
        elements.size() == 1 ? elements[0] : arena_.structure(std::span<const Type>(elements));
    ++loop_depth_;
    const Expr function = lambda({builder.type(), kI64, element}, [&](auto& uses) {
      std::optional<Expr> lanes;
      if (element.template as<ir::SimdType>()) lanes = uses[2];
      if (elements.size() > 1 && elements[0].template as<ir::SimdType>()) lanes = field(uses[2], 0);
      return filled(uses[0], budget, true, lanes);
    });
    --loop_depth_;
    const Expr made = arena_.make<ir::For>({}, iterators, builder, function);
    return annotated_loop(made);
  }

  Expr annotated_loop(Expr loop) {
    std::vector<ir::Annotation> annotations;
    static constexpr std::string_view kBlocks[] = {"1", "2", "5", "16", "63", "64", "65", "100", "1000"};
    if (random_.chance(35)) annotations = numbers({{"block", random_.pick(kBlocks)}});
    if (random_.chance(5)) annotations.push_back(word("parallel", random_.chance(50) ? "true" : "false"));
    if (random_.chance(5)) annotations.push_back(word("vectorize", "true"));
    if (random_.chance(5)) annotations.push_back(numbers({{"ranges", random_.chance(50) ? "1" : "3"}})[0]);
    if (random_.chance(3)) annotations.push_back(numbers({{"grain_size", "10"}})[0]);
    return annotations.empty() ? loop : arena_.with_annotations(loop, annotations);
  }

  Type element_of(const Iterator& it) {
    if (it.kind == IteratorKind::kRange) return kI64;
    const Type element = it.data.type().as<ir::VecType>()->element;
    return it.kind == IteratorKind::kSimd ? arena_.simd(ir::element_kind(element)) : element;
  }

  // A name, or a field of one: may be used several times.
  static bool is_name(Expr expr) {
    while (const auto* field = expr.as<ir::GetField>()) expr = field->value;
    return expr.is<ir::Ident>();
  }

  // A vector by name, so that it can be walked over and measured, or any vector.
  Expr loop_data(int budget) {
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

  void iterate_over(std::vector<Iterator>& iterators, int budget) {
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

  void bound(Iterator& it, Expr stride) {
    it.start = risks() ? leaf(kI64) : i64(0);
    it.end = risks() ? leaf(kI64) : length(it.data);
    it.stride = risks() ? leaf(kI64) : stride;
  }

  // All of a vector, forwards, backwards, or one element again and again.
  Iterator nd_iterator(Expr data) {
    Iterator it{.kind = IteratorKind::kNd, .data = data};
    const auto i64s = [&](std::vector<Expr> elements) {
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

  // The builder after some merges: the body of a loop, if `in_loop`.
  Expr filled(Expr builder, int budget, bool in_loop, std::optional<Expr> lanes) {
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
      const Expr branch = random_.chance(60)
                              ? arena_.make<ir::If>({}, condition(budget / 2), left, builder)
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

  Expr merge_value(Type builder, int budget, const std::optional<Expr>& lanes) {
    if (const auto* appender = builder.as<ir::AppenderType>()) {
      if (lanes && appender->element.as<ir::ScalarType>() && random_.chance(80))
        return simd_value(ir::element_kind(appender->element), *lanes, budget);
      return value(appender->element, budget);
    }
    if (const auto* merger = builder.as<ir::MergerType>()) {
      if (lanes && merger->value.as<ir::ScalarType>() && random_.chance(80))
        return simd_value(ir::element_kind(merger->value), *lanes, budget);
      return value(merger->value, budget);
    }
    if (const auto* dict = builder.as<ir::DictMergerType>())
      return make_struct({key(dict->key, budget / 2), value(dict->value, budget / 2)});
    if (const auto* group = builder.as<ir::GroupMergerType>())
      return make_struct({key(group->key, budget / 2), value(group->value, budget / 2)});
    const auto* vecmerger = builder.as<ir::VecMergerType>();
    Expr index = value(kI64, budget / 2);
    if (!risks()) index = binary(BinaryOp::kBitAnd, index, i64(kVecMergerLength - 1));
    return make_struct({index, value(vecmerger->element, budget / 2)});
  }

  // Keys of integers come from a small range, mostly, so that they meet again.
  Expr key(Type type, int budget) {
    const Expr made = value(type, budget);
    const auto* scalar = type.as<ir::ScalarType>();
    if (!scalar || !ir::is_integer(scalar->kind) || random_.chance(40)) return made;
    return binary(BinaryOp::kBitAnd, made, arena_.make<ir::Cast>({}, scalar->kind, i64(15)));
  }

  // --- Simd values.

  Expr simd_value(ScalarKind kind, Expr lanes, int budget) {
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

  static constexpr int kMaxLoopDepth = 3;
  static constexpr int kVecMergerLength = 8;

  Random& random_;
  ir::Arena& arena_;
  std::vector<Expr> scope_;
  int loop_depth_ = 0;
  bool infallible_ = false;
};

int depth_of_loops(Expr program) {
  int depth = 0;
  int deepest = 0;
  const auto is_loop = [](Expr expr) {
    return expr.is<ir::For>() || expr.is<ir::Iterate>() || expr.is<ir::Sort>();
  };
  ir::walk(
      program,
      [&](Expr expr) {
        if (is_loop(expr)) deepest = std::max(deepest, ++depth);
        return true;
      },
      [&](Expr expr) {
        if (is_loop(expr)) --depth;
      });
  return deepest;
}

Value random_value(Random& random, Type type, std::int64_t max_length) {
  if (const auto* scalar = type.as<ir::ScalarType>()) return random_scalar(random, scalar->kind);
  if (const auto* structure = type.as<ir::StructType>()) {
    std::vector<Value> members;
    for (const Type member : structure->members) members.push_back(random_value(random, member, max_length));
    return Value::structure(std::move(members));
  }
  const Type element = type.as<ir::VecType>()->element;
  static constexpr std::int64_t kLengths[] = {0,  1,  2,  3,  4,   5,   7,   8,    9,    15,   16,   17,  31,
                                              33, 63, 64, 65, 100, 127, 129, 1000, 4095, 4096, 4097, 8193};
  std::int64_t length = random.pick(kLengths);
  while (length > max_length) length = random.pick(kLengths);
  if (max_length >= 4096 && random.chance(1)) length = 65536 + static_cast<std::int64_t>(random.below(10000));
  // Few different values in some vectors, many in others.
  const std::size_t num_different = random.chance(40) ? 1 + random.below(6) : 1000;
  std::vector<Value> different;
  std::vector<Value> elements;
  const std::int64_t inner_length = std::min<std::int64_t>(max_length, 9);
  for (std::int64_t i = 0; i < length; ++i) {
    if (different.size() < num_different) {
      different.push_back(random_value(random, element, inner_length));
      elements.push_back(different.back());
    } else {
      elements.push_back(random.pick(different));
    }
  }
  return Value::vector(element, elements);
}

}  // namespace

Expr random_program(Random& random, ir::Arena& arena) {
  return Generator(random, arena).program();
}

std::vector<Value> random_arguments(Random& random, Expr program) {
  const int depth = depth_of_loops(program);
  const std::int64_t max_length = depth <= 1 ? 8193 : depth == 2 ? 129 : depth == 3 ? 17 : 5;
  std::vector<Value> arguments;
  for (const ir::Parameter& parameter : program.as<ir::Lambda>()->parameters) {
    arguments.push_back(random_value(random, parameter.type, max_length));
  }
  return arguments;
}

Expr zero_expression(ir::Arena& arena, Type type) {
  if (const auto* scalar = type.as<ir::ScalarType>()) return arena.literal(ScalarValue{scalar->kind, 0});
  if (const auto* vec = type.as<ir::VecType>())
    return arena.make<ir::MakeVector>({}, std::vector<Expr>(), vec->element);
  if (const auto* dict = type.as<ir::DictType>()) {
    const auto* values = dict->value.as<ir::VecType>();
    const Type builder = values ? arena.groupmerger(dict->key, values->element)
                                : arena.dictmerger(dict->key, dict->value, MergeOp::kAdd);
    return arena.make<ir::Result>({}, arena.make<ir::NewBuilder>({}, builder, Expr()));
  }
  std::vector<Expr> members;
  for (const Type member : type.as<ir::StructType>()->members)
    members.push_back(zero_expression(arena, member));
  return arena.make<ir::MakeStruct>({}, members);
}

}  // namespace weld::differential
