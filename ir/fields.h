#pragma once

#include <functional>
#include <optional>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ir/arena.h"
#include "ir/pointer_map.h"

namespace weld::ir {

// Everything that is written once over the `fields` of all nodes. Nothing here recurses over the depth of a
// program.

namespace detail {

template <class F>
void each_expr(const Expr& field, F&& f) {
  if (field) f(field);
}
template <class F>
void each_expr(const std::span<const Expr>& field, F&& f) {
  for (const Expr& expr : field) f(expr);
}
template <class F>
void each_expr(const std::span<const Iterator>& field, F&& f) {
  for (const Iterator& iterator : field) {
    for (const Expr& expr :
         {iterator.data, iterator.start, iterator.end, iterator.stride, iterator.shape, iterator.strides}) {
      if (expr) f(expr);
    }
  }
}
template <class Field, class F>
void each_expr(const Field&, F&&) {}

template <class F>
bool map_expr(Expr& field, Arena&, F& f) {
  if (!field) return false;
  const Expr mapped = f(field);
  const bool changed = mapped.get() != field.get();
  field = mapped;
  return changed;
}
template <class F>
bool map_parts(Iterator& it, Arena& arena, F& f) {
  bool changed = false;
  for (Expr* expr : {&it.data, &it.start, &it.end, &it.stride, &it.shape, &it.strides}) {
    changed |= map_expr(*expr, arena, f);
  }
  return changed;
}
template <class F>
bool map_parts(Expr& expr, Arena& arena, F& f) {
  return map_expr(expr, arena, f);
}
template <class T, class F>
  requires(std::is_same_v<T, Expr> || std::is_same_v<T, Iterator>)
bool map_expr(std::span<const T>& field, Arena& arena, F& f) {
  std::vector<T> mapped;  // from the first change on
  for (std::size_t i = 0; i < field.size(); ++i) {
    T value = field[i];
    const bool changed = map_parts(value, arena, f);
    if (mapped.empty() && !changed) continue;
    if (mapped.empty()) {
      mapped.reserve(field.size());
      mapped.assign(field.begin(), field.begin() + static_cast<std::ptrdiff_t>(i));
    }
    mapped.push_back(value);
  }
  if (mapped.empty()) return false;
  field = arena.keep(mapped);
  return true;
}
template <class Field, class F>
bool map_expr(Field&, Arena&, F&) {
  return false;
}

}  // namespace detail

/// Calls `f(Expr)` for each direct part, in the order of evaluation. Null parts are passed over.
template <class F>
void for_each_child(const Node& node, F&& f) {
  std::visit(
      [&](const auto& n) {
        std::apply([&](const auto&... field) { (detail::each_expr(field, f), ...); },
                   std::remove_cvref_t<decltype(n)>::fields(n));
      },
      node);
}
template <class F>
void for_each_child(Expr expr, F&& f) {
  for_each_child(expr.record().node, f);
}

/// The expression with each direct part replaced by `f(part)`; the same handle when no part changed. The new
/// node keeps span and annotations, and is typed anew.
template <class F>
Expr map_children(Expr expr, Arena& arena, F&& f) {
  Node node = expr.record().node;
  const bool changed = std::visit(
      [&](auto& n) {
        return std::apply([&](auto&... field) { return (false | ... | detail::map_expr(field, arena, f)); },
                          std::remove_cvref_t<decltype(n)>::fields(n));
      },
      node);
  return changed ? arena.add(node, expr.span(), expr.annotations()) : expr;
}

/// Replaces every node, parts first, by `f(node with replaced parts)`. A part that is shared is replaced
/// once. `f` gets and returns an Expr and may return its argument.
template <class F>
Expr rewrite_bottom_up(Expr root, Arena& arena, F&& f) {
  struct Visit {
    Expr expr;
    bool parts_done;
  };
  PointerMap<ExprRecord, Expr> replaced;
  std::vector<Visit> stack{{root, false}};
  while (!stack.empty()) {
    auto [expr, parts_done] = stack.back();
    if (replaced.contains(expr.get())) {
      stack.pop_back();
    } else if (!parts_done) {
      stack.back().parts_done = true;
      const std::size_t first = stack.size();
      for_each_child(expr, [&](Expr child) { stack.push_back({child, false}); });
      std::reverse(stack.begin() + static_cast<std::ptrdiff_t>(first), stack.end());
    } else {
      stack.pop_back();
      const Expr mapped = map_children(expr, arena, [&](Expr child) { return *replaced.find(child.get()); });
      replaced.emplace(expr.get(), f(mapped));
    }
  }
  return *replaced.find(root.get());
}

/// Calls `enter(Expr)` for each node before its parts and `leave(Expr)` after them, in the order of
/// evaluation. Parts are passed over when `enter` returns false (`leave` is called all the same). Shared
/// parts are visited each time.
template <class Enter, class Leave>
void walk(Expr root, Enter&& enter, Leave&& leave) {
  struct Visit {
    Expr expr;
    bool entered;
  };
  std::vector<Visit> stack{{root, false}};
  while (!stack.empty()) {
    const auto [expr, entered] = stack.back();
    if (entered) {
      stack.pop_back();
      leave(expr);
      continue;
    }
    stack.back().entered = true;
    if (!enter(expr)) continue;
    const std::size_t first = stack.size();
    for_each_child(expr, [&](Expr child) { stack.push_back({child, false}); });
    std::reverse(stack.begin() + static_cast<std::ptrdiff_t>(first), stack.end());
  }
}

/// Calls `f(Expr)` once for each node, before its parts; a shared node once.
template <class F>
void for_each_node(Expr root, F&& f) {
  PointerMap<ExprRecord, char> seen;
  walk(
      root,
      [&](Expr expr) {
        if (!seen.emplace(expr.get(), 0)) return false;
        f(expr);
        return true;
      },
      [](Expr) {});
}

using Substitution = std::unordered_map<std::uint64_t, Expr>;  ///< by symbol id

/// Replaces the uses of symbols. The replacements stand where the uses stood, so their free symbols must be
/// in scope there. A replacement that binds symbols is copied with fresh ones for every use after the first.
Expr substitute(Expr root, const Substitution& substitution, Arena& arena);

/// A copy in `arena` that shares no node, type or text with `root`, every symbol bound inside is fresh. Its
/// spans refer to the same sources: see Arena::keep_sources_of.
Expr clone_fresh(Expr root, Arena& arena);

/// Symbols used in `root` and not bound in it, with the type of their use, in the order of their first use.
std::vector<Parameter> free_symbols(Expr root);

}  // namespace weld::ir
