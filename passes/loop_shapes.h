#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ir/arena.h"

namespace weld::passes {

// Shapes of loops that several passes look for.

/// `for(…)`, or `result(for(…))`, taken apart.
struct Loop {
  ir::Expr expr;  ///< the whole
  ir::Expr for_expr;
  const ir::For* node = nullptr;
  const ir::Lambda* function = nullptr;
  bool has_result = false;

  ir::Symbol builder() const { return function->parameters[0].symbol; }
  ir::Symbol index() const { return function->parameters[1].symbol; }
  ir::Symbol element() const { return function->parameters[2].symbol; }
};

/// The loop that the expression is; nothing when it is another expression.
std::optional<Loop> match_loop(ir::Expr expr);

/// Walks over a vector from end to end, one element an iteration.
bool is_whole(const ir::Iterator& iterator);

/// The appender that a loop fills from the start and whose result is the loop's value; null for other loops.
const ir::AppenderType* filled_appender(const Loop& loop);

/// The loop's builder as its function sees it.
ir::Expr builder_parameter(const ir::Lambda& function, ir::Arena& arena);

/// `let symbol = value;`
struct Binding {
  ir::Symbol symbol;
  ir::Expr value;
  ir::Span span;
};

/// Splits `let x = a; let y = b; c` into its bindings, which are added to `bindings`, and c.
ir::Expr split_lets(ir::Expr expr, std::vector<Binding>& bindings);

/// Whether one of the values is or holds a builder.
bool binds_builder(std::span<const Binding> bindings);

/// The opposite: the expression inside of the bindings.
ir::Expr join_lets(std::span<const Binding> bindings, ir::Expr body, ir::Arena& arena);

/// What the tail of a loop's function (without its lets) merges into `builder`, a symbol or a field of one,
/// if it merges exactly once: `v` of `merge(b, v)`, and `if(c, v, w)` of `if(c, merge(b, v), merge(b, w))`.
/// Null otherwise, or where a merge adds the lanes of a simd one by one.
ir::Expr merged_once(ir::Expr tail, ir::Expr builder, ir::Arena& arena);

/// Two uses of one symbol, or of the same field of it.
bool is_same_path(ir::Expr left, ir::Expr right);

/// How many places of a loop's function merge into its builder, an appender, if it does nothing else to it:
/// branches, inner loops and lets of builders. Nothing for other functions.
std::optional<int> count_merge_sites(const ir::Lambda& function);

/// How many nodes do something: all but names, fields, literals and what binds or merges.
int count_operations(ir::Expr expr);

/// A rough number of cycles for evaluating once: operators by their latency, loops as very much. Saturates at
/// kLargeCost.
std::int64_t estimated_cost(ir::Expr expr);
inline constexpr std::int64_t kLargeCost = 1'000'000;

/// The cost of a value for each scalar in it: a vector that is made element by element counts as one of its
/// elements. What recurses here is nested as deep as the value's type.
std::int64_t element_cost(ir::Expr value);
/// The same for what the body of a loop merges.
std::int64_t merged_cost(ir::Expr body);

}  // namespace weld::passes
