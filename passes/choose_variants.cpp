#include "passes/choose_variants.h"

#include <algorithm>
#include <optional>
#include <unordered_set>
#include <vector>

#include "ir/effects.h"
#include "ir/equality.h"
#include "ir/fields.h"
#include "passes/expression_cost.h"

namespace weld::passes {
namespace {

constexpr std::uint32_t kMaxBodyNodes = 80;  // the body is compiled once more
constexpr std::int64_t kLongLoop = 65536;
constexpr double kSavedCost = 3;
constexpr double kDearCost = 8;        // of a part of a condition whose place matters
constexpr std::size_t kMaxOrders = 3;  // of a condition
constexpr std::string_view kVariantKey = "variant";

bool is_filled_in_lanes(ir::Type builder) {
  if (const auto* structure = builder.as<ir::StructType>())
    return std::ranges::all_of(structure->members, is_filled_in_lanes);
  return builder.as<ir::MergerType>() || builder.as<ir::AppenderType>() || builder.as<ir::VecMergerType>();
}

std::int64_t literal_or(ir::Expr expr, std::int64_t otherwise) {
  const auto* literal = expr ? expr.as<ir::Literal>() : nullptr;
  return literal ? literal->value.as<std::int64_t>() : otherwise;
}

bool may_be_long(ir::Expr expr) {
  const auto& loop = *expr.as<ir::For>();
  const auto size = ir::annotated_integer(expr.annotations(), "loopsize");
  if (size && *size < kLongLoop) return false;
  return std::ranges::all_of(loop.iterators, [](const ir::Iterator& it) {
    if (it.kind != ir::IteratorKind::kScalar && it.kind != ir::IteratorKind::kRange) return false;
    if (it.data && it.data.is<ir::MakeVector>()) return false;
    return !it.start ||
           literal_or(it.end, INT64_MAX) - std::max<std::int64_t>(literal_or(it.start, 0), 0) >= kLongLoop;
  });
}

// The columns of the loop that an expression reads, by their numbers in the zip.
std::unordered_set<std::uint32_t> columns_of(ir::Expr expr, ir::Symbol element) {
  std::unordered_set<std::uint32_t> columns;
  ir::for_each_node(expr, [&](ir::Expr part) {
    const auto* field = part.as<ir::GetField>();
    const auto* whole = (field ? field->value : part).as<ir::Ident>();
    if (whole && whole->symbol == element) columns.insert(field ? field->index : 0);
  });
  return columns;
}

// The only branch around merges, if nothing is known of its condition; null otherwise.
ir::Expr unknown_branch(const ir::Lambda& function) {
  ir::Expr found;
  int count = 0;
  ir::for_each_node(function.body, [&](ir::Expr expr) {
    if (!expr.is<ir::If>() || !ir::contains_builder(expr.type())) return;
    found = expr;
    ++count;
  });
  if (count != 1 || ir::find_annotation(found.annotations(), "branch_selectivity") ||
      ir::find_annotation(found.annotations(), "predicate"))
    return {};
  const auto* condition = found.as<ir::If>()->condition.as<ir::Literal>();
  return condition ? ir::Expr() : found;
}

// Whether rows that do not pass need less than those that do.
bool saves_something(const ir::If& branch, ir::Symbol element) {
  std::unordered_set<std::uint32_t> late = columns_of(branch.on_true, element);
  late.merge(columns_of(branch.on_false, element));
  for (std::uint32_t column : columns_of(branch.condition, element)) late.erase(column);
  const double cost = std::max(expression_cost(branch.on_true), expression_cost(branch.on_false)) +
                      kLateColumnCost * late.size();
  return !late.empty() || cost >= 2 * kSavedCost;
}

ir::Annotations with(ir::Annotations annotations, ir::Annotation added, ir::Arena& arena) {
  std::vector<ir::Annotation> all(annotations.begin(), annotations.end());
  added.key = arena.keep(added.key);
  added.value = arena.keep(added.value);
  all.push_back(added);
  return arena.keep(all);
}

// Whether the loop is long and small enough for several bodies.
bool may_have_variants(ir::Expr expr) {
  const auto& loop = *expr.as<ir::For>();
  const auto* function = loop.function.as<ir::Lambda>();
  if (loop.lanes || !function || ir::find_annotation(expr.annotations(), kVariantKey)) return false;
  if (ir::any(function->body.effects() & (ir::Effects::kLoops | ir::Effects::kForeign))) return false;
  return function->body.record().num_nodes <= kMaxBodyNodes && is_filled_in_lanes(loop.builder.type()) &&
         may_be_long(expr);
}

// A copy of the loop with another branch around its merges.
template <class MakeBranch>
ir::Expr with_branch(ir::Expr loop, std::string_view name, ir::Arena& arena, const MakeBranch& make_branch) {
  const ir::Expr copy = ir::rewrite_bottom_up(loop, arena, [&](ir::Expr part) {
    return part.is<ir::If>() && ir::contains_builder(part.type()) ? make_branch(part) : part;
  });
  const ir::Expr fresh = ir::clone_fresh(copy, arena);
  const ir::Annotation named{kVariantKey, ir::Annotation::Kind::kWord, name};
  return arena.with_annotations(fresh, with(fresh.annotations(), named, arena));
}

// The loop for rows that pass seldom.
ir::Expr rare_form(ir::Expr loop, ir::Arena& arena) {
  const ir::Annotation rare{"branch_selectivity", ir::Annotation::Kind::kNumber, "0.01"};
  return with_branch(loop, "rare", arena, [&](ir::Expr branch) {
    return arena.with_annotations(branch, with(branch.annotations(), rare, arena));
  });
}

// The parts of a conjunction, in the order of evaluation; annotated parts stay whole.
std::vector<ir::Expr> conjuncts_of(ir::Expr condition) {
  std::vector<ir::Expr> parts;
  const ir::Binary* chain;
  while ((chain = condition.as<ir::Binary>()) && chain->op == ir::BinaryOp::kLogicalAnd &&
         condition.annotations().empty()) {
    parts.push_back(chain->right);
    condition = chain->left;
  }
  parts.push_back(condition);
  std::ranges::reverse(parts);
  return parts;
}

// Other orders of a condition: each of the dear parts but the first one before the other dear ones.
std::vector<ir::Expr> other_orders(ir::Expr condition, ir::Arena& arena) {
  const std::vector<ir::Expr> parts = conjuncts_of(condition);
  if (std::ranges::any_of(parts, ir::may_fail_or_diverge)) return {};
  const auto is_dear = [](ir::Expr part) { return expression_cost(part) >= kDearCost; };
  const auto first_dear = std::ranges::find_if(parts, is_dear) - parts.begin();
  std::vector<ir::Expr> orders;
  for (std::ptrdiff_t i = first_dear + 1; i < std::ssize(parts) && orders.size() + 1 < kMaxOrders; ++i) {
    if (!is_dear(parts[static_cast<std::size_t>(i)])) continue;
    std::vector<ir::Expr> order = parts;
    std::rotate(order.begin() + first_dear, order.begin() + i, order.begin() + i + 1);
    ir::Expr chain = order.front();
    for (ir::Expr part : std::span(order).subspan(1))
      chain = arena.make<ir::Binary>(condition.span(), ir::BinaryOp::kLogicalAnd, chain, part);
    orders.push_back(chain);
  }
  return orders;
}

// The loops that may take the place of this one, itself not counted.
std::vector<ir::Expr> other_forms(ir::Expr expr, ir::Arena& arena) {
  std::vector<ir::Expr> forms;
  if (!may_have_variants(expr)) return forms;
  const auto& function = *expr.as<ir::For>()->function.as<ir::Lambda>();
  const ir::Expr branch = unknown_branch(function);
  if (!branch) return forms;
  const auto& parts = *branch.as<ir::If>();
  if (saves_something(parts, function.parameters[2].symbol)) forms.push_back(rare_form(expr, arena));
  for (ir::Expr condition : other_orders(parts.condition, arena)) {
    forms.push_back(with_branch(expr, "reordered", arena, [&](ir::Expr part) {
      const auto& old = *part.as<ir::If>();
      const ir::Expr made = arena.make<ir::If>(part.span(), condition, old.on_true, old.on_false);
      return arena.with_annotations(made, part.annotations());
    }));
  }
  return forms;
}

// Either of the expressions.
ir::Expr any_of(std::span<const ir::Expr> alternatives, ir::Arena& arena) {
  ir::Expr result = alternatives.back();
  for (std::size_t i = alternatives.size() - 1; i-- > 0;)
    result = arena.make<ir::Variants>(alternatives[i].span(), alternatives[i], result);
  return result;
}

// Loops that are in no other loop's function, and no variants yet.
std::unordered_set<const ir::ExprRecord*> outermost_loops(ir::Expr root) {
  std::unordered_set<const ir::ExprRecord*> loops;
  int inside = 0;
  const auto holds_others = [](ir::Expr expr) {
    return expr.is<ir::For>() || expr.is<ir::Variants>() || expr.is<ir::Iterate>() || expr.is<ir::Sort>();
  };
  ir::walk(
      root,
      [&](ir::Expr expr) {
        if (expr.is<ir::For>() && inside == 0) loops.insert(expr.get());
        if (holds_others(expr)) ++inside;
        return true;
      },
      [&](ir::Expr expr) {
        if (holds_others(expr)) --inside;
      });
  return loops;
}

}  // namespace

ir::Expr choose_variants(ir::Expr root, PassContext& context) {
  ir::Arena& arena = context.arena;
  if (context.target.vector_bytes == 0) return root;
  // A loop may hold others in its iterators, so what is rewritten is not what was found.
  std::unordered_set<std::uint64_t> outermost;
  for (const ir::ExprRecord* record : outermost_loops(root)) {
    const auto& loop = std::get<ir::For>(record->node);
    outermost.insert(loop.function.as<ir::Lambda>()->parameters[0].symbol.id());
  }
  return ir::rewrite_bottom_up(root, arena, [&](ir::Expr expr) {
    const auto* loop = expr.as<ir::For>();
    if (!loop || !outermost.contains(loop->function.as<ir::Lambda>()->parameters[0].symbol.id())) return expr;
    std::vector<ir::Expr> forms = other_forms(expr, arena);
    forms.insert(forms.begin(), expr);
    return any_of(forms, arena);
  });
}

namespace {

// A variant without the names that are bound around it.
struct Named {
  std::vector<const ir::Let*> lets;
  ir::Expr loop;
};

Named named(ir::Expr expr) {
  Named result;
  for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) result.lets.push_back(let);
  result.loop = expr;
  return result;
}

// The function without what choose_variants notes of its branches.
ir::Expr without_shares(ir::Expr function, ir::Arena& arena) {
  return ir::rewrite_bottom_up(function, arena, [&](ir::Expr part) {
    if (!part.is<ir::If>() || part.annotations().empty()) return part;
    std::vector<ir::Annotation> kept;
    std::ranges::copy_if(part.annotations(), std::back_inserter(kept),
                         [](const ir::Annotation& each) { return each.key != "branch_selectivity"; });
    return arena.with_annotations(part, arena.keep(kept));
  });
}

bool are_alike(const ir::For& left, const ir::For& right, ir::Arena& arena) {
  if (left.lanes && right.lanes) return ir::alpha_equal(left.lanes, right.lanes);
  return !left.lanes && !right.lanes &&
         ir::alpha_equal(without_shares(left.function, arena), without_shares(right.function, arena));
}

// The second loop in terms of the names around the first one; null where they differ.
ir::Expr under_names_of(const Named& first, const Named& second, ir::Arena& arena) {
  if (first.lets.size() != second.lets.size()) return {};
  ir::Substitution names;
  for (std::size_t i = 0; i < first.lets.size(); ++i) {
    const ir::Expr value = ir::substitute(second.lets[i]->value, names, arena);
    if (!ir::alpha_equal(first.lets[i]->value, value)) return {};
    names.emplace(second.lets[i]->symbol.id(),
                  arena.ident(first.lets[i]->symbol, value.type(), value.span()));
  }
  return ir::substitute(second.loop, names, arena);
}

ir::Expr settled(ir::Expr root, ir::Arena& arena) {
  std::vector<Named> all;
  ir::Expr rest = root;
  for (const ir::Variants* variants; (variants = rest.as<ir::Variants>()); rest = variants->second)
    all.push_back(named(variants->first));
  all.push_back(named(rest));
  if (!std::ranges::all_of(all, [](const Named& each) { return each.loop.is<ir::For>(); })) return root;

  const Named& first = all.front();
  std::vector<ir::Expr> kept{first.loop};
  for (const Named& each : std::span(all).subspan(1)) {
    const ir::Expr renamed = under_names_of(first, each, arena);
    const auto is_like = [&](ir::Expr other) {
      return are_alike(*other.as<ir::For>(), *renamed.as<ir::For>(), arena);
    };
    if (renamed && std::ranges::none_of(kept, is_like)) kept.push_back(renamed);
  }
  if (kept.size() == all.size() && first.lets.empty()) return root;
  ir::Expr result = any_of(kept, arena);
  for (auto let = first.lets.rbegin(); let != first.lets.rend(); ++let)
    result = arena.make<ir::Let>(root.span(), (*let)->symbol, (*let)->value, result);
  return result;
}

}  // namespace

ir::Expr settle_variants(ir::Expr root, PassContext& context) {
  ir::Arena& arena = context.arena;
  // From above, as a part of variants may be variants.
  const auto settle_parts = [&](ir::Expr expr) {
    if (expr.is<ir::Variants>()) return expr;
    return ir::map_children(expr, arena, [&](ir::Expr child) {
      return child.is<ir::Variants>() ? settled(child, arena) : child;
    });
  };
  root = ir::rewrite_bottom_up(root, arena, settle_parts);
  return root.is<ir::Variants>() ? settled(root, arena) : root;
}

}  // namespace weld::passes
