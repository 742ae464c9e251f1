#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Replaces names by what they are bound to, where that costs nothing and moves no error:
///
///   let x = a * b; let y = p.$0; x + y + y    becomes    a * b + p.$0 + p.$0
///
/// Literals, names and field paths always; any other value when it is used once and not inside a loop that
/// it is outside of. A value that may fail, diverge or call a foreign function moves only to where it is
/// evaluated before anything else that may. Inlining never nests deeper than kMaxInlinedDepth. A value that
/// nobody uses is dropped unless it may fail, diverge or call a foreign function.
ir::Expr inline_lets(ir::Expr root, PassContext& context);

inline constexpr std::uint32_t kMaxInlinedDepth = 256;

}  // namespace weld::passes
