#include "passes/algebra_rules.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <z3++.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "ir/scalar_eval.h"

namespace weld::passes {
namespace {

using Form = RuleTerm::Form;

// A kind of scalars as z3 sees it. Floats are of 16 bits: the rules do not depend on the width, the time to
// prove them does.
struct Domain {
  Kinds group;
  int width;
  std::string name;
};

std::vector<Domain> all_domains() {
  std::vector<Domain> domains;
  for (const int width : {8, 16, 32}) {
    domains.push_back({kSignedKinds, width, fmt::format("i{}", width)});
    domains.push_back({kUnsignedKinds, width, fmt::format("u{}", width)});
  }
  domains.push_back({kFloatKinds, 16, "f16"});
  domains.push_back({kBoolKind, 1, "bool"});
  return domains;
}

// Translates the sides of a rule for one kind of scalars.
class Translator {
 public:
  Translator(z3::context& z3, const Domain& domain) : z3_(z3), domain_(domain) {}

  z3::expr translate(const RuleTree& tree, std::size_t index = 0) {
    const RuleTerm& term = tree[index];
    const auto part = [&](std::size_t i) { return translate(tree, term.parts[i]); };
    switch (term.form) {
      case Form::kVariable:
      case Form::kConstant:
        return variable(term.name, sort());
      case Form::kBool:
        return variable(term.name, z3_.bool_sort());
      case Form::kAny:
        return variable(term.name, z3_.bv_sort(8));
      case Form::kNumber:
        return term.is_bool ? z3_.bool_val(term.number != 0) : number(term.number);
      case Form::kLeast:
        return bits(is(kSignedKinds) ? std::uint64_t{1} << (domain_.width - 1) : 0);
      case Form::kLargest:
        return bits(is(kSignedKinds) ? (std::uint64_t{1} << (domain_.width - 1)) - 1 : ~std::uint64_t{0});
      case Form::kOnes:
        return is(kBoolKind) ? z3_.bool_val(true) : bits(~std::uint64_t{0});
      case Form::kBoolNumber:
        return z3::ite(part(0), number(1), number(0));
      case Form::kLog2:
        return log2(part(0));
      case Form::kReciprocal:
        return number(1) / part(0);
      case Form::kUnary:
        return unary(term.unary, part(0));
      case Form::kBinary:
        return binary(term.binary, part(0), part(1));
      case Form::kIf:
      case Form::kSelect:
        return z3::ite(part(0), part(1), part(2));
    }
    throw std::logic_error("a form that is not translated");
  }

  z3::expr condition(Condition condition) {
    const z3::expr c = variable('c', sort());
    switch (condition) {
      case Condition::kNone:
        return z3_.bool_val(true);
      case Condition::kPowerOfTwo:
        return c != bits(0) && (c & (c - bits(1))) == bits(0);
      case Condition::kExactReciprocal:
        break;
      case Condition::kShiftsAddUp: {
        const z3::expr d = variable('d', sort());
        const z3::expr width = bits(static_cast<std::uint64_t>(domain_.width));
        return z3::ult(c, width) && z3::ult(d, width) && z3::ult(c + d, width);
      }
    }
    // Half precision: significand 0, exponent from 2^-14 to 2^14.
    z3::expr is_power = z3_.bool_val(false);
    for (int exponent = -14; exponent <= 14; ++exponent) {
      const z3::expr power = number(std::ldexp(1.0, exponent));
      is_power = is_power || c == power || c == -power;
    }
    return is_power;
  }

 private:
  bool is(int group) const { return (domain_.group & group) != 0; }

  z3::sort sort() {
    if (is(kBoolKind)) return z3_.bool_sort();
    return is(kFloatKinds) ? z3_.fpa_sort(5, 11) : z3_.bv_sort(static_cast<unsigned>(domain_.width));
  }

  z3::expr variable(char name, const z3::sort& sort) {
    return z3_.constant(std::string(1, name).c_str(), sort);
  }

  z3::expr bits(std::uint64_t value) {
    const std::uint64_t mask = (std::uint64_t{1} << domain_.width) - 1;
    return z3_.bv_val(value & mask, static_cast<unsigned>(domain_.width));
  }

  z3::expr number(double value) {
    if (is(kBoolKind)) return z3_.bool_val(value != 0);
    if (!is(kFloatKinds)) return bits(static_cast<std::uint64_t>(static_cast<std::int64_t>(value)));
    return z3::expr(z3_, Z3_mk_fpa_numeral_double(z3_, value, sort()));
  }

  z3::expr log2(const z3::expr& value) {
    z3::expr result = bits(0);
    for (int i = 1; i < domain_.width; ++i) {
      result = z3::ite(value == bits(std::uint64_t{1} << i), bits(static_cast<std::uint64_t>(i)), result);
    }
    return result;
  }

  z3::expr unary(ir::UnaryOp op, const z3::expr& value) {
    if (op == ir::UnaryOp::kNot) return !value;
    if (op == ir::UnaryOp::kNeg) return -value;
    if (op != ir::UnaryOp::kAbs) throw std::logic_error("a function that is not translated");
    if (is(kFloatKinds)) return z3::abs(value);
    return is(kUnsignedKinds) ? value : z3::ite(value < bits(0), -value, value);
  }

  z3::expr binary(ir::BinaryOp op, const z3::expr& left, const z3::expr& right) {
    if (left.is_bool()) return logical(op, left, right);
    if (left.is_fpa()) return floating(op, left, right);
    if (const z3::expr compared = compare(op, left, right); compared) return compared;
    const bool is_signed = is(kSignedKinds);
    const z3::expr count = right & bits(static_cast<std::uint64_t>(domain_.width - 1));
    switch (op) {
      case ir::BinaryOp::kAdd:
        return left + right;
      case ir::BinaryOp::kSub:
        return left - right;
      case ir::BinaryOp::kMul:
        return left * right;
      case ir::BinaryOp::kDiv:
        return is_signed ? left / right : z3::udiv(left, right);
      case ir::BinaryOp::kRem:
        return is_signed ? z3::srem(left, right) : z3::urem(left, right);
      case ir::BinaryOp::kBitAnd:
        return left & right;
      case ir::BinaryOp::kBitOr:
        return left | right;
      case ir::BinaryOp::kXor:
        return left ^ right;
      case ir::BinaryOp::kShl:
        return z3::shl(left, count);
      case ir::BinaryOp::kShr:
        return is_signed ? z3::ashr(left, count) : z3::lshr(left, count);
      case ir::BinaryOp::kMin:
        return z3::ite(less(right, left), right, left);
      case ir::BinaryOp::kMax:
        return z3::ite(less(left, right), right, left);
      default:
        throw std::logic_error("an operator that is not translated");
    }
  }

  z3::expr less(const z3::expr& left, const z3::expr& right) {
    return is(kSignedKinds) ? left < right : z3::ult(left, right);
  }

  // Null for other operators.
  z3::expr compare(ir::BinaryOp op, const z3::expr& left, const z3::expr& right) {
    switch (op) {
      case ir::BinaryOp::kEq:
        return left == right;
      case ir::BinaryOp::kNe:
        return left != right;
      case ir::BinaryOp::kLt:
        return less(left, right);
      case ir::BinaryOp::kGt:
        return less(right, left);
      case ir::BinaryOp::kLe:
        return !less(right, left);
      case ir::BinaryOp::kGe:
        return !less(left, right);
      default:
        return z3::expr(z3_);
    }
  }

  z3::expr logical(ir::BinaryOp op, const z3::expr& left, const z3::expr& right) {
    switch (op) {
      case ir::BinaryOp::kLogicalAnd:
      case ir::BinaryOp::kBitAnd:
        return left && right;
      case ir::BinaryOp::kLogicalOr:
      case ir::BinaryOp::kBitOr:
        return left || right;
      case ir::BinaryOp::kXor:
      case ir::BinaryOp::kNe:
        return left != right;
      case ir::BinaryOp::kEq:
        return left == right;
      case ir::BinaryOp::kLt:
        return !left && right;
      case ir::BinaryOp::kGt:
        return left && !right;
      case ir::BinaryOp::kLe:
        return !left || right;
      case ir::BinaryOp::kGe:
        return left || !right;
      default:
        throw std::logic_error("an operator that is not translated");
    }
  }

  z3::expr floating(ir::BinaryOp op, const z3::expr& left, const z3::expr& right) {
    const z3::expr is_equal = z3::fp_eq(left, right);
    const z3::expr is_negative(z3_, Z3_mk_fpa_is_negative(z3_, left));
    switch (op) {
      case ir::BinaryOp::kAdd:
        return left + right;
      case ir::BinaryOp::kSub:
        return left - right;
      case ir::BinaryOp::kMul:
        return left * right;
      case ir::BinaryOp::kDiv:
        return left / right;
      case ir::BinaryOp::kEq:
        return is_equal;
      case ir::BinaryOp::kNe:
        return !is_equal;
      case ir::BinaryOp::kLt:
        return left < right;
      case ir::BinaryOp::kGt:
        return left > right;
      case ir::BinaryOp::kLe:
        return left <= right;
      case ir::BinaryOp::kGe:
        return left >= right;
      case ir::BinaryOp::kMin:  // NaN wins, -0 < +0
        return z3::ite(is_nan(left) || is_nan(right), nan(),
                       z3::ite(left < right || (is_equal && is_negative), left, right));
      case ir::BinaryOp::kMax:
        return z3::ite(is_nan(left) || is_nan(right), nan(),
                       z3::ite(left > right || (is_equal && !is_negative), left, right));
      default:
        throw std::logic_error("an operator that is not translated");
    }
  }
  z3::expr is_nan(const z3::expr& value) { return z3::expr(z3_, Z3_mk_fpa_is_nan(z3_, value)); }
  z3::expr nan() { return z3::expr(z3_, Z3_mk_fpa_nan(z3_, z3_.fpa_sort(5, 11))); }

  z3::context& z3_;
  const Domain& domain_;
};

// `=` of z3 on floats is that of bits, with one NaN.
bool is_proved(const AlgebraRule& rule, const Domain& domain, std::string* counterexample) {
  z3::context context;
  context.set_rounding_mode(z3::RNE);
  Translator translator(context, domain);
  const z3::expr left = translator.translate(parse_rule_term(rule.pattern));
  const z3::expr right = translator.translate(parse_rule_term(rule.replacement));
  const z3::expr same(context, Z3_mk_eq(context, left, right));
  z3::solver solver(context);
  z3::params params(context);
  params.set("timeout", 60'000u);
  solver.set(params);
  solver.add(translator.condition(rule.condition) && !same);
  const z3::check_result result = solver.check();
  if (result == z3::sat) *counterexample = Z3_model_to_string(context, solver.get_model());
  return result == z3::unsat;
}

TEST(AlgebraRules, AreProvedForEveryKind) {
  int num_proofs = 0;
  for (const AlgebraRule& rule : algebra_rules()) {
    for (const Domain& domain : all_domains()) {
      if ((rule.kinds & domain.group) == 0) continue;
      // Divisions of 29 powers by any half: too slow as one formula, see below.
      if (rule.condition == Condition::kExactReciprocal) continue;
      std::string counterexample;
      EXPECT_TRUE(is_proved(rule, domain, &counterexample))
          << rule.pattern << " => " << rule.replacement << " for " << domain.name << ": " << counterexample;
      ++num_proofs;
    }
  }
  EXPECT_GT(num_proofs, 500);
}

TEST(AlgebraRules, ProofsFindWhatTheOriginalGotWrong) {
  const AlgebraRule wrong[] = {
      {"(x * c) / d", "x * (c / d)", kIntegerKinds},
      {"x / c == d", "x == c * d", kIntegerKinds},
      {"x + c > d", "x > d - c", kIntegerKinds},
      {"x + c < y", "x < y - c", kIntegerKinds},
      {"x / c", "x >> log2(c)", kSignedKinds, Condition::kPowerOfTwo},
      {"!(x < y)", "x >= y", kFloatKinds},
      {"x + 0", "x", kFloatKinds},
      {"x - x", "0", kFloatKinds},
      {"x * 0", "0", kFloatKinds},
      {"-(x - y)", "y - x", kFloatKinds},
      {"(x + c) + d", "x + (c + d)", kFloatKinds},
      {"(x << c) << d", "x << (c + d)", kIntegerKinds},
      {"-x < c", "x > -c", kSignedKinds},
  };
  for (const AlgebraRule& rule : wrong) {
    for (const Domain& domain : all_domains()) {
      if ((rule.kinds & domain.group) == 0 || domain.width > 16) continue;
      std::string counterexample;
      EXPECT_FALSE(is_proved(rule, domain, &counterexample)) << rule.pattern << " for " << domain.name;
      EXPECT_FALSE(counterexample.empty()) << rule.pattern << " for " << domain.name;
    }
  }
}

// Each power of two whose reciprocal is normal, with values of all exponents.
TEST(AlgebraRules, ReciprocalsOfPowersOfTwoAreExact) {
  std::mt19937_64 random(1);
  for (int exponent = -126; exponent <= 126; ++exponent) {
    for (int i = 0; i < 5000; ++i) {
      const auto c = ir::ScalarValue::of(std::ldexp(i % 2 == 0 ? 1.0f : -1.0f, exponent));
      const ir::ScalarValue x{ir::ScalarKind::kF32, random() & 0xffffffffu};
      const auto reciprocal = *ir::evaluate(ir::BinaryOp::kDiv, ir::ScalarValue::of(1.0f), c);
      ASSERT_TRUE(ir::same_bits(*ir::evaluate(ir::BinaryOp::kDiv, x, c),
                                *ir::evaluate(ir::BinaryOp::kMul, x, reciprocal)));
    }
  }
}

TEST(AlgebraRules, EvaluateVariablesOnceOrLess) {
  const auto count = [](const RuleTree& tree, char name) {
    return std::ranges::count_if(tree, [&](const RuleTerm& term) { return term.name == name; });
  };
  for (const AlgebraRule& rule : algebra_rules()) {
    const RuleTree before = parse_rule_term(rule.pattern);
    const RuleTree after = parse_rule_term(rule.replacement);
    for (const char name : std::string("xyzpqab"))
      EXPECT_LE(count(after, name), count(before, name)) << rule.pattern;
  }
}

// Casts of bit vectors; floats are tried.
TEST(AlgebraRules, ComposedCastsAreProved) {
  constexpr auto kFirst = static_cast<int>(ir::ScalarKind::kI8);
  constexpr auto kLast = static_cast<int>(ir::ScalarKind::kU64);
  z3::context context;
  const auto cast = [&](const z3::expr& value, ir::ScalarKind from, ir::ScalarKind to) {
    const int more = ir::bit_width(to) - ir::bit_width(from);
    if (more <= 0) return value.extract(static_cast<unsigned>(ir::bit_width(to) - 1), 0);
    return ir::is_signed(from) ? z3::sext(value, static_cast<unsigned>(more))
                               : z3::zext(value, static_cast<unsigned>(more));
  };
  for (int from = kFirst; from <= kLast; ++from) {
    for (int through = kFirst; through <= kLast; ++through) {
      for (int to = kFirst; to <= kLast; ++to) {
        const auto [a, b, c] = std::array{ir::ScalarKind(from), ir::ScalarKind(through), ir::ScalarKind(to)};
        const z3::expr x = context.bv_const("x", static_cast<unsigned>(ir::bit_width(a)));
        z3::solver solver(context);
        solver.add(cast(cast(x, a, b), b, c) != cast(x, a, c));
        EXPECT_EQ(casts_compose(a, b, c), solver.check() == z3::unsat)
            << fmt::format("{}({}(x: {}))", ir::scalar_name(c), ir::scalar_name(b), ir::scalar_name(a));
      }
    }
  }
}

TEST(AlgebraRules, ComposedCastsKeepSampledValues) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 400'000; ++i) {
    const auto kind = [&] { return ir::ScalarKind(random() % ir::kNumScalarKinds); };
    const ir::ScalarKind from = kind();
    const ir::ScalarKind through = kind();
    const ir::ScalarKind to = kind();
    if (!casts_compose(from, through, to)) continue;
    // Small numbers, borders, and any bits.
    const std::int64_t small = static_cast<std::int64_t>(random() % 600) - 300;
    ir::ScalarValue x = ir::convert(from, ir::ScalarValue::of(small << (random() % 56)));
    if (i % 2 == 0 && from != ir::ScalarKind::kBool) {
      const int width = ir::bit_width(from);
      x.bits = width == 64 ? random() : random() & ((std::uint64_t{1} << width) - 1);
    }
    ASSERT_TRUE(ir::same_bits(ir::convert(to, ir::convert(through, x)), ir::convert(to, x)))
        << fmt::format("{}({}(x: {})), x = {:#x}", ir::scalar_name(to), ir::scalar_name(through),
                       ir::scalar_name(from), x.bits);
  }
}

}  // namespace
}  // namespace weld::passes
