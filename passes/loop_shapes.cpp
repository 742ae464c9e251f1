#include "passes/loop_shapes.h"

#include <algorithm>
#include <ranges>
#include <unordered_set>

#include "ir/fields.h"

namespace weld::passes {
namespace {

constexpr int kMaxBranchDepth = 64;

// Counts merges in the part of a body that handles a builder and its later states.
class SiteCounter {
 public:
  explicit SiteCounter(const ir::Parameter& builder) : type_(builder.type) {
    states_.insert(builder.symbol.id());
  }

  std::optional<int> count(ir::Expr expr, int depth = 0) {
    if (depth > kMaxBranchDepth) return std::nullopt;
    int sites = 0;
    for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
      if (let->value.type() != type_) continue;
      const auto inner = count(let->value, depth + 1);
      if (!inner) return std::nullopt;
      sites += *inner;
      states_.insert(let->symbol.id());
    }
    const auto tail = count_tail(expr, depth);
    return tail ? std::optional(sites + *tail) : std::nullopt;
  }

 private:
  std::optional<int> count_tail(ir::Expr expr, int depth) {
    if (const auto* ident = expr.as<ir::Ident>())
      return states_.contains(ident->symbol.id()) ? std::optional(0) : std::nullopt;
    if (const auto* merge = expr.as<ir::Merge>()) {
      if (merge->value.type() != type_.as<ir::AppenderType>()->element) return std::nullopt;
      return sum(count(merge->builder, depth + 1), 1);
    }
    if (const auto* branch = expr.as<ir::If>()) {
      const auto on_true = count(branch->on_true, depth + 1);
      return on_true ? sum(count(branch->on_false, depth + 1), *on_true) : std::nullopt;
    }
    if (const auto* loop = expr.as<ir::For>()) {
      if (loop->lanes) return std::nullopt;
      const auto outside = count(loop->builder, depth + 1);
      const auto* function = loop->function.as<ir::Lambda>();
      states_.insert(function->parameters[0].symbol.id());
      return outside ? sum(count(function->body, depth + 1), *outside) : std::nullopt;
    }
    return std::nullopt;
  }

  static std::optional<int> sum(std::optional<int> sites, int others) {
    return sites ? std::optional(*sites + others) : std::nullopt;
  }

  ir::Type type_;
  std::unordered_set<std::uint64_t> states_;
};

ir::Expr merged_once(ir::Expr tail, ir::Expr builder, ir::Arena& arena, int depth) {
  if (depth > kMaxBranchDepth) return {};
  if (const auto* merge = tail.as<ir::Merge>()) {
    const auto* appender = merge->builder.type().as<ir::AppenderType>();
    return appender && merge->value.type() == appender->element && is_same_path(merge->builder, builder)
               ? merge->value
               : ir::Expr();
  }
  const auto* branch = tail.as<ir::If>();
  if (!branch) return {};
  const auto merged_in = [&](ir::Expr side) {
    std::vector<Binding> lets;
    const ir::Expr tail_of_side = split_lets(side, lets);
    if (binds_builder(lets)) return ir::Expr();
    const ir::Expr value = merged_once(tail_of_side, builder, arena, depth + 1);
    return value ? join_lets(lets, value, arena) : value;
  };
  const ir::Expr on_true = merged_in(branch->on_true);
  const ir::Expr on_false = on_true ? merged_in(branch->on_false) : ir::Expr();
  if (!on_false) return {};
  return arena.make<ir::If>(tail.span(), branch->condition, on_true, on_false);
}

std::int64_t own_cost(const ir::Node& node) {
  if (const auto* unary = std::get_if<ir::Unary>(&node)) {
    switch (unary->op) {
      case ir::UnaryOp::kNeg:
      case ir::UnaryOp::kNot:
      case ir::UnaryOp::kAbs:
      case ir::UnaryOp::kSign:
      case ir::UnaryOp::kIsNan:
        return 1;
      case ir::UnaryOp::kFloor:
      case ir::UnaryOp::kCeil:
      case ir::UnaryOp::kRound:
      case ir::UnaryOp::kTrunc:
        return 2;
      case ir::UnaryOp::kSqrt:
        return 8;
      default:
        return 30;
    }
  }
  if (const auto* binary = std::get_if<ir::Binary>(&node)) {
    if (binary->op >= ir::BinaryOp::kPow) return 40;
    const bool divides = binary->op == ir::BinaryOp::kDiv || binary->op == ir::BinaryOp::kRem;
    return divides ? 10 : 1;
  }
  if (std::get_if<ir::Lookup>(&node)) return 10;
  if (std::get_if<ir::OptLookup>(&node) || std::get_if<ir::KeyExists>(&node)) return 40;
  if (std::get_if<ir::If>(&node)) return 4;
  if (std::get_if<ir::Slice>(&node)) return 2;
  const bool repeats = std::get_if<ir::For>(&node) || std::get_if<ir::Iterate>(&node) ||
                       std::get_if<ir::Sort>(&node) || std::get_if<ir::ToVec>(&node) ||
                       std::get_if<ir::Zip>(&node) || std::get_if<ir::Serialize>(&node) ||
                       std::get_if<ir::Deserialize>(&node);
  if (repeats) return kLargeCost;
  if (std::get_if<ir::Cast>(&node) || std::get_if<ir::Select>(&node)) return 1;
  return 0;
}

}  // namespace

std::optional<Loop> match_loop(ir::Expr expr) {
  Loop loop{.expr = expr, .for_expr = expr};
  if (const auto* result = expr.as<ir::Result>()) {
    loop.for_expr = result->builder;
    loop.has_result = true;
  }
  loop.node = loop.for_expr.as<ir::For>();
  if (!loop.node) return std::nullopt;
  loop.function = loop.node->function.as<ir::Lambda>();
  return loop;
}

bool is_whole(const ir::Iterator& iterator) {
  return iterator.kind == ir::IteratorKind::kScalar && !iterator.start;
}

const ir::AppenderType* filled_appender(const Loop& loop) {
  if (!loop.has_result || !loop.node->builder.is<ir::NewBuilder>()) return nullptr;
  return loop.node->builder.type().as<ir::AppenderType>();
}

ir::Expr builder_parameter(const ir::Lambda& function, ir::Arena& arena) {
  return arena.ident(function.parameters[0].symbol, function.parameters[0].type, function.body.span());
}

bool is_same_path(ir::Expr left, ir::Expr right) {
  const auto* left_field = left.as<ir::GetField>();
  const auto* right_field = right.as<ir::GetField>();
  while (left_field && right_field && left_field->index == right_field->index) {
    left = left_field->value;
    right = right_field->value;
    left_field = left.as<ir::GetField>();
    right_field = right.as<ir::GetField>();
  }
  return left == right;
}

ir::Expr split_lets(ir::Expr expr, std::vector<Binding>& bindings) {
  for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body)
    bindings.push_back({let->symbol, let->value, expr.span()});
  return expr;
}

bool binds_builder(std::span<const Binding> bindings) {
  return std::ranges::any_of(
      bindings, [](const Binding& binding) { return ir::contains_builder(binding.value.type()); });
}

ir::Expr join_lets(std::span<const Binding> bindings, ir::Expr body, ir::Arena& arena) {
  for (const Binding& binding : bindings | std::views::reverse)
    body = arena.make<ir::Let>(binding.span, binding.symbol, binding.value, body);
  return body;
}

ir::Expr merged_once(ir::Expr tail, ir::Expr builder, ir::Arena& arena) {
  return merged_once(tail, builder, arena, 0);
}

std::optional<int> count_merge_sites(const ir::Lambda& function) {
  return SiteCounter(function.parameters[0]).count(function.body);
}

int count_operations(ir::Expr expr) {
  int count = 0;
  ir::walk(
      expr,
      [&](ir::Expr part) {
        const bool is_free = part.is<ir::Ident>() || part.is<ir::GetField>() || part.is<ir::Literal>() ||
                             part.is<ir::Let>() || part.is<ir::Lambda>() || part.is<ir::Merge>() ||
                             part.is<ir::MakeStruct>();
        count += is_free ? 0 : 1;
        return true;
      },
      [](ir::Expr) {});
  return count;
}

std::int64_t estimated_cost(ir::Expr expr) {
  std::int64_t cost = 0;
  std::vector<ir::Expr> stack{expr};
  while (!stack.empty() && cost < kLargeCost) {
    const ir::Expr part = stack.back();
    stack.pop_back();
    cost += own_cost(part.record().node);
    ir::for_each_child(part, [&](ir::Expr child) { stack.push_back(child); });
  }
  return std::min(cost, kLargeCost);
}

std::int64_t merged_cost(ir::Expr body) {
  std::int64_t cost = 0;
  std::vector<Binding> lets;
  const ir::Expr tail = split_lets(body, lets);
  for (const Binding& let : lets) cost += element_cost(let.value);
  const auto* merge = tail.as<ir::Merge>();
  const bool is_only_merge = merge && merge->builder.is<ir::Ident>();
  return std::min(cost + (is_only_merge ? element_cost(merge->value) : estimated_cost(tail)), kLargeCost);
}

std::int64_t element_cost(ir::Expr value) {
  std::int64_t cost = 0;
  std::vector<Binding> lets;
  value = split_lets(value, lets);
  for (const Binding& let : lets) cost += element_cost(let.value);
  const auto loop = match_loop(value);
  if (!loop || !filled_appender(*loop)) return std::min(cost + estimated_cost(value), kLargeCost);
  for (const ir::Iterator& it : loop->node->iterators) {
    if (it.data) cost += element_cost(it.data);
  }
  cost += merged_cost(loop->function->body);
  return std::min(cost, kLargeCost);
}

}  // namespace weld::passes
