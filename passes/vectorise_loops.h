#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Gives loops a second function that does 16, 32 or 64 iterations at once (ir::For::lanes):
///
///   for(v, merger[f64,+], |b, i, x| if(x > 0.0, merge(b, x * y), b))
///   becomes
///   for(v, merger[f64,+], |b, i, x| if(x > 0.0, merge(b, x * y), b),
///       |b, i, x| let mask = x > broadcast[16](0.0); merge(b, x * broadcast[16](y), mask))
///
/// Branches become masks; what has no lanes goes lane by lane (lanes_function.h says how). The scalar
/// function stays for what whole groups leave over, for short loops and for errors. A loop is left as it is,
/// with a remark that says why, where
/// - it says `vectorize:false`, or is known to have fewer iterations than a group is used for;
/// - its body calls foreign functions that are not `pure:true`, or walks over simd or nditer;
/// - it would gain little because most of its work has no lanes (by cost; not asked with `vectorize:true`).
///
/// Expects calls and zips to be inlined. Nothing happens for a target without SIMD.
ir::Expr vectorise_loops(ir::Expr root, PassContext& context);

}  // namespace weld::passes
