#include "ir/scalar_eval.h"

#include <cmath>
#include <limits>
#include <type_traits>

#include "ir/error.h"
#include "ir/math_functions.h"

namespace weld::ir {
namespace {

template <class T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

// Wraps a result, computed modulo 2^64, to the width of T.
template <class T>
T wrap(std::uint64_t bits) {
  return static_cast<T>(bits);
}

template <class T>
T negate(T value) {
  if constexpr (std::is_floating_point_v<T>)
    return -value;
  else
    return wrap<T>(std::uint64_t{0} - static_cast<std::uint64_t>(value));
}

template <class T>
T sign(T value) {
  if (value != value) return value;
  return static_cast<T>((value > T{0}) - (value < T{0}));
}

template <class T>
T minimum(T left, T right) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(left)) return left;
    if (std::isnan(right)) return right;
    if (left == right) return std::signbit(left) ? left : right;
  }
  return right < left ? right : left;
}

template <class T>
T maximum(T left, T right) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(left)) return left;
    if (std::isnan(right)) return right;
    if (left == right) return std::signbit(left) ? right : left;
  }
  return left < right ? right : left;
}

template <class T>
T evaluate_float(UnaryOp op, T value) {
  switch (op) {
    case UnaryOp::kNeg:
      return -value;
    case UnaryOp::kAbs:
      return std::fabs(value);
    case UnaryOp::kSign:
      return sign(value);
    case UnaryOp::kSqrt:
      return std::sqrt(value);
    case UnaryOp::kFloor:
      return std::floor(value);
    case UnaryOp::kCeil:
      return std::ceil(value);
    case UnaryOp::kTrunc:
      return std::trunc(value);
    case UnaryOp::kRound:
      if constexpr (std::is_same_v<T, float>)
        return __builtin_roundevenf(value);
      else
        return __builtin_roundeven(value);
    default:
      return call_math(op, value);
  }
}

template <class T>
std::optional<ScalarValue> divide(BinaryOp op, T left, T right) {
  if constexpr (std::is_floating_point_v<T>) {
    return ScalarValue::of<T>(op == BinaryOp::kDiv ? left / right : std::fmod(left, right));
  } else {
    if (right == T{0}) return std::nullopt;
    if constexpr (std::is_signed_v<T>) {
      if (right == T{-1}) return ScalarValue::of<T>(op == BinaryOp::kDiv ? negate(left) : T{0});
    }
    return ScalarValue::of<T>(static_cast<T>(op == BinaryOp::kDiv ? left / right : left % right));
  }
}

template <class T>
T arithmetic(BinaryOp op, T left, T right) {
  if constexpr (std::is_floating_point_v<T>) {
    if (op == BinaryOp::kAdd) return left + right;
    return op == BinaryOp::kSub ? left - right : left * right;
  } else {
    const auto l = static_cast<std::uint64_t>(left);
    const auto r = static_cast<std::uint64_t>(right);
    if (op == BinaryOp::kAdd) return wrap<T>(l + r);
    return wrap<T>(op == BinaryOp::kSub ? l - r : l * r);
  }
}

template <class T>
T shift(BinaryOp op, T left, T right) {
  constexpr int width = std::numeric_limits<std::make_unsigned_t<T>>::digits;
  const auto count = static_cast<std::uint64_t>(right) % width;
  if (op == BinaryOp::kShl) return wrap<T>(static_cast<std::uint64_t>(left) << count);
  return static_cast<T>(left >> count);
}

template <class T>
bool compare(BinaryOp op, T left, T right) {
  switch (op) {
    case BinaryOp::kEq:
      return left == right;
    case BinaryOp::kNe:
      return left != right;
    case BinaryOp::kLt:
      return left < right;
    case BinaryOp::kGt:
      return left > right;
    case BinaryOp::kLe:
      return left <= right;
    default:
      return left >= right;
  }
}

template <class T>
std::optional<ScalarValue> evaluate_as(BinaryOp op, T left, T right) {
  if (is_comparison(op)) return ScalarValue::of<bool>(compare(op, left, right));
  if constexpr (!std::is_floating_point_v<T>) {
    switch (op) {
      case BinaryOp::kLogicalAnd:
      case BinaryOp::kBitAnd:
        return ScalarValue::of<T>(static_cast<T>(left & right));
      case BinaryOp::kLogicalOr:
      case BinaryOp::kBitOr:
        return ScalarValue::of<T>(static_cast<T>(left | right));
      case BinaryOp::kXor:
        return ScalarValue::of<T>(static_cast<T>(left ^ right));
      default:
        break;
    }
  } else {
    if (op == BinaryOp::kPow || op == BinaryOp::kAtan2 || op == BinaryOp::kHypot)
      return ScalarValue::of<T>(call_math(op, left, right));
  }
  if constexpr (!std::is_same_v<T, bool>) {
    switch (op) {
      case BinaryOp::kAdd:
      case BinaryOp::kSub:
      case BinaryOp::kMul:
        return ScalarValue::of<T>(arithmetic(op, left, right));
      case BinaryOp::kDiv:
      case BinaryOp::kRem:
        return divide(op, left, right);
      case BinaryOp::kMin:
        return ScalarValue::of<T>(minimum(left, right));
      case BinaryOp::kMax:
        return ScalarValue::of<T>(maximum(left, right));
      default:
        break;
    }
  }
  if constexpr (kIsInteger<T>) {
    if (op == BinaryOp::kShl || op == BinaryOp::kShr) return ScalarValue::of<T>(shift(op, left, right));
  }
  internal_check(false, "the operator accepts operands of this kind");
  return std::nullopt;
}

template <class To, class From>
To convert_to(From value) {
  if constexpr (std::is_same_v<To, bool>) {
    return value != From{0};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if (value != value) return To{0};
    // 2^digits is the first value past the largest integer and, negated, the smallest signed one: both exact.
    const From limit = std::ldexp(From{1}, std::numeric_limits<To>::digits);
    if (value >= limit) return std::numeric_limits<To>::max();
    if (value <= (std::is_signed_v<To> ? -limit : From{0})) return std::numeric_limits<To>::min();
    return static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace

ScalarValue evaluate(UnaryOp op, ScalarValue value) {
  return dispatch(value.kind, [&](auto zero) {
    using T = decltype(zero);
    const T operand = value.as<T>();
    if constexpr (std::is_floating_point_v<T>) {
      if (op == UnaryOp::kIsNan) return ScalarValue::of<bool>(operand != operand);
      return ScalarValue::of<T>(evaluate_float(op, operand));
    } else if constexpr (std::is_same_v<T, bool>) {
      internal_check(op == UnaryOp::kNot, "the operator accepts bool");
      return ScalarValue::of<bool>(!operand);
    } else {
      if (op == UnaryOp::kNeg) return ScalarValue::of<T>(negate(operand));
      if (op == UnaryOp::kAbs) return ScalarValue::of<T>(operand < T{0} ? negate(operand) : operand);
      internal_check(op == UnaryOp::kSign, "the operator accepts integers");
      return ScalarValue::of<T>(sign(operand));
    }
  });
}

std::optional<ScalarValue> evaluate(BinaryOp op, ScalarValue left, ScalarValue right) {
  return dispatch(left.kind, [&](auto zero) {
    using T = decltype(zero);
    return evaluate_as<T>(op, left.as<T>(), right.as<T>());
  });
}

ScalarValue evaluate(MergeOp op, ScalarValue left, ScalarValue right) {
  switch (op) {
    case MergeOp::kAdd:
      return *evaluate(BinaryOp::kAdd, left, right);
    case MergeOp::kMul:
      return *evaluate(BinaryOp::kMul, left, right);
    case MergeOp::kMin:
      return *evaluate(BinaryOp::kMin, left, right);
    case MergeOp::kMax:
      break;
  }
  return *evaluate(BinaryOp::kMax, left, right);
}

ScalarValue convert(ScalarKind kind, ScalarValue value) {
  return dispatch(value.kind, [&](auto from) {
    return dispatch(
        kind, [&](auto to) { return ScalarValue::of(convert_to<decltype(to)>(value.as<decltype(from)>())); });
  });
}

ScalarValue canonical(ScalarValue value) {
  if (value.kind == ScalarKind::kF32 && std::isnan(value.as<float>())) value.bits = 0x7fc00000;
  if (value.kind == ScalarKind::kF64 && std::isnan(value.as<double>())) value.bits = 0x7ff8000000000000;
  return value;
}

bool same_bits(ScalarValue left, ScalarValue right) {
  return canonical(left) == canonical(right);
}

}  // namespace weld::ir
