#include "passes/inline_lets.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "ir/effects.h"
#include "ir/fields.h"
#include "passes/paths.h"
#include "passes/rewrite_lets.h"

namespace weld::passes {
namespace {

struct Binding {
  std::uint32_t uses = 0;
  std::uint32_t deepest_use = 0;  ///< nesting from the root; the body of a `let` is no deeper than the `let`
  std::uint32_t loops = 0;        ///< functions around the `let`
  bool used_in_loop = false;      ///< inside a function that does not hold the `let`
  bool dropped = false;           ///< nobody needs the value, and it cannot fail
  ir::Expr body;
};

using Bindings = std::unordered_map<std::uint64_t, Binding>;  // by symbol id

// Looks at the body of each `let` before its value, so that a value that is not used uses nothing.
Bindings find_bindings(ir::Expr root) {
  struct Visit {
    ir::Expr expr;
    std::uint32_t depth;
    std::uint32_t loops;
    bool body_done;
  };
  Bindings bindings;
  std::vector<Visit> stack{{root, 1, 0, false}};
  while (!stack.empty()) {
    const auto [expr, depth, loops, body_done] = stack.back();
    stack.pop_back();
    if (const auto* let = expr.as<ir::Let>()) {
      Binding& binding = bindings[let->symbol.id()];
      if (!body_done) {
        binding.loops = loops;
        binding.body = let->body;
        stack.push_back({expr, depth, loops, true});
        stack.push_back({let->body, depth, loops, false});
      } else {
        binding.dropped = binding.uses == 0 && !ir::may_fail_or_diverge(let->value);
        if (!binding.dropped) stack.push_back({let->value, depth + 1, loops, false});
      }
    } else if (const auto* ident = expr.as<ir::Ident>()) {
      if (const auto found = bindings.find(ident->symbol.id()); found != bindings.end()) {
        Binding& binding = found->second;
        ++binding.uses;
        binding.deepest_use = std::max(binding.deepest_use, depth);
        binding.used_in_loop |= loops > binding.loops;
      }
    } else {
      const std::uint32_t inner_loops = loops + (expr.is<ir::Lambda>() ? 1 : 0);
      ir::for_each_child(expr,
                         [&](ir::Expr child) { stack.push_back({child, depth + 1, inner_loops, false}); });
    }
  }
  return bindings;
}

bool is_lazy(ir::Expr expr) {
  const auto* binary = expr.as<ir::Binary>();
  return expr.is<ir::If>() ||
         (binary && (binary->op == ir::BinaryOp::kLogicalAnd || binary->op == ir::BinaryOp::kLogicalOr));
}

// Also true inside of a dropped value, which was not looked at.
bool is_dropped(ir::Symbol symbol, const Bindings& bindings) {
  const auto found = bindings.find(symbol.id());
  return found == bindings.end() || found->second.dropped;
}

// Whether `symbol` is evaluated, always and once, before anything in `body` can fail, diverge or act. Looks
// no further than a few nodes, so that long chains stay linear; says no then.
bool is_evaluated_first(ir::Symbol symbol, ir::Expr body, const Bindings& bindings) {
  struct Visit {
    ir::Expr expr;
    bool parts_done;
  };
  int budget = 64;
  std::vector<Visit> stack{{body, false}};
  while (!stack.empty() && --budget > 0) {
    const auto [expr, parts_done] = stack.back();
    if (parts_done) {
      // What is lazy, or a loop, goes on with parts that may not be evaluated, or more than once.
      if (ir::may_fail_or_diverge(expr) || is_lazy(expr) || any(expr.effects() & ir::Effects::kLoops))
        return false;
      stack.pop_back();
      continue;
    }
    if (const auto* ident = expr.as<ir::Ident>(); ident && ident->symbol == symbol) return true;
    stack.back().parts_done = true;
    if (const auto* let = expr.as<ir::Let>(); let && is_dropped(let->symbol, bindings)) {
      stack.push_back({let->body, false});
      continue;
    }
    if (is_lazy(expr)) {
      const auto* branch = expr.as<ir::If>();
      stack.push_back({branch ? branch->condition : expr.as<ir::Binary>()->left, false});
      continue;
    }
    const auto first = static_cast<std::ptrdiff_t>(stack.size());
    ir::for_each_child(expr, [&](ir::Expr child) {
      if (!child.is<ir::Lambda>()) stack.push_back({child, false});
    });
    std::reverse(stack.begin() + first, stack.end());
  }
  return false;
}

bool is_inlined(ir::Symbol symbol, ir::Expr value, const Bindings& bindings) {
  const Binding& binding = bindings.at(symbol.id());
  const std::uint32_t height = value.record().depth;
  if (height > 1 && binding.deepest_use + height > kMaxInlinedDepth) return false;
  if (value.is<ir::Literal>() || is_path(value)) return true;
  if (binding.uses != 1 || binding.used_in_loop) return false;
  return !ir::may_fail_or_diverge(value) || is_evaluated_first(symbol, binding.body, bindings);
}

}  // namespace

ir::Expr inline_lets(ir::Expr root, PassContext& context) {
  const Bindings bindings = find_bindings(root);
  std::unordered_map<std::uint64_t, ir::Expr> inlined;  // values by symbol id; null: dropped
  const auto bind = [&](ir::Symbol symbol, ir::Expr value) {
    if (is_dropped(symbol, bindings)) {
      inlined.emplace(symbol.id(), ir::Expr());
    } else if (bindings.at(symbol.id()).uses > 0 && is_inlined(symbol, value, bindings)) {
      inlined.emplace(symbol.id(), value);
    }
  };
  return rewrite_lets(root, context.arena, bind, [&](ir::Expr expr) {
    if (const auto* ident = expr.as<ir::Ident>()) {
      const auto found = inlined.find(ident->symbol.id());
      return found == inlined.end() || !found->second ? expr : found->second;
    }
    const auto* let = expr.as<ir::Let>();
    return let && inlined.contains(let->symbol.id()) ? let->body : expr;
  });
}

}  // namespace weld::passes
