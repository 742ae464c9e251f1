#include "passes/drop_dead_fields.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/effects.h"
#include "ir/fields.h"
#include "passes/loop_shapes.h"

namespace weld::passes {
namespace {

using Fields = std::vector<bool>;  // which are kept

// Leaves fields out of a loop's struct of builders.
class BuilderProjector {
 public:
  BuilderProjector(const Fields& kept, ir::Arena& arena) : kept_(kept), arena_(arena) {}

  /// Null where a field that is left out may fail, or the function does something else than to hand on the
  /// struct.
  ir::Expr project(const Loop& loop) {
    whole_ = loop.node->builder.type();
    const auto* builders = loop.node->builder.as<ir::MakeStruct>();
    if (!builders || loop.node->lanes) return {};
    const ir::Expr builder = kept_members(*builders, loop.node->builder.span());
    const ir::Expr function =
        builder ? project(*loop.function, builder.type(), loop.node->function.span()) : builder;
    if (!function) return {};
    const ir::For projected{loop.node->iterators, builder, function};
    const ir::Expr all = arena_.add(projected, loop.for_expr.span(), loop.for_expr.annotations());
    return arena_.make<ir::Result>(loop.expr.span(), all);
  }

 private:
  static constexpr int kMaxDepth = 64;

  ir::Expr project(const ir::Lambda& function, ir::Type builder, ir::Span span) {
    std::vector<ir::Parameter> parameters(function.parameters.begin(), function.parameters.end());
    parameters[0] = {arena_.fresh_symbol(parameters[0].symbol.name()), builder};
    states_.emplace(function.parameters[0].symbol.id(),
                    arena_.ident(parameters[0].symbol, builder, function.body.span()));
    const ir::Expr body = follow(function.body, 0);
    return body ? arena_.make<ir::Lambda>(span, parameters, body) : body;
  }

  ir::Expr kept_members(const ir::MakeStruct& structure, ir::Span span) {
    std::vector<ir::Expr> members;
    for (std::size_t i = 0; i < structure.members.size(); ++i) {
      const ir::Expr member = structure.members[i];
      if (kept_[i]) {
        members.push_back(refer(member));
        if (!members.back()) return {};
      } else if (ir::may_fail_or_diverge(member)) {
        return {};
      }
    }
    return members.size() == 1 ? members.front() : arena_.make<ir::MakeStruct>(span, members);
  }

  // The part of a function that hands on the struct.
  ir::Expr follow(ir::Expr expr, int depth) {
    if (depth > kMaxDepth) return {};
    std::vector<Binding> lets;
    for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
      if (let->value.type() == whole_) {
        const ir::Expr value = follow(let->value, depth + 1);
        if (!value) return {};
        lets.push_back({arena_.fresh_symbol(let->symbol.name()), value, expr.span()});
        states_.emplace(let->symbol.id(), arena_.ident(lets.back().symbol, value.type(), expr.span()));
      } else if (!add_binding(*let, expr.span(), lets)) {
        return {};
      }
    }
    const ir::Expr tail = follow_tail(expr, depth);
    return tail ? join_lets(lets, tail, arena_) : tail;
  }

  // One builder with a name of its own goes where its field goes.
  bool add_binding(const ir::Let& let, ir::Span span, std::vector<Binding>& lets) {
    if (!ir::contains_builder(let.value.type())) {
      lets.push_back({let.symbol, let.value, span});
      return true;
    }
    if (uses_dropped(let.value)) {
      dropped_.insert(let.symbol.id());
      return !ir::may_fail_or_diverge(let.value);
    }
    const ir::Expr value = refer(let.value);
    if (value) lets.push_back({let.symbol, value, span});
    return static_cast<bool>(value);
  }

  ir::Expr follow_tail(ir::Expr expr, int depth) {
    if (const auto* ident = expr.as<ir::Ident>()) {
      const auto found = states_.find(ident->symbol.id());
      return found == states_.end() ? ir::Expr() : found->second;
    }
    if (const auto* structure = expr.as<ir::MakeStruct>()) return kept_members(*structure, expr.span());
    if (const auto* branch = expr.as<ir::If>()) {
      const ir::Expr on_true = follow(branch->on_true, depth + 1);
      const ir::Expr on_false = on_true ? follow(branch->on_false, depth + 1) : on_true;
      if (!on_false) return {};
      return arena_.add(ir::If{branch->condition, on_true, on_false}, expr.span(), expr.annotations());
    }
    const auto* loop = expr.as<ir::For>();
    if (!loop || loop->lanes) return {};
    const ir::Expr builder = follow(loop->builder, depth + 1);
    if (!builder) return {};
    const ir::Expr function =
        project(*loop->function.as<ir::Lambda>(), builder.type(), loop->function.span());
    if (!function) return {};
    return arena_.add(ir::For{loop->iterators, builder, function}, expr.span(), expr.annotations());
  }

  // The field's number in a use of the struct; nothing for other expressions.
  std::optional<std::uint32_t> field_of_state(ir::Expr expr) const {
    const auto* field = expr.as<ir::GetField>();
    const auto* ident = field ? field->value.as<ir::Ident>() : nullptr;
    return ident && states_.contains(ident->symbol.id()) ? std::optional(field->index) : std::nullopt;
  }

  bool uses_dropped(ir::Expr expr) const {
    bool uses = false;
    ir::walk(
        expr,
        [&](ir::Expr part) {
          const auto field = field_of_state(part);
          const auto* ident = part.as<ir::Ident>();
          uses = uses || (field && !kept_[*field]) || (ident && dropped_.contains(ident->symbol.id()));
          return !uses;
        },
        [](ir::Expr) {});
    return uses;
  }

  // An expression of kept fields, in terms of the new struct; null where it uses more.
  ir::Expr refer(ir::Expr expr) {
    if (uses_dropped(expr)) return {};
    bool uses_whole = false;
    const ir::Expr referring = ir::rewrite_bottom_up(expr, arena_, [&](ir::Expr part) {
      const auto field = field_of_state(part);
      if (!field) return part;
      const ir::Expr state = states_.at(part.as<ir::GetField>()->value.as<ir::Ident>()->symbol.id());
      if (std::ranges::count(kept_, true) == 1) return state;
      const auto number = std::count(kept_.begin(), kept_.begin() + *field, true);
      return arena_.make<ir::GetField>(part.span(), state, static_cast<std::uint32_t>(number));
    });
    ir::walk(
        referring,
        [&](ir::Expr part) {
          const auto* ident = part.as<ir::Ident>();
          uses_whole = uses_whole || (ident && states_.contains(ident->symbol.id()));
          return !uses_whole;
        },
        [](ir::Expr) {});
    return uses_whole ? ir::Expr() : referring;
  }

  const Fields& kept_;
  ir::Arena& arena_;
  ir::Type whole_;
  std::unordered_map<std::uint64_t, ir::Expr> states_;  // by the symbol of the whole struct
  std::unordered_set<std::uint64_t> dropped_;           // names of builders that are left out
};

// How a let-bound result of a struct of builders is used.
struct Demand {
  std::optional<Loop> loop;
  Fields used;
  bool is_used = false;
  bool is_used_whole = false;
  ir::Symbol projected;  // what is left of the result
};

using Demands = std::unordered_map<std::uint64_t, Demand>;  // by symbol id

std::size_t num_fields(ir::Type type) {
  const auto* structure = type.as<ir::StructType>();
  return structure ? structure->members.size() : 0;
}

std::optional<Loop> match_result(ir::Expr expr) {
  std::optional<Loop> loop = match_loop(expr);
  return loop && loop->has_result ? loop : std::nullopt;
}

Demands find_demands(ir::Expr root) {
  Demands demands;
  ir::PointerMap<ir::ExprRecord, bool> seen;
  ir::walk(
      root,
      [&](ir::Expr expr) {
        if (const auto* ident = expr.as<ir::Ident>()) {
          const auto found = demands.find(ident->symbol.id());
          if (found != demands.end()) found->second.is_used = found->second.is_used_whole = true;
          return false;
        }
        if (!seen.emplace(expr.get(), true)) return false;
        if (const auto* let = expr.as<ir::Let>()) {
          if (const auto loop = match_result(let->value))
            demands[let->symbol.id()] = {.loop = loop, .used = Fields(num_fields(let->value.type()))};
        }
        const auto* field = expr.as<ir::GetField>();
        const auto* ident = field ? field->value.as<ir::Ident>() : nullptr;
        const auto found = ident ? demands.find(ident->symbol.id()) : demands.end();
        if (found == demands.end()) return true;
        found->second.is_used = true;
        found->second.used[field->index] = true;
        return false;
      },
      [](ir::Expr) {});
  return demands;
}

bool stays_full(const Loop& loop) {
  return loop.function->body.is<ir::Ident>() || loop.node->lanes ||
         ir::may_fail_or_diverge(loop.node->function) || ir::may_fail_or_diverge(loop.node->builder);
}

// The iterators alone.
ir::Expr emptied(const Loop& loop, ir::Arena& arena) {
  const ir::Type builder = arena.merger(ir::Type::scalar(ir::ScalarKind::kI64), ir::MergeOp::kAdd);
  std::vector<ir::Parameter> parameters(loop.function->parameters.begin(), loop.function->parameters.end());
  parameters[0].type = builder;
  const ir::Span span = loop.for_expr.span();
  const ir::Expr body = arena.ident(parameters[0].symbol, builder, span);
  const ir::Expr function = arena.make<ir::Lambda>(span, parameters, body);
  const ir::Expr start = arena.make<ir::NewBuilder>(span, builder, ir::Expr());
  return arena.make<ir::Result>(span, arena.make<ir::For>(span, loop.node->iterators, start, function));
}

}  // namespace

ir::Expr drop_dead_fields(ir::Expr root, PassContext& context) {
  ir::Arena& arena = context.arena;
  Demands demands = find_demands(root);
  std::erase_if(demands, [&](const auto& entry) {
    const Demand& demand = entry.second;
    if (!demand.is_used) return stays_full(*demand.loop);
    if (demand.is_used_whole || std::ranges::count(demand.used, false) == 0) return true;
    return !BuilderProjector(demand.used, arena).project(*demand.loop);
  });
  if (demands.empty()) return root;
  for (auto& [symbol, demand] : demands) demand.projected = arena.fresh_symbol("r");
  return ir::rewrite_bottom_up(root, arena, [&](ir::Expr expr) {
    if (const auto* field = expr.as<ir::GetField>()) {
      const auto* ident = field->value.as<ir::Ident>();
      const auto found = ident ? demands.find(ident->symbol.id()) : demands.end();
      if (found == demands.end()) return expr;
      const Fields& used = found->second.used;
      const ir::Symbol symbol = found->second.projected;
      if (std::ranges::count(used, true) == 1) return arena.ident(symbol, expr.type(), expr.span());
      const auto number =
          static_cast<std::uint32_t>(std::count(used.begin(), used.begin() + field->index, true));
      std::vector<ir::Type> kept;
      const auto* whole = field->value.type().as<ir::StructType>();
      for (std::size_t i = 0; i < used.size(); ++i) {
        if (used[i]) kept.push_back(whole->members[i]);
      }
      const ir::Type type = arena.structure(std::span<const ir::Type>(kept));
      return arena.make<ir::GetField>(expr.span(), arena.ident(symbol, type, expr.span()), number);
    }
    const auto* let = expr.as<ir::Let>();
    const auto found = let ? demands.find(let->symbol.id()) : demands.end();
    if (found == demands.end()) return expr;
    const Loop loop = *match_result(let->value);
    const ir::Expr value = found->second.is_used ? BuilderProjector(found->second.used, arena).project(loop)
                                                 : emptied(loop, arena);
    return arena.make<ir::Let>(expr.span(), found->second.projected, value, let->body);
  });
}

}  // namespace weld::passes
