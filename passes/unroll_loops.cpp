#include "passes/unroll_loops.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <ranges>
#include <vector>

#include "ir/fields.h"
#include "ir/reduction_order.h"
#include "ir/typing.h"

namespace weld::passes {
namespace {

static_assert(kMaxUnrolledIterations < ir::kMinLanedIterations, "what is unrolled adds in order");

struct Named {
  ir::Symbol symbol;
  ir::Expr value;
  ir::Span span;
};

ir::Expr wrap(const std::vector<Named>& lets, ir::Expr body, ir::Arena& arena) {
  for (const Named& let : std::views::reverse(lets)) {
    body = arena.make<ir::Let>(let.span, let.symbol, let.value, body);
  }
  return body;
}

// Takes the lets off an expression.
ir::Expr peel(ir::Expr expr, std::vector<Named>& lets) {
  for (const ir::Let* let = nullptr; (let = expr.as<ir::Let>()); expr = let->body) {
    lets.push_back({let->symbol, let->value, expr.span()});
  }
  return expr;
}

bool is_literal_range(const ir::Iterator& it) {
  return it.kind == ir::IteratorKind::kRange && it.start.is<ir::Literal>() && it.end.is<ir::Literal>() &&
         it.stride.is<ir::Literal>();
}

std::int64_t integer(ir::Expr literal) {
  return literal.as<ir::Literal>()->value.as<std::int64_t>();
}

// Nothing where it is not known, large, or no iterator at all.
std::optional<std::int64_t> num_iterations(const ir::Iterator& it) {
  if (it.kind == ir::IteratorKind::kScalar && !it.start) {
    const auto* vector = it.data.as<ir::MakeVector>();
    return vector ? std::optional(static_cast<std::int64_t>(vector->elements.size())) : std::nullopt;
  }
  if (!is_literal_range(it)) return std::nullopt;
  const std::int64_t stride = integer(it.stride);
  std::int64_t distance = 0;
  if (__builtin_sub_overflow(integer(it.end), integer(it.start), &distance) || stride <= 0 || distance < 0)
    return std::nullopt;
  return distance / stride + (distance % stride != 0 ? 1 : 0);
}

std::optional<std::int64_t> num_iterations(const ir::For& loop) {
  const auto first = num_iterations(loop.iterators.front());
  for (const ir::Iterator& it : loop.iterators) {
    if (num_iterations(it) != first) return std::nullopt;
  }
  return first;
}

ir::BinaryOp operator_of(ir::MergeOp op) {
  switch (op) {
    case ir::MergeOp::kAdd:
      return ir::BinaryOp::kAdd;
    case ir::MergeOp::kMul:
      return ir::BinaryOp::kMul;
    case ir::MergeOp::kMin:
      return ir::BinaryOp::kMin;
    case ir::MergeOp::kMax:
      break;
  }
  return ir::BinaryOp::kMax;
}

bool is_used(ir::Symbol symbol, ir::Expr expr) {
  return std::ranges::any_of(ir::free_symbols(expr),
                             [&](const ir::Parameter& use) { return use.symbol == symbol; });
}

class Unroller {
 public:
  explicit Unroller(PassContext& context) : arena_(context.arena), remarks_(context.remarks) {}

  ir::Expr rewrite(ir::Expr expr) {
    if (expr.is<ir::For>()) return unroll(expr);
    if (const auto* result = expr.as<ir::Result>()) return result_of_merge(expr, *result);
    return expr;
  }

 private:
  ir::Expr unroll(ir::Expr expr) {
    const auto& loop = *expr.as<ir::For>();
    const auto count = num_iterations(loop);
    if (!count || loop.lanes) return expr;
    const std::uint32_t body_nodes = loop.function.record().num_nodes;
    if (*count > kMaxUnrolledIterations || *count * std::int64_t{body_nodes} > kMaxUnrolledNodes) {
      remark(expr, fmt::format("not unrolled: {} iterations of {} nodes are too many", *count, body_nodes));
      return expr;
    }
    const bool keeps_order = !ir::depends_on_order(loop.builder.type());
    if (!keeps_order && !loop.builder.type().as<ir::MergerType>()) {
      remark(expr, "not unrolled: sums of floats by keys or of several builders keep the order of the loop");
      return expr;
    }

    std::vector<Named> lets;
    const std::vector<ir::Expr> elements = bind_elements(loop, *count, lets, expr.span());
    const auto& lambda = *loop.function.as<ir::Lambda>();
    if (*count > 0 && merges_once(lambda)) {
      const ir::Symbol builder = arena_.fresh_symbol(lambda.parameters[0].symbol.name());
      lets.push_back({builder, loop.builder, loop.builder.span()});
      const ir::Expr total = sum_up(loop, elements, lets);
      const ir::Expr use = arena_.ident(builder, loop.builder.type(), expr.span());
      return wrap(lets, arena_.make<ir::Merge>(expr.span(), use, total), arena_);
    }
    if (keeps_order) {
      const ir::Expr last = chain(loop, loop.builder, elements, lets);
      return wrap(lets, last, arena_);
    }
    const ir::Symbol builder = arena_.fresh_symbol(lambda.parameters[0].symbol.name());
    lets.push_back({builder, loop.builder, loop.builder.span()});
    const ir::Expr fresh = arena_.make<ir::NewBuilder>(expr.span(), loop.builder.type(), ir::Expr());
    std::vector<Named> inner;
    const ir::Expr last = chain(loop, fresh, elements, inner);
    const ir::Expr total = arena_.make<ir::Result>(expr.span(), wrap(inner, last, arena_));
    const ir::Expr use = arena_.ident(builder, loop.builder.type(), expr.span());
    return wrap(lets, arena_.make<ir::Merge>(expr.span(), use, total), arena_);
  }

  // Every iteration's element, the parts of vector literals being evaluated first.
  std::vector<ir::Expr> bind_elements(const ir::For& loop, std::int64_t count, std::vector<Named>& lets,
                                      ir::Span span) {
    std::vector<std::vector<ir::Expr>> columns;
    for (const ir::Iterator& it : loop.iterators) {
      std::vector<ir::Expr>& column = columns.emplace_back();
      const auto* vector = it.kind == ir::IteratorKind::kScalar ? it.data.as<ir::MakeVector>() : nullptr;
      for (std::int64_t i = 0; i < count; ++i) {
        if (!vector) {
          column.push_back(arena_.literal(integer(it.start) + i * integer(it.stride), span));
          continue;
        }
        const ir::Expr value = vector->elements[static_cast<std::size_t>(i)];
        const ir::Symbol symbol = arena_.fresh_symbol("x");
        lets.push_back({symbol, value, value.span()});
        column.push_back(arena_.ident(symbol, value.type(), span));
      }
    }
    if (columns.size() == 1) return columns.front();
    std::vector<ir::Expr> elements;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      std::vector<ir::Expr> members;
      for (const std::vector<ir::Expr>& column : columns) members.push_back(column[i]);
      elements.push_back(arena_.make<ir::MakeStruct>(span, members));
    }
    return elements;
  }

  // `merge(b, v)` behind lets, in every iteration, of one scalar.
  static bool merges_once(const ir::Lambda& lambda) {
    ir::Expr tail = lambda.body;
    const ir::Symbol builder = lambda.parameters[0].symbol;
    for (const ir::Let* let = nullptr; (let = tail.as<ir::Let>()); tail = let->body) {
      if (is_used(builder, let->value)) return false;
    }
    const auto* merge = tail.as<ir::Merge>();
    const auto* into = merge ? merge->builder.as<ir::Ident>() : nullptr;
    const auto* merger = lambda.parameters[0].type.as<ir::MergerType>();
    return merger && into && into->symbol == builder && ir::is_scalar(merger->value) &&
           merge->value.type() == merger->value && !is_used(builder, merge->value);
  }

  // The function of one iteration, with symbols of its own.
  ir::Expr copy_of(ir::Expr function, std::size_t iteration) {
    return iteration == 0 ? function : ir::clone_fresh(function, arena_);
  }

  void bind_parameters(const ir::Lambda& lambda, std::size_t iteration, ir::Expr element,
                       std::vector<Named>& lets) {
    const ir::Span span = element.span();
    lets.push_back(
        {lambda.parameters[1].symbol, arena_.literal(static_cast<std::int64_t>(iteration), span), span});
    lets.push_back({lambda.parameters[2].symbol, element, span});
  }

  ir::Expr sum_up(const ir::For& loop, const std::vector<ir::Expr>& elements, std::vector<Named>& lets) {
    const auto& merger = *loop.builder.type().as<ir::MergerType>();
    const ir::ScalarKind kind = ir::element_kind(merger.value);
    ir::Expr total;
    // The identity changes nothing but the sign of zero.
    if (ir::is_float(kind) && merger.op == ir::MergeOp::kAdd)
      total = arena_.literal(ir::identity_of(merger.op, kind));
    for (std::size_t i = 0; i < elements.size(); ++i) {
      const ir::Expr function = copy_of(loop.function, i);
      const auto& lambda = *function.as<ir::Lambda>();
      bind_parameters(lambda, i, elements[i], lets);
      const ir::Expr tail = peel(lambda.body, lets);
      const ir::Expr value = tail.as<ir::Merge>()->value;
      const ir::Symbol symbol = arena_.fresh_symbol("v");
      const ir::Expr next =
          total ? arena_.make<ir::Binary>(tail.span(), operator_of(merger.op), total, value) : value;
      lets.push_back({symbol, next, tail.span()});
      total = arena_.ident(symbol, value.type(), tail.span());
    }
    return total;
  }

  // Takes the builder through all iterations: the last one's value, the others being bound.
  ir::Expr chain(const ir::For& loop, ir::Expr builder, const std::vector<ir::Expr>& elements,
                 std::vector<Named>& lets) {
    for (std::size_t i = 0; i < elements.size(); ++i) {
      const ir::Expr function = copy_of(loop.function, i);
      const auto& lambda = *function.as<ir::Lambda>();
      lets.push_back({lambda.parameters[0].symbol, builder, builder.span()});
      bind_parameters(lambda, i, elements[i], lets);
      builder = peel(lambda.body, lets);
    }
    return builder;
  }

  // `result(merge(merger[T,op], v))` is v, or 0.0 + v.
  ir::Expr result_of_merge(ir::Expr expr, const ir::Result& result) {
    std::vector<Named> lets;
    const ir::Expr tail = peel(result.builder, lets);
    const auto* merge = tail.as<ir::Merge>();
    if (!merge) return expr;
    // The builder may have a name of its own.
    ir::Expr builder = merge->builder;
    auto named = lets.end();
    if (const auto* ident = builder.as<ir::Ident>()) {
      named = std::ranges::find(lets, ident->symbol, &Named::symbol);
      if (named != lets.end()) builder = named->value;
    }
    const auto* fresh = builder.as<ir::NewBuilder>();
    const auto* merger = fresh ? fresh->builder.as<ir::MergerType>() : nullptr;
    if (!merger || fresh->argument || !ir::is_scalar(merger->value) || merge->value.type() != merger->value)
      return expr;
    if (named != lets.end()) lets.erase(named);
    const ir::ScalarKind kind = ir::element_kind(merger->value);
    ir::Expr value = merge->value;
    if (ir::is_float(kind) && merger->op == ir::MergeOp::kAdd) {
      const ir::Expr zero = arena_.literal(ir::identity_of(merger->op, kind), expr.span());
      value = arena_.make<ir::Binary>(expr.span(), ir::BinaryOp::kAdd, zero, value);
    }
    return wrap(lets, value, arena_);
  }

  void remark(ir::Expr expr, std::string message) {
    remarks_.push_back({.pass = "unroll_loops", .message = std::move(message), .span = expr.span()});
  }

  ir::Arena& arena_;
  std::vector<Remark>& remarks_;
};

}  // namespace

ir::Expr unroll_loops(ir::Expr root, PassContext& context) {
  Unroller unroller(context);
  return ir::rewrite_bottom_up(root, context.arena, [&](ir::Expr expr) { return unroller.rewrite(expr); });
}

}  // namespace weld::passes
