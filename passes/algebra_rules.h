#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "ir/nodes.h"

namespace weld::passes {

/// Kinds of scalars that a rule holds for, or'ed.
enum Kinds : std::uint8_t {
  kSignedKinds = 1,
  kUnsignedKinds = 2,
  kFloatKinds = 4,
  kBoolKind = 8,
  kIntegerKinds = kSignedKinds | kUnsignedKinds,
  kNumberKinds = kIntegerKinds | kFloatKinds,
  kBitKinds = kIntegerKinds | kBoolKind,
  kAllKinds = kNumberKinds | kBoolKind,
};

/// What the constants of a rule have to fulfil.
enum class Condition : std::uint8_t {
  kNone,
  kPowerOfTwo,       ///< c is 1, 2, 4, …, unsigned
  kExactReciprocal,  ///< c and 1 / c are powers of two, and normal
  kShiftsAddUp,      ///< c, d and c + d are less than the width
};

/// An identity that is exact for every value of the types that it is for: wrapped, truncated, NaN and -0.0
/// included. Errors do not count: no side divides by a variable.
///
/// The texts are in the notation of the language, where
///   x, y, z    stand for any scalar or simd of the rule's kind
///   c, d       for a literal of it
///   p, q       for any bool
///   a, b       for a value of any type
///   0, 1, -1, -0.0, true, …, MIN, MAX, ONES, INF
///              are literals of it: least and largest integer, all bits set, infinity
/// and `number(p)` is the cast from bool. On the right side operators between literals are computed, also
/// `log2(c)`, and `reciprocal(c)` is 1 / c.
struct AlgebraRule {
  std::string_view pattern;
  std::string_view replacement;
  Kinds kinds;
  Condition condition = Condition::kNone;
};

/// All there are; the first that matches is taken.
std::span<const AlgebraRule> algebra_rules();

/// A part of a parsed side. Parts refer to later ones by index.
struct RuleTerm {
  enum class Form : std::uint8_t {
    kVariable,
    kConstant,    ///< c, d
    kBool,        ///< p, q
    kAny,         ///< a, b
    kNumber,      ///< a literal by its value
    kLeast,       ///< MIN
    kLargest,     ///< MAX
    kOnes,        ///< ONES
    kBoolNumber,  ///< number(p)
    kLog2,
    kReciprocal,
    kUnary,
    kBinary,
    kIf,
    kSelect,
  };
  Form form = Form::kVariable;
  char name = 0;         ///< of variables
  double number = 0;     ///< kNumber; true is 1
  bool is_bool = false;  ///< kNumber that was written `true` or `false`
  ir::UnaryOp unary{};
  ir::BinaryOp binary{};
  std::uint8_t parts[3] = {0, 0, 0};
};

/// A side as a tree whose root comes first.
using RuleTree = std::vector<RuleTerm>;

/// Reads a side of a rule. Throws InternalError for what is no term.
RuleTree parse_rule_term(std::string_view text);

/// Whether `to(through(x))` is `to(x)` for every value x of kind `from`.
bool casts_compose(ir::ScalarKind from, ir::ScalarKind through, ir::ScalarKind to);

}  // namespace weld::passes
