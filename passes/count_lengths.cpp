#include "passes/count_lengths.h"

#include <unordered_map>

#include "ir/effects.h"
#include "ir/fields.h"

namespace weld::passes {
namespace {

struct Uses {
  int all = 0;
  int lengths = 0;
  int walks = 0;  // over the whole vector
};

using UsesOf = std::unordered_map<std::uint64_t, Uses>;  // by symbol id

const ir::Ident* measured(ir::Expr expr) {
  const auto* length = expr.as<ir::Length>();
  return length ? length->value.as<ir::Ident>() : nullptr;
}

// A loop that merges its elements here and there.
bool is_filtered(ir::Expr value, ir::Arena& arena) {
  const auto loop = match_loop(value);
  if (!loop || !filled_appender(*loop) || loop->node->lanes || ir::may_fail_or_diverge(loop->node->builder))
    return false;
  std::vector<Binding> lets;
  const ir::Expr tail = split_lets(loop->function->body, lets);
  const ir::Expr builder = builder_parameter(*loop->function, arena);
  if (!binds_builder(lets) && merged_once(tail, builder, arena)) return false;
  return count_merge_sites(*loop->function).value_or(0) > 0;
}

UsesOf find_measured(const std::vector<BlockNode>& nodes, ir::Arena& arena) {
  UsesOf uses;
  for (const BlockNode& node : nodes) {
    ir::walk(
        node.binding.value,
        [&](ir::Expr part) {
          if (const auto* ident = measured(part)) ++uses[ident->symbol.id()].lengths;
          return true;
        },
        [](ir::Expr) {});
  }
  if (uses.empty()) return uses;
  UsesOf filtered;
  for (const BlockNode& node : nodes) {
    const auto found = node.binding.symbol ? uses.find(node.binding.symbol.id()) : uses.end();
    if (found != uses.end() && is_filtered(node.binding.value, arena)) filtered.insert(*found);
    if (filtered.empty()) continue;
    const auto uses_of = [&](ir::Expr expr) -> Uses* {
      const auto* ident = expr.as<ir::Ident>();
      const auto of_symbol = ident ? filtered.find(ident->symbol.id()) : filtered.end();
      return of_symbol == filtered.end() ? nullptr : &of_symbol->second;
    };
    if (const auto loop = match_loop(node.binding.value)) {
      for (const ir::Iterator& it : loop->node->iterators) {
        Uses* walked = it.data && is_whole(it) ? uses_of(it.data) : nullptr;
        if (walked) ++walked->walks;
      }
    }
    ir::walk(
        node.binding.value,
        [&](ir::Expr part) {
          if (Uses* used = uses_of(part)) ++used->all;
          return true;
        },
        [](ir::Expr) {});
  }
  std::erase_if(filtered, [](const auto& entry) {
    return entry.second.all != entry.second.lengths + entry.second.walks;
  });
  return filtered;
}

// `result(for(vector, merger[i64,+], |b, i, e| merge(b, 1L)))`
ir::Expr counted(const Binding& vector, ir::Arena& arena) {
  const ir::Type i64 = ir::Type::scalar(ir::ScalarKind::kI64);
  const ir::Type merger = arena.merger(i64, ir::MergeOp::kAdd);
  const std::vector<ir::Parameter> parameters{
      {arena.fresh_symbol("b"), merger},
      {arena.fresh_symbol("i"), i64},
      {arena.fresh_symbol("e"), vector.value.type().as<ir::VecType>()->element}};
  const ir::Span span = vector.value.span();
  const ir::Expr builder = arena.ident(parameters[0].symbol, merger, span);
  const ir::Expr body = arena.make<ir::Merge>(span, builder, arena.literal(std::int64_t{1}, span));
  const ir::Expr function = arena.make<ir::Lambda>(span, parameters, body);
  const std::vector<ir::Iterator> iterators{{.data = arena.ident(vector.symbol, vector.value.type(), span)}};
  const ir::Expr start = arena.make<ir::NewBuilder>(span, merger, ir::Expr());
  return arena.make<ir::Result>(span, arena.make<ir::For>(span, iterators, start, function));
}

}  // namespace

void count_lengths(std::vector<BlockNode>& nodes, ir::Arena& arena) {
  const UsesOf filtered = find_measured(nodes, arena);
  if (filtered.empty()) return;
  std::unordered_map<std::uint64_t, ir::Expr> counts;
  std::vector<BlockNode> all;
  for (BlockNode& node : nodes) {
    if (!counts.empty()) {
      node.binding.value = ir::rewrite_bottom_up(node.binding.value, arena, [&](ir::Expr expr) {
        const auto* vector = measured(expr);
        const auto found = vector ? counts.find(vector->symbol.id()) : counts.end();
        return found == counts.end() ? expr : found->second;
      });
    }
    all.push_back(std::move(node));
    const Binding vector = all.back().binding;
    if (!vector.symbol || !filtered.contains(vector.symbol.id())) continue;
    const Binding count{arena.fresh_symbol("n"), counted(vector, arena), vector.span};
    counts.emplace(vector.symbol.id(), arena.ident(count.symbol, count.value.type(), vector.span));
    const ir::Expr name = arena.ident(vector.symbol, vector.value.type(), vector.span);
    BlockNode counting{
        .binding = count, .alone = arena.make<ir::Length>(vector.span, name), .is_hoisted = false};
    counting.values.push_back({.symbol = count.symbol});
    all.push_back(std::move(counting));
  }
  nodes = std::move(all);
}

}  // namespace weld::passes
