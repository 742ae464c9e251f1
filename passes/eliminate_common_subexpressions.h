#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Computes once what is computed in several places, or again in every iteration:
///
///   exp(x) * y + exp(x)                                 becomes    let t = exp(x); t * y + t
///   if(c, x * x + 1L, x * x)                            becomes    let t = x * x; if(c, t + 1L, t)
///   for(v, …, |b, i, e| merge(b, e * exp(k)))           becomes    let t = exp(k); for(v, …, … e * t)
///   for(v, …, |b, i, e| merge(b, e + result(for(w, merger, …))))  likewise, the inner loop moved out
///
/// A value is bound as far out as it pays: where all its uses are below and one of them is certain, or, if it
/// costs little, likely; and out of loops that it does not depend on, if it costs kHoistedCost or more. What
/// may fail is shared with later uses only where its first use is the first thing to fail, and never moved
/// out of a loop; a remark says so. Builders are never shared, their results are. Names, literals and fields
/// are not worth a name. Linear in the size of the program times the nesting of loops. Expects inlined lets;
/// programs with calls of functions are left alone.
ir::Expr eliminate_common_subexpressions(ir::Expr root, PassContext& context);

/// Cycles. LLVM moves cheaper things out of loops by itself.
inline constexpr double kHoistedCost = 12;

}  // namespace weld::passes
