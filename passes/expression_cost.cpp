#include "passes/expression_cost.h"

#include <algorithm>
#include <vector>

#include "ir/fields.h"

namespace weld::passes {
namespace {

constexpr int kMaxNodesLookedAt = 4000;

bool has_function_cost(ir::UnaryOp op) {
  switch (op) {
    case ir::UnaryOp::kNeg:
    case ir::UnaryOp::kNot:
    case ir::UnaryOp::kFloor:
    case ir::UnaryOp::kCeil:
    case ir::UnaryOp::kRound:
    case ir::UnaryOp::kTrunc:
    case ir::UnaryOp::kAbs:
    case ir::UnaryOp::kSign:
    case ir::UnaryOp::kIsNan:
    case ir::UnaryOp::kSqrt:
      return false;
    default:
      return true;
  }
}

double comparison_cost(ir::Type type) {
  if (const auto* structure = type.as<ir::StructType>())
    return 2.0 * static_cast<double>(structure->members.size());
  return type.as<ir::VecType>() ? 10 : 1;
}

double lookup_cost(ir::Type container) {
  return container.as<ir::VecType>() ? 4 : 25;
}

// Of a node without its parts.
double own_cost(ir::Expr expr) {
  if (const auto* unary = expr.as<ir::Unary>()) return unary_cost(unary->op);
  if (const auto* binary = expr.as<ir::Binary>()) {
    const ir::Type type = binary->left.type();
    const bool has_kind = type.as<ir::ScalarType>() || type.as<ir::SimdType>();
    return has_kind ? binary_cost(binary->op, ir::element_kind(type)) : comparison_cost(type);
  }
  if (expr.is<ir::Cast>() || expr.is<ir::Select>() || expr.is<ir::Assert>() || expr.is<ir::Broadcast>() ||
      expr.is<ir::Length>() || expr.is<ir::AnyLane>()) {
    return 1;
  }
  if (const auto* lookup = expr.as<ir::Lookup>()) return lookup_cost(lookup->container.type());
  if (expr.is<ir::OptLookup>() || expr.is<ir::KeyExists>()) return 25;
  if (expr.is<ir::Slice>()) return 4;
  if (const auto* merge = expr.as<ir::Merge>()) return merge_cost(merge->builder.type());
  if (const auto* merge = expr.as<ir::MergeMasked>()) return merge_cost(merge->builder.type()) + 2;
  if (const auto* builder = expr.as<ir::NewBuilder>()) return builder->builder.as<ir::MergerType>() ? 1 : 40;
  if (expr.is<ir::MakeVector>() || expr.is<ir::ForeignCall>()) return 40;
  if (expr.is<ir::Sort>() || expr.is<ir::PartialSort>() || expr.is<ir::Serialize>() ||
      expr.is<ir::Deserialize>() || expr.is<ir::ToVec>() || expr.is<ir::Zip>()) {
    return 400;
  }
  if (expr.is<ir::For>() || expr.is<ir::Iterate>()) return 10;
  return 0;
}

}  // namespace

double unary_cost(ir::UnaryOp op) {
  if (op == ir::UnaryOp::kSqrt) return 6;
  return has_function_cost(op) ? 30 : 1;
}

double binary_cost(ir::BinaryOp op, ir::ScalarKind kind) {
  switch (op) {
    case ir::BinaryOp::kDiv:
      return ir::is_integer(kind) ? 10 : 5;
    case ir::BinaryOp::kRem:
      return ir::is_integer(kind) ? 10 : 30;
    case ir::BinaryOp::kPow:
    case ir::BinaryOp::kAtan2:
    case ir::BinaryOp::kHypot:
      return 50;
    case ir::BinaryOp::kMin:
    case ir::BinaryOp::kMax:
      return ir::is_float(kind) ? 3 : 1;
    default:
      return 1;
  }
}

double merge_cost(ir::Type builder) {
  if (builder.as<ir::MergerType>()) return 1;
  if (builder.as<ir::AppenderType>()) return 2;
  if (builder.as<ir::VecMergerType>()) return 4;
  return 15;
}

double expression_cost(ir::Expr root) {
  struct Visit {
    ir::Expr expr;
    double weight;
  };
  double cost = 0;
  int looked_at = 0;
  std::vector<Visit> stack{{root, 1}};
  while (!stack.empty()) {
    const auto [expr, weight] = stack.back();
    stack.pop_back();
    if (++looked_at > kMaxNodesLookedAt) return kExpensive;
    cost += weight * own_cost(expr);
    if (const auto* branch = expr.as<ir::If>()) {
      const double share = branch_selectivity(expr);
      cost += weight * branch_cost(share);
      stack.push_back({branch->condition, weight});
      stack.push_back({branch->on_true, weight * share});
      stack.push_back({branch->on_false, weight * (1 - share)});
      continue;
    }
    if (const auto* binary = expr.as<ir::Binary>();
        binary && (binary->op == ir::BinaryOp::kLogicalAnd || binary->op == ir::BinaryOp::kLogicalOr)) {
      const double share = selectivity(binary->left);
      stack.push_back({binary->left, weight});
      stack.push_back(
          {binary->right, weight * (binary->op == ir::BinaryOp::kLogicalAnd ? share : 1 - share)});
      continue;
    }
    ir::for_each_child(expr, [&](ir::Expr child) {
      if (const auto* loop = expr.as<ir::For>(); loop && loop->lanes.get() == child.get()) return;
      stack.push_back({child, child.is<ir::Lambda>() ? weight * kUnknownIterations : weight});
    });
  }
  return std::min(cost, kExpensive);
}

double selectivity(ir::Expr condition) {
  // Without recursion on chains: the share of a conjunction is the product of its parts' shares.
  if (const auto given = ir::annotated_number(condition.annotations(), "branch_selectivity"))
    return std::clamp(*given, 0.0, 1.0);
  double share = 1;
  int looked_at = 0;
  std::vector<ir::Expr> conjuncts{condition};
  while (!conjuncts.empty() && ++looked_at < 64) {
    const ir::Expr expr = conjuncts.back();
    conjuncts.pop_back();
    if (const auto given = ir::annotated_number(expr.annotations(), "branch_selectivity")) {
      share *= std::clamp(*given, 0.0, 1.0);
      continue;
    }
    const auto* binary = expr.as<ir::Binary>();
    const auto* literal = expr.as<ir::Literal>();
    if (literal) {
      share *= literal->value.bits != 0 ? 1 : 0;
    } else if (binary && (binary->op == ir::BinaryOp::kLogicalAnd || binary->op == ir::BinaryOp::kBitAnd)) {
      conjuncts.push_back(binary->left);
      conjuncts.push_back(binary->right);
    } else if (binary && binary->op == ir::BinaryOp::kEq) {
      share *= 0.1;
    } else if (binary && binary->op == ir::BinaryOp::kNe) {
      share *= 0.9;
    } else if (binary && (binary->op == ir::BinaryOp::kLogicalOr || binary->op == ir::BinaryOp::kBitOr)) {
      share *= 0.75;
    } else {
      share *= 0.5;
    }
  }
  return share;
}

double branch_selectivity(ir::Expr branch) {
  if (const auto given = ir::annotated_number(branch.annotations(), "branch_selectivity"))
    return std::clamp(*given, 0.0, 1.0);
  if (const auto* condition = branch.as<ir::If>()) return selectivity(condition->condition);
  return selectivity(branch.as<ir::Select>()->condition);
}

double branch_cost(double selectivity) {
  return 1 + kMispredictedBranchCost * std::min(selectivity, 1 - selectivity);
}

}  // namespace weld::passes
