#include "ir/nodes.h"

#include <array>
#include <limits>

namespace weld::ir {

std::string_view op_name(UnaryOp op) {
  constexpr std::array<std::string_view, kNumUnaryOps> names = {
      "-",    "!",    "exp",   "log",  "sqrt",  "erf",   "sin",   "cos",  "tan",   "asin",
      "acos", "atan", "sinh",  "cosh", "tanh",  "exp2",  "expm1", "log2", "log10", "log1p",
      "cbrt", "erfc", "floor", "ceil", "round", "trunc", "abs",   "sign", "isnan"};
  return names[static_cast<std::size_t>(op)];
}

std::string_view op_name(BinaryOp op) {
  constexpr std::array<std::string_view, kNumBinaryOps> names = {
      "+",  "-", "*", "/", "%",  "==", "!=",  "<",   ">",   "<=",    ">=",   "&&",
      "||", "&", "|", "^", "<<", ">>", "min", "max", "pow", "atan2", "hypot"};
  return names[static_cast<std::size_t>(op)];
}

bool is_infix(BinaryOp op) {
  return op < BinaryOp::kMin;
}

ScalarValue identity_of(MergeOp op, ScalarKind kind) {
  return dispatch(kind, [&](auto zero) {
    using T = decltype(zero);
    using Limits = std::numeric_limits<T>;
    switch (op) {
      case MergeOp::kAdd:
        return ScalarValue::of<T>(T{0});
      case MergeOp::kMul:
        return ScalarValue::of<T>(T{1});
      case MergeOp::kMin:
        return ScalarValue::of<T>(Limits::has_infinity ? Limits::infinity() : Limits::max());
      case MergeOp::kMax:
        return ScalarValue::of<T>(Limits::has_infinity ? T(-Limits::infinity()) : Limits::lowest());
    }
    return ScalarValue{};
  });
}

}  // namespace weld::ir
