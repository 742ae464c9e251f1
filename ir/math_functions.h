#pragma once

#include <cstdint>
#include <string>

#include "ir/nodes.h"

namespace weld::ir {

/// The two families of SLEEF functions whose results do not depend on the vector width: one uses fused
/// multiply-add, the other does not. Their results differ from each other in the last bit.
enum class MathFamily : std::uint8_t { kFma, kNoFma };

/// The family that this machine uses everywhere: generated code, interpreter, constant folding.
MathFamily host_math_family();

/// One function of the language, computed by SLEEF. At most 1 ULP off (erfc: 1.5).
struct MathFunction {
  // Scalar forms, by family. Of a unary operator the first four, of a binary one the last four.
  double (*unary_f64[2])(double) = {};
  float (*unary_f32[2])(float) = {};
  double (*binary_f64[2])(double, double) = {};
  float (*binary_f32[2])(float, float) = {};

  /// The symbol in libsleef of the form for `lanes` values of that kind in one vector: 1, 2, 4, 8 of f64;
  /// 1, 4, 8, 16 of f32. Empty for other numbers.
  ///
  /// Vectors are passed as in C: `double`, `__m128d`, `__m256d`, `__m512d`, and likewise for f32. The forms
  /// of 256 bits need AVX2 and FMA (kNoFma: AVX), those of 512 bits AVX-512F; of 128 bits FMA and AVX2
  /// (kNoFma: nothing beyond the baseline).
  std::string symbol(ScalarKind kind, std::uint32_t lanes, MathFamily family) const;

  std::string_view sleef_name;  ///< `exp`, `log1p`, …
  std::string_view accuracy;    ///< `u05`, `u10`, `u15`: tenths of a ULP
};

/// The function behind an operator; null for operators that plain instructions compute (sqrt and `%`
/// included: both are exact).
const MathFunction* math_function(UnaryOp op);
const MathFunction* math_function(BinaryOp op);

/// Evaluates with the host's family. The operator has a math function.
double call_math(UnaryOp op, double value);
float call_math(UnaryOp op, float value);
double call_math(BinaryOp op, double left, double right);
float call_math(BinaryOp op, float left, float right);

}  // namespace weld::ir
