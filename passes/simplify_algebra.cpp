#include "passes/simplify_algebra.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "ir/effects.h"
#include "ir/equality.h"
#include "ir/fields.h"
#include "ir/scalar_eval.h"
#include "passes/algebra_rules.h"

namespace weld::passes {
namespace {

using Form = RuleTerm::Form;

constexpr std::string_view kVariables = "xyzcdpqab";
using Bindings = std::array<ir::Expr, kVariables.size()>;

std::size_t slot_of(char name) {
  return kVariables.find(name);
}

bool is_variable(const RuleTerm& term) {
  return term.form == Form::kVariable || term.form == Form::kConstant || term.form == Form::kBool ||
         term.form == Form::kAny;
}

std::size_t num_parts(const RuleTerm& term) {
  switch (term.form) {
    case Form::kUnary:
    case Form::kBoolNumber:
    case Form::kLog2:
    case Form::kReciprocal:
      return 1;
    case Form::kBinary:
      return 2;
    case Form::kIf:
    case Form::kSelect:
      return 3;
    default:
      return 0;
  }
}

struct Rule {
  RuleTree pattern;
  RuleTree replacement;
  Kinds kinds;
  Condition condition;
  std::vector<std::size_t> bools;    // slots of p and q, where the replacement computes with them
  std::vector<std::size_t> dropped;  // slots that the replacement uses less often
  std::vector<std::size_t> ordered;  // slots, where the replacement evaluates them in another order
};

// The slots of variables in the order of their evaluation.
void list_slots(const RuleTree& tree, std::size_t index, std::vector<std::size_t>& slots) {
  const RuleTerm& term = tree[index];
  if (is_variable(term) && term.form != Form::kConstant) slots.push_back(slot_of(term.name));
  for (std::size_t i = 0; i < num_parts(term); ++i) list_slots(tree, term.parts[i], slots);
}

Rule compile(const AlgebraRule& text) {
  Rule rule{.pattern = parse_rule_term(text.pattern),
            .replacement = parse_rule_term(text.replacement),
            .kinds = text.kinds,
            .condition = text.condition,
            .bools = {},
            .dropped = {},
            .ordered = {}};
  std::vector<std::size_t> before;
  std::vector<std::size_t> after;
  list_slots(rule.pattern, 0, before);
  list_slots(rule.replacement, 0, after);
  for (std::size_t slot = 0; slot < kVariables.size(); ++slot) {
    if (std::ranges::count(after, slot) < std::ranges::count(before, slot)) rule.dropped.push_back(slot);
  }
  for (const RuleTerm& term : rule.replacement) {
    if (term.form == Form::kBool) rule.bools.push_back(slot_of(term.name));
  }
  std::erase_if(before, [&](std::size_t slot) { return std::ranges::count(after, slot) == 0; });
  if (after.size() > 1 && before != after) rule.ordered = after;
  return rule;
}

// The rules by the operator at their root.
class RuleBook {
 public:
  RuleBook() {
    for (const AlgebraRule& text : algebra_rules()) {
      Rule rule = compile(text);
      const RuleTerm& root = rule.pattern.front();
      std::vector<Rule>& place = root.form == Form::kUnary    ? unary_[static_cast<std::size_t>(root.unary)]
                                 : root.form == Form::kBinary ? binary_[static_cast<std::size_t>(root.binary)]
                                 : root.form == Form::kIf     ? branches_
                                                              : selections_;
      place.push_back(std::move(rule));
    }
  }

  std::span<const Rule> rules_for(ir::Expr expr) const {
    if (const auto* unary = expr.as<ir::Unary>()) return unary_[static_cast<std::size_t>(unary->op)];
    if (const auto* binary = expr.as<ir::Binary>()) return binary_[static_cast<std::size_t>(binary->op)];
    if (expr.is<ir::If>()) return branches_;
    if (expr.is<ir::Select>()) return selections_;
    return {};
  }

 private:
  std::array<std::vector<Rule>, ir::kNumUnaryOps> unary_;
  std::array<std::vector<Rule>, ir::kNumBinaryOps> binary_;
  std::vector<Rule> branches_;
  std::vector<Rule> selections_;
};

const RuleBook& rule_book() {
  static const RuleBook book;
  return book;
}

// The value of a literal, or of all lanes of a simd.
const ir::ScalarValue* constant(ir::Expr expr) {
  if (const auto* broadcast = expr.as<ir::Broadcast>()) expr = broadcast->value;
  const auto* literal = expr.as<ir::Literal>();
  return literal ? &literal->value : nullptr;
}

bool is_scalar_or_simd(ir::Type type) {
  return type.as<ir::ScalarType>() || type.as<ir::SimdType>();
}

Kinds group_of(ir::ScalarKind kind) {
  if (kind == ir::ScalarKind::kBool) return kBoolKind;
  if (ir::is_float(kind)) return kFloatKinds;
  return ir::is_signed(kind) ? kSignedKinds : kUnsignedKinds;
}

template <class T>
T number_as(const RuleTerm& term) {
  using Limits = std::numeric_limits<T>;
  switch (term.form) {
    case Form::kLeast:
      return Limits::min();
    case Form::kLargest:
      return Limits::max();
    case Form::kOnes:
      return static_cast<T>(std::is_same_v<T, bool> ? 1 : -1);
    default:
      if constexpr (std::is_unsigned_v<T> && !std::is_same_v<T, bool>)
        return static_cast<T>(static_cast<std::int64_t>(term.number));
      else
        return static_cast<T>(term.number);
  }
}

// The literal that a term without variables stands for.
ir::ScalarValue literal_of(const RuleTerm& term, ir::ScalarKind kind) {
  return ir::dispatch(kind, [&](auto zero) { return ir::ScalarValue::of(number_as<decltype(zero)>(term)); });
}

bool has_exact_reciprocal(ir::ScalarValue value) {
  const auto holds = [](auto number) {
    int exponent = 0;
    return std::isnormal(number) && std::isnormal(1 / number) &&
           std::abs(std::frexp(number, &exponent)) == 0.5f;
  };
  return value.kind == ir::ScalarKind::kF32 ? holds(value.as<float>()) : holds(value.as<double>());
}

// One attempt to match a rule.
class Match {
 public:
  explicit Match(const Rule& rule) : rule_(rule) {}

  bool matches(ir::Expr expr) {
    // A branch on a bool may yield a simd.
    const auto is_of_type = [&](std::size_t slot) { return bindings_[slot].type() == expr.type(); };
    return matches(0, expr) && std::ranges::all_of(rule_.bools, is_of_type) && fulfils_condition() &&
           may_rearrange();
  }

  ir::Expr binding(char name) const { return bindings_[slot_of(name)]; }
  ir::ScalarKind kind() const { return kind_.value_or(ir::ScalarKind::kBool); }

 private:
  bool matches(std::size_t index, ir::Expr expr) {
    const RuleTerm& term = rule_.pattern[index];
    const auto all_match = [&](std::initializer_list<ir::Expr> parts) {
      std::size_t part = 0;
      return std::ranges::all_of(parts, [&](ir::Expr value) { return matches(term.parts[part++], value); });
    };
    switch (term.form) {
      case Form::kVariable:
        return set_kind(expr) && bind(term.name, expr);
      case Form::kConstant:
        return constant(expr) && set_kind(expr) && bind(term.name, expr);
      case Form::kBool:
        return is_scalar_or_simd(expr.type()) && ir::element_kind(expr.type()) == ir::ScalarKind::kBool &&
               bind(term.name, expr);
      case Form::kAny:
        return bind(term.name, expr);
      case Form::kUnary: {
        const auto* unary = expr.as<ir::Unary>();
        return unary && unary->op == term.unary && all_match({unary->value});
      }
      case Form::kBinary: {
        const auto* binary = expr.as<ir::Binary>();
        return binary && binary->op == term.binary && all_match({binary->left, binary->right});
      }
      case Form::kBoolNumber: {
        const auto* cast = expr.as<ir::Cast>();
        return cast && set_kind(expr) && all_match({cast->value});
      }
      case Form::kIf: {
        const auto* branch = expr.as<ir::If>();
        return branch && may_be_logic(expr, branch->condition) &&
               all_match({branch->condition, branch->on_true, branch->on_false});
      }
      case Form::kSelect: {
        const auto* select = expr.as<ir::Select>();
        return select && may_be_logic(expr, select->condition) &&
               all_match({select->condition, select->on_true, select->on_false});
      }
      default:
        return matches_number(term, expr);
    }
  }

  // Operators of bools take no bool together with lanes.
  bool may_be_logic(ir::Expr branch, ir::Expr condition) const {
    return rule_.kinds != kBoolKind || branch.type() == condition.type();
  }

  bool matches_number(const RuleTerm& term, ir::Expr expr) {
    const ir::ScalarValue* value = constant(expr);
    if (!value) return false;
    if (term.is_bool ? value->kind != ir::ScalarKind::kBool : !set_kind(expr)) return false;
    return *value == literal_of(term, value->kind);
  }

  // The kind of the rule is that of the first operand that has one.
  bool set_kind(ir::Expr expr) {
    if (!is_scalar_or_simd(expr.type())) return false;
    const ir::ScalarKind kind = ir::element_kind(expr.type());
    if (!kind_ && (rule_.kinds & group_of(kind)) != 0) kind_ = kind;
    return kind_ == kind;
  }

  bool bind(char name, ir::Expr expr) {
    ir::Expr& bound = bindings_[slot_of(name)];
    if (bound) {
      return bound == expr ||
             (bound.record().num_nodes == expr.record().num_nodes && ir::alpha_equal(bound, expr));
    }
    bound = expr;
    return true;
  }

  bool fulfils_condition() const {
    switch (rule_.condition) {
      case Condition::kNone:
        return true;
      case Condition::kPowerOfTwo:
        return std::has_single_bit(constant(binding('c'))->bits);
      case Condition::kExactReciprocal:
        return has_exact_reciprocal(*constant(binding('c')));
      case Condition::kShiftsAddUp:
        break;
    }
    const auto width = static_cast<std::uint64_t>(ir::bit_width(kind()));
    const std::uint64_t first = constant(binding('c'))->bits;
    const std::uint64_t second = constant(binding('d'))->bits;
    return first < width && second < width && first + second < width;
  }

  // Errors are neither lost nor told in another order.
  bool may_rearrange() const {
    const auto is_pure = [&](std::size_t slot) { return ir::is_pure(bindings_[slot]); };
    return std::ranges::all_of(rule_.dropped, is_pure) &&
           std::ranges::count_if(rule_.ordered, std::not_fn(is_pure)) <= 1;
  }

  const Rule& rule_;
  Bindings bindings_;
  std::optional<ir::ScalarKind> kind_;
};

class Simplifier {
 public:
  explicit Simplifier(ir::Arena& arena) : arena_(arena) {}

  ir::Expr simplify(ir::Expr expr) {
    steps_left_ = kMaxSteps;
    return apply_rules(expr);
  }

 private:
  static constexpr int kMaxSteps = 64;  // rules applied at one node of the program

  ir::Expr apply_rules(ir::Expr expr) {
    while (steps_left_-- > 0) {
      const ir::Expr simpler = apply_one(expr);
      if (simpler.get() == expr.get()) break;
      expr = simpler;
    }
    return expr;
  }

  ir::Expr apply_one(ir::Expr expr) {
    if (const auto* cast = expr.as<ir::Cast>()) return without_inner_cast(expr, *cast);
    if (is_all_literals(expr)) return expr;  // fold_constants computes it
    for (const Rule& rule : rule_book().rules_for(expr)) {
      Match match(rule);
      if (match.matches(expr)) return build(rule.replacement, 0, match, expr);
    }
    return expr;
  }

  ir::Expr without_inner_cast(ir::Expr expr, const ir::Cast& cast) {
    const auto* inner = cast.value.as<ir::Cast>();
    if (!inner) return expr;
    const ir::ScalarKind from = ir::element_kind(inner->value.type());
    if (!casts_compose(from, inner->kind, cast.kind)) return expr;
    return from == cast.kind ? inner->value : arena_.make<ir::Cast>(expr.span(), cast.kind, inner->value);
  }

  static bool is_all_literals(ir::Expr expr) {
    const auto* binary = expr.as<ir::Binary>();
    return binary && constant(binary->left) && constant(binary->right);
  }

  // The part of a replacement, in the place of `origin`, which may be simd.
  ir::Expr build(const RuleTree& tree, std::size_t index, const Match& match, ir::Expr origin) {
    const RuleTerm& term = tree[index];
    if (is_variable(term)) return match.binding(term.name);
    std::array<ir::Expr, 3> parts;
    for (std::size_t i = 0; i < num_parts(term); ++i) parts[i] = build(tree, term.parts[i], match, origin);
    const ir::Expr built = make(term, parts, match, origin);
    return index == 0 ? built : apply_rules(built);
  }

  ir::Expr make(const RuleTerm& term, const std::array<ir::Expr, 3>& parts, const Match& match,
                ir::Expr origin) {
    const ir::Span span = origin.span();
    const auto [first, second, third] = parts;
    switch (term.form) {
      case Form::kUnary:
        if (constant(first)) return literal(ir::evaluate(term.unary, *constant(first)), origin);
        return arena_.make<ir::Unary>(span, term.unary, first);
      case Form::kBinary: {
        const bool is_known = constant(first) && constant(second);
        const auto value =
            is_known ? ir::evaluate(term.binary, *constant(first), *constant(second)) : std::nullopt;
        return value ? literal(*value, origin) : arena_.make<ir::Binary>(span, term.binary, first, second);
      }
      case Form::kLog2: {
        const ir::ScalarValue& value = *constant(first);
        return literal({value.kind, static_cast<std::uint64_t>(std::countr_zero(value.bits))}, origin);
      }
      case Form::kReciprocal: {
        const ir::ScalarValue& value = *constant(first);
        const ir::ScalarValue one = literal_of({.form = Form::kNumber, .number = 1}, value.kind);
        return literal(*ir::evaluate(ir::BinaryOp::kDiv, one, value), origin);
      }
      case Form::kIf:
        return arena_.make<ir::If>(span, first, second, third);
      case Form::kSelect:
        return arena_.make<ir::Select>(span, first, second, third);
      default:
        return literal(literal_of(term, term.is_bool ? ir::ScalarKind::kBool : match.kind()), origin);
    }
  }

  ir::Expr literal(ir::ScalarValue value, ir::Expr origin) {
    const ir::Expr scalar = arena_.literal(value, origin.span());
    const auto* simd = origin.type().as<ir::SimdType>();
    return simd ? arena_.make<ir::Broadcast>(origin.span(), scalar, simd->lanes) : scalar;
  }

  ir::Arena& arena_;
  int steps_left_ = 0;
};

}  // namespace

ir::Expr simplify_algebra(ir::Expr root, PassContext& context) {
  Simplifier simplifier(context.arena);
  return ir::rewrite_bottom_up(root, context.arena, [&](ir::Expr expr) { return simplifier.simplify(expr); });
}

}  // namespace weld::passes
