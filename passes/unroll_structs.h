#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Replaces structs of which only the fields are used by their members:
///
///   let s = {a + 1L, b}; s.$0 * s.$1            becomes    let s_0 = a + 1L; s_0 * b
///   let s = if(c, {a, 1L}, t); s.$0 + s.$1      becomes    let s_0 = if(c, a, t.$0);
///                                                          let s_1 = if(c, 1L, t.$1); s_0 + s_1
///   if(c, {a, b}, {d, e}).$1                    becomes    if(c, b, e)
///
///   iterate({x, k}, |s| {{s.$0 + s.$1, s.$1}, …})
///   becomes
///   let r = iterate({x}, |s| {{s.$0 + k}, …}); {r.$0, k}
///
/// so that other passes see scalars. Members are evaluated as often as before and in the same order; a struct
/// that is also used as a whole stays, and so does a branch with more than kMaxSplitMembers members.
ir::Expr unroll_structs(ir::Expr root, PassContext& context);

inline constexpr std::size_t kMaxSplitMembers = 8;

}  // namespace weld::passes
