#include "passes/unroll_structs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ranges>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/effects.h"
#include "ir/fields.h"
#include "passes/rewrite_lets.h"

namespace weld::passes {
namespace {

constexpr int kMaxRounds = 8;  // a struct in a struct takes a round a level

// Symbols that are used otherwise than for a field.
std::unordered_set<std::uint64_t> find_whole_uses(ir::Expr root) {
  std::unordered_set<std::uint64_t> used;
  ir::for_each_node(root, [&](ir::Expr expr) {
    if (expr.is<ir::GetField>()) return;
    ir::for_each_child(expr, [&](ir::Expr child) {
      if (const auto* ident = child.as<ir::Ident>()) used.insert(ident->symbol.id());
    });
  });
  return used;
}

bool is_trivial(ir::Expr expr) {
  while (const auto* field = expr.as<ir::GetField>()) expr = field->value;
  return expr.is<ir::Ident>() || expr.is<ir::Literal>();
}

const ir::StructType* value_struct(ir::Type type) {
  return ir::contains_builder(type) ? nullptr : type.as<ir::StructType>();
}

class StructSplitter {
 public:
  StructSplitter(ir::Arena& arena, ir::Expr root) : arena_(arena), whole_uses_(find_whole_uses(root)) {}

  bool changed() const { return changed_; }

  void bind(ir::Symbol symbol, ir::Expr value) {
    if (whole_uses_.contains(symbol.id())) return;
    Split split;
    while (const auto* let = value.as<ir::Let>()) {
      split.lets.push_back({let->symbol, let->value, value.span()});
      value = let->body;
    }
    std::vector<ir::Expr> members;
    if (const auto* structure = value.as<ir::MakeStruct>()) {
      members.assign(structure->members.begin(), structure->members.end());
    } else if (const auto* type = value_struct(value.type()); type && is_trivial(value)) {
      for (std::uint32_t i = 0; i < type->members.size(); ++i) {
        members.push_back(arena_.make<ir::GetField>(value.span(), value, i));
      }
    } else if (is_split_choice(value)) {
      const ir::Expr condition = name(split, "c", condition_of(value), value.span());
      const std::size_t num_members = value.type().as<ir::StructType>()->members.size();
      for (std::size_t i = 0; i < num_members; ++i) members.push_back(choose(value, condition, i));
    } else {
      return;
    }
    for (std::size_t i = 0; i < members.size(); ++i) {
      const std::string member_name = fmt::format("{}_{}", symbol.name(), i);
      split.members.push_back(name(split, member_name, members[i], value.span()));
    }
    splits_.emplace(symbol.id(), std::move(split));
    changed_ = true;
  }

  ir::Expr rewrite(ir::Expr expr) {
    if (const auto* let = expr.as<ir::Let>()) return without_struct(expr, *let);
    if (const auto* field = expr.as<ir::GetField>()) return member_of(expr, *field);
    if (const auto* iterate = expr.as<ir::Iterate>()) return without_invariants(expr, *iterate);
    return expr;
  }

 private:
  struct Named {
    ir::Symbol symbol;
    ir::Expr value;
    ir::Span span;
  };
  struct Split {
    std::vector<Named> lets;
    std::vector<ir::Expr> members;  // trivial expressions
  };

  // A use of the value, bound by a let of its own unless it is trivial.
  ir::Expr name(Split& split, std::string_view symbol_name, ir::Expr value, ir::Span span) {
    if (is_trivial(value)) return value;
    const ir::Symbol symbol = arena_.fresh_symbol(symbol_name);
    split.lets.push_back({symbol, value, span});
    return arena_.ident(symbol, value.type(), span);
  }

  ir::Expr wrap(const std::vector<Named>& lets, ir::Expr body) {
    for (const Named& let : std::views::reverse(lets)) {
      body = arena_.make<ir::Let>(let.span, let.symbol, let.value, body);
    }
    return body;
  }

  ir::Expr without_struct(ir::Expr expr, const ir::Let& let) {
    const auto found = splits_.find(let.symbol.id());
    return found == splits_.end() ? expr : wrap(found->second.lets, let.body);
  }

  ir::Expr member_of(ir::Expr expr, const ir::GetField& field) {
    if (const auto* ident = field.value.as<ir::Ident>()) {
      const auto found = splits_.find(ident->symbol.id());
      return found == splits_.end() ? expr : found->second.members[field.index];
    }
    if (!is_split_choice(field.value)) return expr;
    bool is_pure = true;  // the other members are dropped
    for (const ir::Expr side : sides_of(field.value)) {
      const auto* structure = side.as<ir::MakeStruct>();
      for (std::size_t i = 0; structure && i < structure->members.size(); ++i) {
        is_pure &= i == field.index || ir::is_pure(structure->members[i]);
      }
    }
    if (!is_pure) return expr;
    changed_ = true;
    return choose(field.value, condition_of(field.value), field.index);
  }

  // A branch or selection between struct literals and named structs, one literal at least.
  static bool is_split_choice(ir::Expr expr) {
    if (!expr.is<ir::If>() && !expr.is<ir::Select>()) return false;
    const auto* type = value_struct(expr.type());
    if (!type || type->members.size() > kMaxSplitMembers) return false;
    const std::array<ir::Expr, 2> sides = sides_of(expr);
    const auto is_literal = [](ir::Expr side) { return side.is<ir::MakeStruct>(); };
    return std::ranges::any_of(sides, is_literal) &&
           std::ranges::all_of(sides, [&](ir::Expr side) { return is_literal(side) || is_trivial(side); });
  }

  static ir::Expr condition_of(ir::Expr choice) {
    const auto* branch = choice.as<ir::If>();
    return branch ? branch->condition : choice.as<ir::Select>()->condition;
  }
  static std::array<ir::Expr, 2> sides_of(ir::Expr choice) {
    if (const auto* branch = choice.as<ir::If>()) return {branch->on_true, branch->on_false};
    const auto* select = choice.as<ir::Select>();
    return {select->on_true, select->on_false};
  }

  // The same choice between the members at `index`.
  ir::Expr choose(ir::Expr choice, ir::Expr condition, std::size_t index) {
    const auto member = [&](ir::Expr side) {
      const auto* structure = side.as<ir::MakeStruct>();
      return structure ? structure->members[index]
                       : arena_.make<ir::GetField>(side.span(), side, static_cast<std::uint32_t>(index));
    };
    const auto [on_true, on_false] = sides_of(choice);
    if (choice.is<ir::If>()) {
      return arena_.add(ir::If{condition, member(on_true), member(on_false)}, choice.span(),
                        choice.annotations());
    }
    return arena_.add(ir::Select{condition, member(on_true), member(on_false)}, choice.span(),
                      choice.annotations());
  }

  // Takes members that no round changes out of the state.
  ir::Expr without_invariants(ir::Expr expr, const ir::Iterate& iterate) {
    const auto& lambda = *iterate.update.as<ir::Lambda>();
    const ir::Parameter& state = lambda.parameters.front();
    const auto* type = state.type.as<ir::StructType>();
    if (!type || whole_uses_.contains(state.symbol.id())) return expr;

    ir::Expr tail = lambda.body;
    while (const auto* let = tail.as<ir::Let>()) tail = let->body;
    const auto* pair = tail.as<ir::MakeStruct>();
    const auto* next = pair ? pair->members[0].as<ir::MakeStruct>() : nullptr;
    if (!next) return expr;
    std::vector<bool> is_invariant;
    for (std::size_t i = 0; i < next->members.size(); ++i) {
      const auto* field = next->members[i].as<ir::GetField>();
      const auto* of = field ? field->value.as<ir::Ident>() : nullptr;
      is_invariant.push_back(of && of->symbol == state.symbol && field->index == i &&
                             !ir::contains_builder(type->members[i]));
    }
    const auto num_invariants = std::ranges::count(is_invariant, true);
    if (num_invariants == 0 || num_invariants == std::ssize(is_invariant)) return expr;
    changed_ = true;
    return shrink_state(expr, is_invariant);
  }

  ir::Expr shrink_state(ir::Expr expr, const std::vector<bool>& is_invariant) {
    const auto& iterate = *expr.as<ir::Iterate>();
    const auto& lambda = *iterate.update.as<ir::Lambda>();
    const ir::Symbol old_state = lambda.parameters.front().symbol;
    const ir::Span span = expr.span();

    Split split;
    std::vector<ir::Expr> initials;
    if (const auto* structure = iterate.initial.as<ir::MakeStruct>()) {
      for (std::size_t i = 0; i < structure->members.size(); ++i) {
        initials.push_back(
            name(split, fmt::format("{}_{}", old_state.name(), i), structure->members[i], span));
      }
    } else {
      const ir::Expr initial = name(split, old_state.name(), iterate.initial, span);
      for (std::uint32_t i = 0; i < is_invariant.size(); ++i) {
        initials.push_back(arena_.make<ir::GetField>(span, initial, i));
      }
    }
    std::vector<ir::Expr> kept_initials;
    for (std::size_t i = 0; i < initials.size(); ++i) {
      if (!is_invariant[i]) kept_initials.push_back(initials[i]);
    }
    const ir::Expr initial = arena_.make<ir::MakeStruct>(span, kept_initials);
    const ir::Symbol state = arena_.fresh_symbol(old_state.name());
    const auto members_from = [&](ir::Expr structure) {
      std::vector<ir::Expr> members = initials;
      std::uint32_t next = 0;
      for (std::size_t i = 0; i < members.size(); ++i) {
        if (!is_invariant[i]) members[i] = arena_.make<ir::GetField>(span, structure, next++);
      }
      return members;
    };

    const std::vector<ir::Expr> members = members_from(arena_.ident(state, initial.type(), span));
    const auto with_new_state = [&](ir::Expr part) {
      return ir::rewrite_bottom_up(part, arena_, [&](ir::Expr inner) {
        const auto* field = inner.as<ir::GetField>();
        const auto* of = field ? field->value.as<ir::Ident>() : nullptr;
        return of && of->symbol == old_state ? members[field->index] : inner;
      });
    };
    std::vector<Named> lets;
    ir::Expr rest = lambda.body;
    for (const ir::Let* let = nullptr; (let = rest.as<ir::Let>()); rest = let->body) {
      lets.push_back({let->symbol, with_new_state(let->value), rest.span()});
    }
    const auto& pair = *rest.as<ir::MakeStruct>();
    const auto& next = *pair.members[0].as<ir::MakeStruct>();
    std::vector<ir::Expr> kept;
    for (std::size_t i = 0; i < next.members.size(); ++i) {
      if (!is_invariant[i]) kept.push_back(with_new_state(next.members[i]));
    }
    const ir::Expr kept_state = arena_.make<ir::MakeStruct>(pair.members[0].span(), kept);
    const std::vector<ir::Expr> kept_pair{kept_state, with_new_state(pair.members[1])};
    const ir::Expr body = wrap(lets, arena_.make<ir::MakeStruct>(rest.span(), kept_pair));
    const std::vector<ir::Parameter> parameters{{state, initial.type()}};
    const ir::Expr update = arena_.make<ir::Lambda>(iterate.update.span(), parameters, body);
    const ir::Expr last = arena_.add(ir::Iterate{initial, update}, span, expr.annotations());
    const ir::Expr named = name(split, old_state.name(), last, span);
    return wrap(split.lets, arena_.make<ir::MakeStruct>(span, members_from(named)));
  }

  ir::Arena& arena_;
  std::unordered_set<std::uint64_t> whole_uses_;
  std::unordered_map<std::uint64_t, Split> splits_;  // by symbol id
  bool changed_ = false;
};

}  // namespace

ir::Expr unroll_structs(ir::Expr root, PassContext& context) {
  for (int round = 0; round < kMaxRounds; ++round) {
    StructSplitter splitter(context.arena, root);
    root = rewrite_lets(
        root, context.arena, [&](ir::Symbol symbol, ir::Expr value) { splitter.bind(symbol, value); },
        [&](ir::Expr expr) { return splitter.rewrite(expr); });
    if (!splitter.changed()) break;
  }
  return root;
}

}  // namespace weld::passes
