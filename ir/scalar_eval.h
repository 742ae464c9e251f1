#pragma once

#include <optional>

#include "ir/nodes.h"

namespace weld::ir {

// The meaning of every operator on scalars (LANGUAGE.md §1.4), for the interpreter and for constant folding.
// The operands' kinds must be ones that the typing rules admit. A NaN that is a result may have any bits.
//
// Integers   wrap around. `-` and `abs` of the smallest integer are itself; MIN / -1 = MIN, MIN % -1 = 0.
//            Shift counts are taken modulo the width; `>>` of a signed integer copies the sign.
// Floats     IEEE-754, not fused. `%` is fmod. `-` and `abs` change the sign bit only.
//            `min` and `max` are IEEE-754-2019 minimum and maximum: NaN wins, -0 < +0.
//            `round` takes halves to the even integer, as NumPy does. `sign` is -1, 0 or 1: +0.0 for both
//            zeros, NaN for NaN. The functions are those of math_functions.h.
// bool       false < true.

/// `op value`. Bool for `isnan`, else of the value's kind.
ScalarValue evaluate(UnaryOp op, ScalarValue value);

/// `left op right`; nothing for an integer division or remainder by zero (ArithmeticError). Bool for
/// comparisons, else of the operands' kind, which is the same for both.
std::optional<ScalarValue> evaluate(BinaryOp op, ScalarValue left, ScalarValue right);

/// Combines two values as a builder does.
ScalarValue evaluate(MergeOp op, ScalarValue left, ScalarValue right);

/// Converts: integers wrap; floats to integers truncate and saturate, NaN gives 0; anything to bool is
/// `!= 0`; bool to a number is 0 or 1; numbers to floats round to nearest.
ScalarValue convert(ScalarKind kind, ScalarValue value);

/// Equal kinds and bits, all NaNs of a kind being equal.
bool same_bits(ScalarValue left, ScalarValue right);

/// The value with the canonical NaN (positive, quiet, no payload) in place of any NaN.
ScalarValue canonical(ScalarValue value);

}  // namespace weld::ir
