#include "passes/push_lookups.h"

#include <unordered_map>

#include "ir/effects.h"
#include "ir/fields.h"
#include "ir/pointer_map.h"
#include "passes/loop_shapes.h"
#include "passes/paths.h"
#include "passes/rewrite_lets.h"

namespace weld::passes {
namespace {

// A vector that is looked up costs memory, and one access more for each lookup.
constexpr std::int64_t kMaxCost = 8;

struct Source {
  int num_uses = 0;
  int num_lookups = 0;
  int num_lengths = 0;
};

using Sources = std::unordered_map<std::uint64_t, Source>;  // by symbol id

bool may_be_pushed(const Loop& loop, ir::Arena& arena) {
  if (!filled_appender(loop) || loop.node->lanes || loop.node->iterators.size() != 1) return false;
  const ir::Iterator& iterator = loop.node->iterators.front();
  if (!is_whole(iterator) || !is_path(iterator.data) || ir::may_fail_or_diverge(loop.node->builder))
    return false;
  if (ir::may_fail_or_diverge(loop.node->function) || estimated_cost(loop.function->body) > kMaxCost)
    return false;
  std::vector<Binding> lets;
  const ir::Expr tail = split_lets(loop.function->body, lets);
  return !binds_builder(lets) && merged_once(tail, builder_parameter(*loop.function, arena), arena);
}

Sources find_sources(ir::Expr root, ir::Arena& arena) {
  Sources sources;
  ir::PointerMap<ir::ExprRecord, bool> seen;
  const auto count = [&](ir::Expr expr, int Source::* counter) {
    const auto* ident = expr.as<ir::Ident>();
    const auto found = ident ? sources.find(ident->symbol.id()) : sources.end();
    if (found != sources.end()) ++(found->second.*counter);
  };
  ir::walk(
      root,
      [&](ir::Expr expr) {
        count(expr, &Source::num_uses);
        if (!expr.is<ir::Ident>() && !seen.emplace(expr.get(), true)) return false;
        if (const auto* lookup = expr.as<ir::Lookup>()) count(lookup->container, &Source::num_lookups);
        if (const auto* length = expr.as<ir::Length>()) count(length->value, &Source::num_lengths);
        const auto* let = expr.as<ir::Let>();
        const auto loop = let ? match_loop(let->value) : std::nullopt;
        if (loop && may_be_pushed(*loop, arena)) sources.try_emplace(let->symbol.id());
        return true;
      },
      [](ir::Expr) {});
  std::erase_if(sources, [](const auto& entry) {
    const Source& source = entry.second;
    return source.num_lookups == 0 || source.num_uses != source.num_lookups + source.num_lengths;
  });
  return sources;
}

// The element of the loop's vector at a place.
ir::Expr element_at(const Loop& loop, ir::Expr lookup, ir::Arena& arena) {
  const ir::Span span = lookup.span();
  std::vector<Binding> lets;
  const auto bind = [&](ir::Symbol named, ir::Expr value) {
    lets.push_back({arena.fresh_symbol(named.name()), value, span});
    return arena.ident(lets.back().symbol, value.type(), span);
  };
  const ir::Expr fresh = ir::clone_fresh(loop.node->function, arena);
  const auto& function = *fresh.as<ir::Lambda>();
  const ir::Expr key = lookup.as<ir::Lookup>()->key;
  const ir::Symbol index = function.parameters[1].symbol;
  const ir::Expr place = key.is<ir::Ident>() || key.is<ir::Literal>() ? key : bind(index, key);
  const ir::Symbol element = function.parameters[2].symbol;
  const ir::Expr source = arena.make<ir::Lookup>(span, loop.node->iterators.front().data, place);
  const ir::Substitution substitution{{index.id(), place}, {element.id(), bind(element, source)}};
  const ir::Expr body = ir::substitute(function.body, substitution, arena);
  const ir::Expr tail = split_lets(body, lets);
  return join_lets(lets, merged_once(tail, builder_parameter(function, arena), arena), arena);
}

}  // namespace

ir::Expr push_lookups(ir::Expr root, ir::Arena& arena) {
  const Sources sources = find_sources(root, arena);
  if (sources.empty()) return root;
  std::unordered_map<std::uint64_t, Loop> loops;
  const auto bind = [&](ir::Symbol symbol, ir::Expr value) {
    if (sources.contains(symbol.id())) loops.emplace(symbol.id(), *match_loop(value));
  };
  return rewrite_lets(root, arena, bind, [&](ir::Expr expr) {
    const auto* lookup = expr.as<ir::Lookup>();
    const auto* vector = lookup ? lookup->container.as<ir::Ident>() : nullptr;
    const auto found = vector ? loops.find(vector->symbol.id()) : loops.end();
    return found == loops.end() ? expr : element_at(found->second, expr, arena);
  });
}

}  // namespace weld::passes
