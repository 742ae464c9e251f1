#include "passes/order_conjuncts.h"

#include <algorithm>
#include <vector>

#include "ir/effects.h"
#include "ir/fields.h"
#include "passes/expression_cost.h"

namespace weld::passes {
namespace {

constexpr double kBranchlessCost = 4;  // of a part that is cheaper to evaluate than to branch around

bool is_short_circuit(ir::Expr expr, ir::BinaryOp op) {
  const auto* binary = expr.as<ir::Binary>();
  return binary && binary->op == op;
}

bool is_chain(ir::Expr expr) {
  return is_short_circuit(expr, ir::BinaryOp::kLogicalAnd) ||
         is_short_circuit(expr, ir::BinaryOp::kLogicalOr);
}

// Whether the chain `child` goes on in the chain `expr`.
bool is_link(ir::Expr expr, ir::Expr child) {
  return is_chain(expr) && is_short_circuit(child, expr.as<ir::Binary>()->op) && child.annotations().empty();
}

// The parts of a chain of `op`, in the order of evaluation. Annotated parts stay whole.
std::vector<ir::Expr> parts_of(ir::Expr root, ir::BinaryOp op) {
  std::vector<ir::Expr> parts;
  std::vector<ir::Expr> stack{root};
  while (!stack.empty()) {
    const ir::Expr expr = stack.back();
    stack.pop_back();
    if (is_short_circuit(expr, op) && (expr.get() == root.get() || expr.annotations().empty())) {
      stack.push_back(expr.as<ir::Binary>()->right);
      stack.push_back(expr.as<ir::Binary>()->left);
    } else {
      parts.push_back(expr);
    }
  }
  return parts;
}

struct Part {
  ir::Expr expr;
  std::size_t place = 0;  ///< in the program
  double cost = 0;
  double goes_on = 1;  ///< share of evaluations after which the next part is needed
  double rank = 0;     ///< cost for the share that it ends
};

Part weighed(ir::Expr expr, std::size_t place, ir::BinaryOp op) {
  Part part{.expr = expr, .place = place, .cost = expression_cost(expr)};
  const double holds = selectivity(expr);
  part.goes_on = op == ir::BinaryOp::kLogicalAnd ? holds : 1 - holds;
  part.rank = (part.cost + 0.5) / std::max(1 - part.goes_on, 0.001);
  return part;
}

// Whether the branch in front of a part, which a share of the evaluations gets to, costs more than it saves.
bool is_branchless(const Part& part, double share) {
  if (ir::may_fail_or_diverge(part.expr) || part.cost > kBranchlessCost) return false;
  return part.cost * (1 - share) < branch_cost(share);
}

// The chain in its new order; the same handle where that is the old one.
ir::Expr ordered(ir::Expr root, ir::Arena& arena) {
  const ir::BinaryOp op = root.as<ir::Binary>()->op;
  const ir::BinaryOp branchless =
      op == ir::BinaryOp::kLogicalAnd ? ir::BinaryOp::kBitAnd : ir::BinaryOp::kBitOr;
  const std::vector<ir::Expr> before = parts_of(root, op);
  std::vector<Part> parts;
  for (ir::Expr expr : before) parts.push_back(weighed(expr, parts.size(), op));
  for (auto first = parts.begin(); first != parts.end();) {
    const auto last =
        std::find_if(first, parts.end(), [](const Part& part) { return ir::may_fail_or_diverge(part.expr); });
    std::sort(first, last, [](const Part& a, const Part& b) {
      return a.rank != b.rank ? a.rank < b.rank : a.place < b.place;
    });
    first = last == parts.end() ? last : last + 1;
  }

  bool changed = false;
  double share = 1;
  ir::Expr chain;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    const bool joins = chain && is_branchless(part, share);
    changed |= joins || part.expr.get() != before[i].get();
    chain =
        chain ? arena.make<ir::Binary>(root.span(), joins ? branchless : op, chain, part.expr) : part.expr;
    share *= part.goes_on;
  }
  if (!changed) return root;
  return root.annotations().empty() ? chain : arena.with_annotations(chain, root.annotations());
}

}  // namespace

ir::Expr order_conjuncts(ir::Expr root, PassContext& context) {
  ir::Arena& arena = context.arena;
  // From above, so that a chain is looked at as a whole: `a && b` in `(a && b) && c` is a part of it.
  const auto order_parts = [&](ir::Expr expr) {
    return ir::map_children(expr, arena, [&](ir::Expr child) {
      return is_chain(child) && !is_link(expr, child) ? ordered(child, arena) : child;
    });
  };
  root = ir::rewrite_bottom_up(root, arena, order_parts);
  return is_chain(root) ? ordered(root, arena) : root;
}

}  // namespace weld::passes
