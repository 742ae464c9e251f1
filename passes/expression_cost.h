#pragma once

#include "ir/nodes.h"

namespace weld::passes {

// What passes weigh against each other: rough cycles on one core, when data are in the nearest cache. They
// need to be right by a factor of two.

inline constexpr double kMispredictedBranchCost = 15;
inline constexpr double kIterationCost = 2;       ///< counting, comparing, jumping
inline constexpr double kUnknownIterations = 32;  ///< of a loop inside a loop
inline constexpr double kLateColumnCost = 3;      ///< reading a column for rows that pass a filter only
inline constexpr double kExpensive = 1e6;         ///< what is not looked at any further

/// Of one operation, without its parts.
double unary_cost(ir::UnaryOp op);
double binary_cost(ir::BinaryOp op, ir::ScalarKind kind);
/// Of merging one value into a builder of that type.
double merge_cost(ir::Type builder);

/// Of evaluating the expression once, in scalar code. Branches count by their selectivity, loops as
/// kUnknownIterations iterations. Looks at no more than a few thousand nodes: kExpensive for larger ones.
double expression_cost(ir::Expr expr);

/// The share of evaluations, between 0 and 1, in which the condition holds: `branch_selectivity:x` on it,
/// else a guess from its form (`==` seldom, `!=` mostly, ranges half the time).
double selectivity(ir::Expr condition);
/// Of the condition of a branch, `branch_selectivity:x` on the branch itself coming first.
double branch_selectivity(ir::Expr branch);

/// Cycles of branching on a condition that holds in that share of evaluations, in no order that repeats.
double branch_cost(double selectivity);

}  // namespace weld::passes
