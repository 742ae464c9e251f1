#include "ir/math_functions.h"

#include <fmt/format.h>

#include <utility>

#include "ir/error.h"

// The functions of the language: operator, SLEEF's name, accuracy. sleef.h declares the forms with fused
// multiply-add only when the whole program is compiled for it, so they are declared here.
#define WELD_UNARY_FUNCTIONS(F) \
  F(kExp, exp, u10)             \
  F(kLog, log, u10)             \
  F(kErf, erf, u10)             \
  F(kSin, sin, u10)             \
  F(kCos, cos, u10)             \
  F(kTan, tan, u10)             \
  F(kAsin, asin, u10)           \
  F(kAcos, acos, u10)           \
  F(kAtan, atan, u10)           \
  F(kSinh, sinh, u10)           \
  F(kCosh, cosh, u10)           \
  F(kTanh, tanh, u10)           \
  F(kExp2, exp2, u10)           \
  F(kExpm1, expm1, u10)         \
  F(kLog2, log2, u10)           \
  F(kLog10, log10, u10)         \
  F(kLog1p, log1p, u10)         \
  F(kCbrt, cbrt, u10)           \
  F(kErfc, erfc, u15)
#define WELD_BINARY_FUNCTIONS(F) \
  F(kPow, pow, u10)              \
  F(kAtan2, atan2, u10)          \
  F(kHypot, hypot, u05)

extern "C" {
#define WELD_DECLARE(op, name, ulp)                     \
  double Sleef_finz_##name##d1_##ulp##purecfma(double); \
  double Sleef_cinz_##name##d1_##ulp##purec(double);    \
  float Sleef_finz_##name##f1_##ulp##purecfma(float);   \
  float Sleef_cinz_##name##f1_##ulp##purec(float);
WELD_UNARY_FUNCTIONS(WELD_DECLARE)
#undef WELD_DECLARE
#define WELD_DECLARE(op, name, ulp)                             \
  double Sleef_finz_##name##d1_##ulp##purecfma(double, double); \
  double Sleef_cinz_##name##d1_##ulp##purec(double, double);    \
  float Sleef_finz_##name##f1_##ulp##purecfma(float, float);    \
  float Sleef_cinz_##name##f1_##ulp##purec(float, float);
WELD_BINARY_FUNCTIONS(WELD_DECLARE)
#undef WELD_DECLARE
}

namespace weld::ir {
namespace {

#define WELD_ROW(arity, op, name, ulp)                                                                      \
  {op,                                                                                                      \
   MathFunction{.arity##_f64 = {Sleef_finz_##name##d1_##ulp##purecfma, Sleef_cinz_##name##d1_##ulp##purec}, \
                .arity##_f32 = {Sleef_finz_##name##f1_##ulp##purecfma, Sleef_cinz_##name##f1_##ulp##purec}, \
                .sleef_name = #name,                                                                        \
                .accuracy = #ulp}},
#define WELD_UNARY_ROW(op, name, ulp) WELD_ROW(unary, UnaryOp::op, name, ulp)
#define WELD_BINARY_ROW(op, name, ulp) WELD_ROW(binary, BinaryOp::op, name, ulp)
constexpr std::pair<UnaryOp, MathFunction> kUnaryFunctions[] = {WELD_UNARY_FUNCTIONS(WELD_UNARY_ROW)};
constexpr std::pair<BinaryOp, MathFunction> kBinaryFunctions[] = {WELD_BINARY_FUNCTIONS(WELD_BINARY_ROW)};
#undef WELD_BINARY_ROW
#undef WELD_UNARY_ROW
#undef WELD_ROW

template <class Op, std::size_t n>
const MathFunction* find(const std::pair<Op, MathFunction> (&functions)[n], Op op) {
  for (const auto& [candidate, function] : functions) {
    if (candidate == op) return &function;
  }
  return nullptr;
}

// Calls the form of the host's family.
template <class Op, class Form, class... Arguments>
auto call(Op op, Form MathFunction::* forms, Arguments... arguments) {
  const MathFunction* function = math_function(op);
  internal_check(function != nullptr, "the operator has a math function");
  return (function->*forms)[static_cast<std::size_t>(host_math_family())](arguments...);
}

}  // namespace

MathFamily host_math_family() {
  static const bool has_fma = __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2");
  return has_fma ? MathFamily::kFma : MathFamily::kNoFma;
}

std::string MathFunction::symbol(ScalarKind kind, std::uint32_t lanes, MathFamily family) const {
  const bool fma = family == MathFamily::kFma;
  const char letter = kind == ScalarKind::kF64 ? 'd' : 'f';
  std::string_view extension;
  if (lanes == 1) {
    extension = fma ? "purecfma" : "purec";
  } else if (const std::uint32_t bits = lanes * static_cast<std::uint32_t>(bit_width(kind)); bits == 128) {
    extension = fma ? "avx2128" : "sse2";
  } else if (bits == 256) {
    extension = fma ? "avx2" : "avx";
  } else if (bits == 512) {
    extension = fma ? "avx512f" : "avx512fnofma";
  } else {
    return {};
  }
  return fmt::format("Sleef_{}_{}{}{}_{}{}", fma ? "finz" : "cinz", sleef_name, letter, lanes, accuracy,
                     extension);
}

const MathFunction* math_function(UnaryOp op) {
  return find(kUnaryFunctions, op);
}
const MathFunction* math_function(BinaryOp op) {
  return find(kBinaryFunctions, op);
}

double call_math(UnaryOp op, double value) {
  return call(op, &MathFunction::unary_f64, value);
}
float call_math(UnaryOp op, float value) {
  return call(op, &MathFunction::unary_f32, value);
}
double call_math(BinaryOp op, double left, double right) {
  return call(op, &MathFunction::binary_f64, left, right);
}
float call_math(BinaryOp op, float left, float right) {
  return call(op, &MathFunction::binary_f32, left, right);
}

}  // namespace weld::ir
