#include "passes/predicate_merges.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_set>
#include <vector>

#include "ir/effects.h"
#include "ir/fields.h"
#include "ir/reduction_order.h"
#include "passes/expression_cost.h"
#include "passes/paths.h"

namespace weld::passes {
namespace {

bool is_same_path(ir::Expr left, ir::Expr right) {
  const ir::GetField* left_field = nullptr;
  while ((left_field = left.as<ir::GetField>())) {
    const auto* right_field = right.as<ir::GetField>();
    if (!right_field || right_field->index != left_field->index) return false;
    left = left_field->value;
    right = right_field->value;
  }
  return left == right;
}

ir::Symbol root_of(ir::Expr path) {
  while (const auto* field = path.as<ir::GetField>()) path = field->value;
  return path.as<ir::Ident>()->symbol;
}

// Symbols whose mergers start at the identity: the builder parameters of loops, and what is bound to merges
// into them.
std::unordered_set<std::uint64_t> builders_of_loops(ir::Expr root) {
  std::unordered_set<std::uint64_t> builders;
  ir::for_each_node(root, [&](ir::Expr expr) {
    if (const auto* loop = expr.as<ir::For>())
      builders.insert(loop->function.as<ir::Lambda>()->parameters[0].symbol.id());
    const auto* let = expr.as<ir::Let>();
    if (!let || !ir::contains_builder(let->value.type())) return;
    ir::Expr value = let->value;
    while (const auto* merge = value.as<ir::Merge>()) value = merge->builder;
    if (is_path(value) && builders.contains(root_of(value).id())) builders.insert(let->symbol.id());
  });
  return builders;
}

// One side of a branch: names that it binds, and what it does then.
struct Side {
  std::vector<const ir::Let*> lets;
  ir::Expr value;
};

Side side_of(ir::Expr expr) {
  Side side;
  for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) side.lets.push_back(let);
  side.value = expr;
  return side;
}

class Predication {
 public:
  Predication(ir::Expr expr, const std::unordered_set<std::uint64_t>& builders, ir::Arena& arena)
      : expr_(expr),
        branch_(*expr.as<ir::If>()),
        share_(branch_selectivity(expr)),
        builders_(builders),
        arena_(arena),
        condition_(branch_.condition) {}

  // The branch without the branch; null, with a reason, where it stays.
  ir::Expr predicated() {
    const bool wanted = ir::annotated_bool(expr_.annotations(), "predicate").value_or(false);
    const Side on_true = side_of(branch_.on_true);
    const Side on_false = side_of(branch_.on_false);
    if (!add_lets(on_true, 1 - share_) || !add_lets(on_false, share_)) return {};
    const bool named = !condition_.is<ir::Ident>() && !condition_.is<ir::Literal>();
    const ir::Symbol symbol = arena_.fresh_symbol("c");
    if (named) condition_ = arena_.ident(symbol, branch_.condition.type(), branch_.condition.span());

    const auto joined = ir::contains_builder(expr_.type()) ? join(on_true.value, on_false.value)
                                                           : join_values(on_true.value, on_false.value);
    if (!joined) return {};
    if (num_selects_ == 0 && ir::may_fail_or_diverge(branch_.condition)) {
      reason_ = "its condition may fail or diverge, and nothing depends on it";
      return {};
    }
    if (!wanted && wasted_ >= branch_cost(share_)) {
      reason_ = fmt::format("about {:.0f} cycles would be wasted to save a branch of {:.0f}", wasted_,
                            branch_cost(share_));
      return {};
    }
    ir::Expr result = *joined;
    if (named && num_selects_ == 1) {
      result = ir::substitute(result, {{symbol.id(), branch_.condition}}, arena_);
    }
    for (const Side* side : {&on_false, &on_true}) {
      for (auto let = side->lets.rbegin(); let != side->lets.rend(); ++let)
        result = arena_.make<ir::Let>(expr_.span(), (*let)->symbol, (*let)->value, result);
    }
    if (named && num_selects_ > 1)
      result = arena_.make<ir::Let>(expr_.span(), symbol, branch_.condition, result);
    return result;
  }

  const std::string& reason() const { return reason_; }

 private:
  // Values that are from now on evaluated in any case, for that share of the evaluations in vain.
  bool add(ir::Expr value, double share) {
    if (ir::may_fail_or_diverge(value) || any(value.effects() & ir::Effects::kMerges)) {
      reason_ = "it may fail, diverge or use builders where the branch is not taken";
      return false;
    }
    wasted_ += share * expression_cost(value);
    return true;
  }
  bool add_lets(const Side& side, double share) {
    return std::ranges::all_of(side.lets, [&](const ir::Let* let) { return add(let->value, share); });
  }

  ir::Expr select(ir::Expr on_true, ir::Expr on_false) {
    ++num_selects_;
    wasted_ += 1;
    return arena_.make<ir::Select>(expr_.span(), condition_, on_true, on_false);
  }

  std::optional<ir::Expr> join_values(ir::Expr on_true, ir::Expr on_false) {
    if (!ir::is_scalar(expr_.type())) return std::nullopt;
    if (!add(on_true, 1 - share_) || !add(on_false, share_)) return std::nullopt;
    return select(on_true, on_false);
  }

  std::optional<ir::Expr> join(ir::Expr on_true, ir::Expr on_false) {
    if (is_path(on_true) && is_path(on_false) && is_same_path(on_true, on_false)) return on_true;
    const auto* structure = on_true.type().as<ir::StructType>();
    if (!structure) return join_merges(on_true, on_false);
    std::vector<ir::Expr> members;
    for (std::uint32_t k = 0; k < structure->members.size(); ++k) {
      const ir::Expr left = member_of(on_true, k);
      const ir::Expr right = member_of(on_false, k);
      const auto member = left && right ? join(left, right) : std::nullopt;
      if (!member) return std::nullopt;
      members.push_back(*member);
    }
    return arena_.make<ir::MakeStruct>(expr_.span(), members);
  }
  ir::Expr member_of(ir::Expr value, std::uint32_t k) {
    if (const auto* structure = value.as<ir::MakeStruct>()) return structure->members[k];
    return is_path(value) ? arena_.make<ir::GetField>(value.span(), value, k) : ir::Expr();
  }

  // `merge(merge(b, v), w)`: b and the merges, the first one first.
  static std::pair<ir::Expr, std::vector<const ir::Merge*>> merges_of(ir::Expr value) {
    std::vector<const ir::Merge*> merges;
    for (const ir::Merge* merge; (merge = value.as<ir::Merge>()); value = merge->builder)
      merges.push_back(merge);
    std::ranges::reverse(merges);
    return {value, merges};
  }

  std::optional<ir::Expr> join_merges(ir::Expr on_true, ir::Expr on_false) {
    const auto [builder, left] = merges_of(on_true);
    const auto [other, right] = merges_of(on_false);
    if (!is_path(builder) || !is_path(other) || !is_same_path(builder, other)) {
      reason_ = "its sides do more than merge";
      return std::nullopt;
    }
    for (const ir::Merge* merge : left) {
      if (!add(merge->value, 1 - share_)) return std::nullopt;
    }
    for (const ir::Merge* merge : right) {
      if (!add(merge->value, share_)) return std::nullopt;
    }
    if (left.size() == 1 && right.size() == 1 && left[0]->value.type() == right[0]->value.type()) {
      const ir::Expr value = select(left[0]->value, right[0]->value);
      return arena_.make<ir::Merge>(expr_.span(), builder, value);
    }
    if (!has_harmless_identity(builder)) return std::nullopt;
    ir::Expr result = builder;
    for (const ir::Merge* merge : left) {
      const auto identity = identity_for(builder, merge->value);
      if (!identity) return std::nullopt;
      result = arena_.make<ir::Merge>(expr_.span(), result, select(merge->value, *identity));
    }
    for (const ir::Merge* merge : right) {
      const auto identity = identity_for(builder, merge->value);
      if (!identity) return std::nullopt;
      result = arena_.make<ir::Merge>(expr_.span(), result, select(*identity, merge->value));
    }
    return result;
  }

  bool has_harmless_identity(ir::Expr builder) {
    const ir::Type type = builder.type();
    const auto* merger = type.as<ir::MergerType>();
    if (!merger) {
      reason_ = type.as<ir::AppenderType>()      ? "an appender would keep the identity as an element"
                : type.as<ir::VecMergerType>()   ? "the index of the vecmerger may be out of range"
                : type.as<ir::GroupMergerType>() ? "a groupmerger has no identity"
                                                 : "a dictmerger would keep the key";
      return false;
    }
    const bool sums = merger->op == ir::MergeOp::kAdd && ir::depends_on_order(type);
    if (sums && !builders_.contains(root_of(builder).id())) {
      reason_ = "the sum may hold -0.0, to which 0.0 cannot be added unnoticed";
      return false;
    }
    return true;
  }
  // Nothing for simd, which a merger of scalars takes too.
  std::optional<ir::Expr> identity_for(ir::Expr builder, ir::Expr value) {
    const auto* merger = builder.type().as<ir::MergerType>();
    if (value.type() != merger->value) {
      reason_ = "it merges simd";
      return std::nullopt;
    }
    const auto literal = [&](ir::Type type) {
      return arena_.literal(ir::identity_of(merger->op, type.as<ir::ScalarType>()->kind), value.span());
    };
    const auto* structure = merger->value.as<ir::StructType>();
    if (!structure) return literal(merger->value);
    std::vector<ir::Expr> members;
    for (ir::Type member : structure->members) members.push_back(literal(member));
    return arena_.make<ir::MakeStruct>(value.span(), members);
  }

  ir::Expr expr_;
  const ir::If& branch_;
  double share_;
  const std::unordered_set<std::uint64_t>& builders_;
  ir::Arena& arena_;
  ir::Expr condition_;
  double wasted_ = 0;
  int num_selects_ = 0;
  std::string reason_;
};

}  // namespace

ir::Expr predicate_merges(ir::Expr root, PassContext& context) {
  const std::unordered_set<std::uint64_t> builders = builders_of_loops(root);
  return ir::rewrite_bottom_up(root, context.arena, [&](ir::Expr expr) {
    if (!expr.is<ir::If>()) return expr;
    const auto annotated = ir::annotated_bool(expr.annotations(), "predicate");
    if (annotated == false) return expr;
    Predication predication(expr, builders, context.arena);
    if (const ir::Expr predicated = predication.predicated()) return predicated;
    const bool is_asked = annotated.has_value() || ir::contains_builder(expr.type());
    if (is_asked && !predication.reason().empty()) {
      context.remarks.push_back(
          {"predicate_merges", fmt::format("not predicated: {}", predication.reason()), expr.span()});
    }
    return expr;
  });
}

}  // namespace weld::passes
