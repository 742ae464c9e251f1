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

// The loop for rows that pass seldom; null where it is no loop for variants.
ir::Expr rare_form(ir::Expr expr, ir::Arena& arena) {
  const auto& loop = *expr.as<ir::For>();
  const auto* function = loop.function.as<ir::Lambda>();
  if (loop.lanes || !function || ir::find_annotation(expr.annotations(), kVariantKey)) return {};
  if (ir::any(function->body.effects() & (ir::Effects::kLoops | ir::Effects::kForeign))) return {};
  if (function->body.record().num_nodes > kMaxBodyNodes || !is_filled_in_lanes(loop.builder.type()) ||
      !may_be_long(expr))
    return {};
  const ir::Expr branch = unknown_branch(*function);
  if (!branch || !saves_something(*branch.as<ir::If>(), function->parameters[2].symbol)) return {};
  const ir::Annotation rare{"branch_selectivity", ir::Annotation::Kind::kNumber, "0.01"};
  const ir::Expr copy = ir::rewrite_bottom_up(expr, arena, [&](ir::Expr part) {
    const auto* candidate = part.as<ir::If>();
    const bool is_it = candidate && ir::contains_builder(part.type());
    return is_it ? arena.with_annotations(part, with(part.annotations(), rare, arena)) : part;
  });
  const ir::Expr fresh = ir::clone_fresh(copy, arena);
  const ir::Annotation name{kVariantKey, ir::Annotation::Kind::kWord, "rare"};
  return arena.with_annotations(fresh, with(fresh.annotations(), name, arena));
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
    const ir::Expr rare = rare_form(expr, arena);
    return rare ? arena.make<ir::Variants>(expr.span(), expr, rare) : expr;
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

int num_branches(ir::Expr function) {
  int count = 0;
  ir::for_each_node(function, [&](ir::Expr expr) {
    if (expr.is<ir::If>() && ir::contains_builder(expr.type())) ++count;
  });
  return count;
}

bool are_alike(const ir::For& left, const ir::For& right) {
  if (left.lanes && right.lanes) return ir::alpha_equal(left.lanes, right.lanes);
  return !left.lanes && !right.lanes && num_branches(left.function) == num_branches(right.function);
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

}  // namespace

ir::Expr settle_variants(ir::Expr root, PassContext& context) {
  ir::Arena& arena = context.arena;
  return ir::rewrite_bottom_up(root, arena, [&](ir::Expr expr) {
    const auto* variants = expr.as<ir::Variants>();
    if (!variants) return expr;
    const Named first = named(variants->first);
    const Named second = named(variants->second);
    const auto* loop = first.loop.as<ir::For>();
    const auto* other = second.loop.as<ir::For>();
    if (!loop || !other) return expr;
    const ir::Expr renamed = under_names_of(first, second, arena);
    if (!renamed || are_alike(*loop, *renamed.as<ir::For>())) return variants->first;
    if (first.lets.empty()) return expr;
    ir::Expr result = arena.make<ir::Variants>(expr.span(), first.loop, renamed);
    for (auto let = first.lets.rbegin(); let != first.lets.rend(); ++let)
      result = arena.make<ir::Let>(expr.span(), (*let)->symbol, (*let)->value, result);
    return result;
  });
}

}  // namespace weld::passes
