#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Replaces lookups by a loop's own index by elements of the loop, whose bounds are checked once:
///
///   for(v, …, |b, i, e| … lookup(v, i) …)                 becomes    … e …
///   for(rangeiter(0L, len(v), 1L), …, |b, i, e| … lookup(v, e) …)
///                                                         becomes    for(v, …, |b, i, e| … e …)
///   for(rangeiter(0L, n, 1L), …, |b, j, e| … lookup(m, r * n + j) …)
///                                                         becomes    for(iter(m, r * n, r * n + n, 1L), …)
///
/// A vector that a zip walks over twice, or from 0 to its length, is walked over once, as a whole. Of other
/// vectors than those that the loop walks over, only lookups of every iteration become iterators, as a check
/// that fails for the loop has to fail for an iteration too; therefore the offset is 0, a multiple of the
/// number of iterations, or that number a positive literal. Multiplications, divisions and comparisons of
/// indices are left to LLVM, which reduces them by itself.
ir::Expr reduce_strength(ir::Expr root, PassContext& context);

}  // namespace weld::passes
