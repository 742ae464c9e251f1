#pragma once

#include <algorithm>
#include <vector>

#include "ir/fields.h"

namespace weld::passes {

/// Like ir::rewrite_bottom_up, for passes whose rewrites in the body of a `let` depend on its value:
/// `bind(symbol, value)` is called with the rewritten value before the body is looked at.
template <class Bind, class F>
ir::Expr rewrite_lets(ir::Expr root, ir::Arena& arena, Bind&& bind, F&& f) {
  enum class Step : std::uint8_t { kEnter, kBind, kLeave };
  struct Visit {
    ir::Expr expr;
    Step step;
  };
  ir::PointerMap<ir::ExprRecord, ir::Expr> replaced;
  std::vector<Visit> stack{{root, Step::kEnter}};
  while (!stack.empty()) {
    const ir::Expr expr = stack.back().expr;
    const Step step = stack.back().step;
    const auto* let = expr.as<ir::Let>();
    if (step == Step::kEnter && replaced.contains(expr.get())) {
      stack.pop_back();
    } else if (step == Step::kEnter && let) {
      stack.back().step = Step::kBind;
      stack.push_back({let->value, Step::kEnter});
    } else if (step == Step::kEnter) {
      stack.back().step = Step::kLeave;
      const auto first = static_cast<std::ptrdiff_t>(stack.size());
      ir::for_each_child(expr, [&](ir::Expr child) { stack.push_back({child, Step::kEnter}); });
      std::reverse(stack.begin() + first, stack.end());
    } else if (step == Step::kBind) {
      stack.back().step = Step::kLeave;
      bind(let->symbol, *replaced.find(let->value.get()));
      stack.push_back({let->body, Step::kEnter});
    } else {
      stack.pop_back();
      const ir::Expr mapped =
          ir::map_children(expr, arena, [&](ir::Expr child) { return *replaced.find(child.get()); });
      replaced.emplace(expr.get(), f(mapped));
    }
  }
  return *replaced.find(root.get());
}

}  // namespace weld::passes
