#include "passes/algebra_rules.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>

#include "ir/error.h"

namespace weld::passes {
namespace {

using Form = RuleTerm::Form;

// Constants go to the right first, so that the other rules need one form only. What is missing on purpose: x
// + 0.0, 0.0 - x and x * 0.0 (signs of zeros, NaN), x - x and (x + c) + d on floats, x / 2^k on signed
// integers (truncation), comparisons of sums other than == and != (overflow), and whatever cancels a
// division.
constexpr AlgebraRule kRules[] = {
    // Constants to the right.
    {"c + x", "x + c", kNumberKinds},
    {"c * x", "x * c", kNumberKinds},
    {"c & x", "x & c", kBitKinds},
    {"c | x", "x | c", kBitKinds},
    {"c ^ x", "x ^ c", kBitKinds},
    {"min(c, x)", "min(x, c)", kNumberKinds},
    {"max(c, x)", "max(x, c)", kNumberKinds},
    {"c == x", "x == c", kAllKinds},
    {"c != x", "x != c", kAllKinds},
    {"c < x", "x > c", kAllKinds},
    {"c > x", "x < c", kAllKinds},
    {"c <= x", "x >= c", kAllKinds},
    {"c >= x", "x <= c", kAllKinds},

    // Neutral and absorbing operands.
    {"x + 0", "x", kIntegerKinds},
    {"x - 0", "x", kIntegerKinds},
    {"x + -0.0", "x", kFloatKinds},
    {"x - 0.0", "x", kFloatKinds},
    {"0 - x", "-x", kIntegerKinds},
    {"-0.0 - x", "-x", kFloatKinds},
    {"x * 1", "x", kNumberKinds},
    {"x / 1", "x", kNumberKinds},
    {"x * -1", "-x", kNumberKinds},
    {"x / -1", "-x", Kinds(kSignedKinds | kFloatKinds)},
    {"x * 0", "0", kIntegerKinds},
    {"x % 1", "0", kIntegerKinds},
    {"x % -1", "0", kSignedKinds},
    {"x & 0", "0", kBitKinds},
    {"x | 0", "x", kBitKinds},
    {"x ^ 0", "x", kBitKinds},
    {"x & ONES", "x", kBitKinds},
    {"x | ONES", "ONES", kBitKinds},
    {"x ^ ONES", "!x", kBoolKind},
    {"x << 0", "x", kIntegerKinds},
    {"x >> 0", "x", kIntegerKinds},
    {"0 << x", "0", kIntegerKinds},
    {"0 >> x", "0", kIntegerKinds},
    {"min(x, MAX)", "x", kIntegerKinds},
    {"max(x, MIN)", "x", kIntegerKinds},
    {"min(x, MIN)", "MIN", kIntegerKinds},
    {"max(x, MAX)", "MAX", kIntegerKinds},
    {"min(x, INF)", "x", kFloatKinds},
    {"max(x, -INF)", "x", kFloatKinds},

    // Twice the same.
    {"x - x", "0", kIntegerKinds},
    {"x ^ x", "0", kBitKinds},
    {"x & x", "x", kBitKinds},
    {"x | x", "x", kBitKinds},
    {"p && p", "p", kBoolKind},
    {"p || p", "p", kBoolKind},
    {"min(x, x)", "x", kNumberKinds},
    {"max(x, x)", "x", kNumberKinds},
    {"x == x", "true", kBitKinds},
    {"x <= x", "true", kBitKinds},
    {"x >= x", "true", kBitKinds},
    {"x != x", "false", kBitKinds},
    {"x < x", "false", kAllKinds},
    {"x > x", "false", kAllKinds},
    {"if(p, a, a)", "a", kAllKinds},
    {"select(p, a, a)", "a", kAllKinds},
    {"(x + y) - y", "x", kIntegerKinds},
    {"(x - y) + y", "x", kIntegerKinds},

    // Signs.
    {"-(-x)", "x", kNumberKinds},
    {"-(x - y)", "y - x", kIntegerKinds},
    {"x + -y", "x - y", kNumberKinds},
    {"x - -y", "x + y", kNumberKinds},
    {"-x * -y", "x * y", kNumberKinds},
    {"-x * c", "x * -c", kNumberKinds},
    {"-x / c", "x / -c", kFloatKinds},
    {"-x == c", "x == -c", kNumberKinds},
    {"-x != c", "x != -c", kNumberKinds},
    {"-x < c", "x > -c", kFloatKinds},
    {"-x > c", "x < -c", kFloatKinds},
    {"-x <= c", "x >= -c", kFloatKinds},
    {"-x >= c", "x <= -c", kFloatKinds},
    {"-x == -y", "x == y", kNumberKinds},
    {"-x != -y", "x != y", kNumberKinds},
    {"abs(abs(x))", "abs(x)", kNumberKinds},
    {"abs(-x)", "abs(x)", Kinds(kSignedKinds | kFloatKinds)},
    {"abs(x)", "x", kUnsignedKinds},

    // Constants of nested operators become one.
    {"(x + c) + d", "x + (c + d)", kIntegerKinds},
    {"(x + c) - d", "x + (c - d)", kIntegerKinds},
    {"(x - c) + d", "x + (d - c)", kIntegerKinds},
    {"(x - c) - d", "x - (c + d)", kIntegerKinds},
    {"(c - x) + d", "(c + d) - x", kIntegerKinds},
    {"(c - x) - d", "(c - d) - x", kIntegerKinds},
    {"c - (x + d)", "(c - d) - x", kIntegerKinds},
    {"c - (x - d)", "(c + d) - x", kIntegerKinds},
    {"c - (d - x)", "x + (c - d)", kIntegerKinds},
    {"(x * c) * d", "x * (c * d)", kIntegerKinds},
    {"(x & c) & d", "x & (c & d)", kBitKinds},
    {"(x | c) | d", "x | (c | d)", kBitKinds},
    {"(x ^ c) ^ d", "x ^ (c ^ d)", kBitKinds},
    {"(x << c) << d", "x << (c + d)", kIntegerKinds, Condition::kShiftsAddUp},
    {"(x >> c) >> d", "x >> (c + d)", kIntegerKinds, Condition::kShiftsAddUp},
    {"min(min(x, c), d)", "min(x, min(c, d))", kNumberKinds},
    {"max(max(x, c), d)", "max(x, max(c, d))", kNumberKinds},
    {"x + c == d", "x == d - c", kIntegerKinds},
    {"x + c != d", "x != d - c", kIntegerKinds},
    {"x - c == d", "x == c + d", kIntegerKinds},
    {"x - c != d", "x != c + d", kIntegerKinds},
    {"c - x == d", "x == c - d", kIntegerKinds},
    {"c - x != d", "x != c - d", kIntegerKinds},
    {"(x ^ c) == d", "x == (c ^ d)", kBitKinds},
    {"(x ^ c) != d", "x != (c ^ d)", kBitKinds},
    {"x - y == 0", "x == y", kIntegerKinds},
    {"x - y != 0", "x != y", kIntegerKinds},
    {"(x ^ y) == 0", "x == y", kIntegerKinds},
    {"(x ^ y) != 0", "x != y", kIntegerKinds},

    // Divisions by powers of two.
    {"x / c", "x >> log2(c)", kUnsignedKinds, Condition::kPowerOfTwo},
    {"x % c", "x & (c - 1)", kUnsignedKinds, Condition::kPowerOfTwo},
    {"x / c", "x * reciprocal(c)", kFloatKinds, Condition::kExactReciprocal},

    // Comparisons with what no value is beyond.
    {"x < MIN", "false", kIntegerKinds},
    {"x >= MIN", "true", kIntegerKinds},
    {"x > MAX", "false", kIntegerKinds},
    {"x <= MAX", "true", kIntegerKinds},
    {"x <= 0", "x == 0", kUnsignedKinds},
    {"x > 0", "x != 0", kUnsignedKinds},

    // Negated comparisons: of floats only those that are false for NaN either way.
    {"!(!p)", "p", kBoolKind},
    {"!(x == y)", "x != y", kAllKinds},
    {"!(x != y)", "x == y", kAllKinds},
    {"!(x < y)", "x >= y", kBitKinds},
    {"!(x > y)", "x <= y", kBitKinds},
    {"!(x <= y)", "x > y", kBitKinds},
    {"!(x >= y)", "x < y", kBitKinds},

    // Bool.
    {"x == true", "x", kBoolKind},
    {"x == false", "!x", kBoolKind},
    {"x != true", "!x", kBoolKind},
    {"x != false", "x", kBoolKind},
    {"if(p, false, true)", "!p", kBoolKind},
    {"if(p, true, q)", "p || q", kBoolKind},
    {"if(p, q, false)", "p && q", kBoolKind},
    {"if(p, false, q)", "!p && q", kBoolKind},
    {"if(p, q, true)", "!p || q", kBoolKind},
    {"select(p, true, false)", "p", kBoolKind},
    {"select(p, false, true)", "!p", kBoolKind},
    {"select(p, true, q)", "p | q", kBoolKind},
    {"select(p, q, false)", "p & q", kBoolKind},
    {"number(p) == 0", "!p", kNumberKinds},
    {"number(p) != 0", "p", kNumberKinds},
    {"number(p) == 1", "p", kNumberKinds},
    {"number(p) != 1", "!p", kNumberKinds},
    {"number(p) > 0", "p", kNumberKinds},
};

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Reads terms with the precedences of the language.
class TermParser {
 public:
  explicit TermParser(std::string_view text) : rest_(text) {}

  RuleTree parse() {
    const std::uint8_t root = read_operators(0);
    ir::internal_check(rest_.empty(), "a rule is a term");
    return root_first(root);
  }

 private:
  struct Operator {
    std::string_view text;
    ir::BinaryOp op;
    int level;
  };
  // Longer ones before their beginnings.
  static constexpr Operator kOperators[] = {
      {"||", ir::BinaryOp::kLogicalOr, 1}, {"&&", ir::BinaryOp::kLogicalAnd, 2},
      {"==", ir::BinaryOp::kEq, 6},        {"!=", ir::BinaryOp::kNe, 6},
      {"<<", ir::BinaryOp::kShl, 8},       {">>", ir::BinaryOp::kShr, 8},
      {"<=", ir::BinaryOp::kLe, 7},        {">=", ir::BinaryOp::kGe, 7},
      {"<", ir::BinaryOp::kLt, 7},         {">", ir::BinaryOp::kGt, 7},
      {"|", ir::BinaryOp::kBitOr, 3},      {"^", ir::BinaryOp::kXor, 4},
      {"&", ir::BinaryOp::kBitAnd, 5},     {"+", ir::BinaryOp::kAdd, 9},
      {"-", ir::BinaryOp::kSub, 9},        {"*", ir::BinaryOp::kMul, 10},
      {"/", ir::BinaryOp::kDiv, 10},       {"%", ir::BinaryOp::kRem, 10},
  };

  void skip_spaces() {
    while (rest_.starts_with(' ')) rest_.remove_prefix(1);
  }
  bool take(std::string_view text) {
    skip_spaces();
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    skip_spaces();
    return true;
  }
  void expect(std::string_view text) { ir::internal_check(take(text), "a rule is a term"); }

  std::uint8_t add(const RuleTerm& term) {
    terms_.push_back(term);
    return static_cast<std::uint8_t>(terms_.size() - 1);
  }

  const Operator* next_operator(int least_level) const {
    for (const Operator& op : kOperators) {
      if (rest_.starts_with(op.text)) return op.level >= least_level ? &op : nullptr;
    }
    return nullptr;
  }

  std::uint8_t read_operators(int least_level) {
    std::uint8_t left = read_prefixed();
    while (const Operator* op = next_operator(least_level)) {
      expect(op->text);
      const std::uint8_t right = read_operators(op->level + 1);
      left = add({.form = Form::kBinary, .binary = op->op, .parts = {left, right}});
    }
    return left;
  }

  std::uint8_t read_prefixed() {
    skip_spaces();
    const bool is_negative_number = rest_.size() > 1 && rest_[0] == '-' && rest_[1] >= '0' && rest_[1] <= '9';
    if (is_negative_number || (!rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9')) return read_number();
    if (take("-INF")) return add({.form = Form::kNumber, .number = -kInfinity});
    if (take("-")) return add({.form = Form::kUnary, .unary = ir::UnaryOp::kNeg, .parts = {read_prefixed()}});
    if (take("!")) return add({.form = Form::kUnary, .unary = ir::UnaryOp::kNot, .parts = {read_prefixed()}});
    if (take("(")) {
      const std::uint8_t inner = read_operators(0);
      expect(")");
      return inner;
    }
    return read_word();
  }

  std::uint8_t read_number() {
    double number = 0;
    const auto end = std::from_chars(rest_.data(), rest_.data() + rest_.size(), number).ptr;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    skip_spaces();
    return add({.form = Form::kNumber, .number = number});
  }

  std::uint8_t read_word() {
    const std::size_t length = std::min(rest_.find_first_of(" ,()"), rest_.size());
    const std::string_view word = rest_.substr(0, length);
    ir::internal_check(!word.empty(), "a rule is a term");
    rest_.remove_prefix(length);
    skip_spaces();
    if (word.size() == 1) return add({.form = form_of(word[0]), .name = word[0]});
    if (word == "true") return add({.form = Form::kNumber, .number = 1, .is_bool = true});
    if (word == "false") return add({.form = Form::kNumber, .number = 0, .is_bool = true});
    if (word == "MIN") return add({.form = Form::kLeast});
    if (word == "MAX") return add({.form = Form::kLargest});
    if (word == "ONES") return add({.form = Form::kOnes});
    if (word == "INF") return add({.form = Form::kNumber, .number = kInfinity});
    return read_call(word);
  }

  static Form form_of(char name) {
    if (name == 'c' || name == 'd') return Form::kConstant;
    if (name == 'p' || name == 'q') return Form::kBool;
    if (name == 'a' || name == 'b') return Form::kAny;
    ir::internal_check(name >= 'x' && name <= 'z', "a rule is a term");
    return Form::kVariable;
  }

  std::uint8_t read_call(std::string_view word) {
    RuleTerm term = call_of(word);
    expect("(");
    std::size_t num_parts = 0;
    do {
      ir::internal_check(num_parts < std::size(term.parts), "a rule is a term");
      term.parts[num_parts++] = read_operators(0);
    } while (take(","));
    expect(")");
    return add(term);
  }

  static RuleTerm call_of(std::string_view word) {
    if (word == "min") return {.form = Form::kBinary, .binary = ir::BinaryOp::kMin};
    if (word == "max") return {.form = Form::kBinary, .binary = ir::BinaryOp::kMax};
    if (word == "abs") return {.form = Form::kUnary, .unary = ir::UnaryOp::kAbs};
    if (word == "number") return {.form = Form::kBoolNumber};
    if (word == "log2") return {.form = Form::kLog2};
    if (word == "reciprocal") return {.form = Form::kReciprocal};
    if (word == "if") return {.form = Form::kIf};
    ir::internal_check(word == "select", "a rule is a term");
    return {.form = Form::kSelect};
  }

  // Parts are read before what they are parts of: the root is last.
  RuleTree root_first(std::uint8_t root) {
    RuleTree reversed(terms_.rbegin(), terms_.rend());
    const auto last = static_cast<std::uint8_t>(terms_.size() - 1);
    ir::internal_check(root == last, "a rule is a term");
    for (RuleTerm& term : reversed) {
      for (std::uint8_t& part : term.parts) part = static_cast<std::uint8_t>(last - part);
    }
    return reversed;
  }

  std::string_view rest_;
  RuleTree terms_;
};

// Bits that hold every value of a kind: of integers with their sign, of floats the significand.
int significant_bits(ir::ScalarKind kind) {
  if (kind == ir::ScalarKind::kBool) return 1;
  if (kind == ir::ScalarKind::kF32) return 24;
  if (kind == ir::ScalarKind::kF64) return 53;
  return ir::bit_width(kind) - (ir::is_signed(kind) ? 1 : 0);
}

// Whether every value of `from` is one of `to`.
bool represents_all(ir::ScalarKind to, ir::ScalarKind from) {
  if (to == from) return true;
  if (to == ir::ScalarKind::kBool) return false;
  if (ir::is_float(from) && !ir::is_float(to)) return false;
  if (ir::is_signed(from) && !ir::is_signed(to) && !ir::is_float(to)) return false;
  return significant_bits(from) <= significant_bits(to);
}

}  // namespace

std::span<const AlgebraRule> algebra_rules() {
  return kRules;
}

RuleTree parse_rule_term(std::string_view text) {
  return TermParser(text).parse();
}

bool casts_compose(ir::ScalarKind from, ir::ScalarKind through, ir::ScalarKind to) {
  // What arrives unchanged is converted as if directly: except that a float saturates where an integer wraps.
  const bool saturates = ir::is_float(through) && !ir::is_float(from) && ir::is_integer(to);
  if (represents_all(through, from)) return !saturates || represents_all(to, from);
  // Between integers only the low bits count.
  return (ir::is_integer(from) || from == ir::ScalarKind::kBool) && ir::is_integer(through) &&
         ir::is_integer(to) && ir::bit_width(to) <= ir::bit_width(through);
}

}  // namespace weld::passes
