#include "passes/lanes_function.h"

#include <algorithm>
#include <unordered_map>

#include "ir/effects.h"
#include "ir/fields.h"
#include "ir/reduction_order.h"
#include "ir/typing.h"
#include "passes/expression_cost.h"
#include "passes/lane_values.h"

namespace weld::passes {
namespace {

// Where the builders of a builder-typed value are: leaf k is the k-th builder of the loop.
struct BuilderTree {
  int leaf = -1;
  std::vector<BuilderTree> members;
};

// How often a builder is merged into.
struct Merges {
  int total = 0;      // on all paths together
  int on_a_path = 0;  // at most
};

// A merge that is put off until other paths are known.
struct PendingMerge {
  LaneValue value;
  ir::Expr mask;  // null: all lanes
  ir::Span span;
};
using PendingMerges = std::vector<std::vector<PendingMerge>>;  // by leaf

bool has_mergers_only(ir::Type builder) {
  if (builder.as<ir::MergerType>()) return true;
  const auto* structure = builder.as<ir::StructType>();
  return structure && std::ranges::all_of(structure->members, has_mergers_only);
}

// The builders of a loop's lanes function.
class LanesBuilder final : LaneValues {
 public:
  LanesBuilder(ir::Expr loop, LoopPlace place, PassContext& context)
      : LaneValues(*loop.as<ir::For>(), loop.span(), context.arena,
                   std::clamp(context.target.vector_bytes, 16, 64), place == LoopPlace::kNested ? 1 : 4),
        scalar_(*loop_.function.as<ir::Lambda>()),
        takes_active_(place == LoopPlace::kNested && has_mergers_only(loop_.builder.type())) {}

  std::optional<LanesFunction> build() {
    const std::vector<ir::Parameter> parameters = bind_parameters();
    note_builders(scalar_.body);
    scopes_.emplace_back();
    add_cost(kIterationCost, kIterationCost / num_lanes_);
    const std::vector<ir::Expr> before = states_;
    const BuilderTree value = build_builder(scalar_.body, active_);
    if (failed_) return std::nullopt;
    const bool is_same = std::ranges::equal(
        states_, before, [](ir::Expr left, ir::Expr right) { return left.get() == right.get(); });
    const ir::Expr body = in_scope(is_same ? body_parameter_ : tree_value(value));

    LanesFunction made;
    made.function = arena_.make<ir::Lambda>(loop_.function.span(), parameters, body);
    made.iterators =
        looks_elements_up_ ? iterators_ : std::vector(loop_.iterators.begin(), loop_.iterators.end());
    if (looks_elements_up_) made.names = names_;
    made.scalar_cost = scalar_cost_;
    made.lanes_cost = lanes_cost_;
    made.without_lanes = dearest_without_lanes_;
    return made;
  }

 private:
  std::vector<ir::Parameter> bind_parameters() {
    const ir::Type element = scalar_.parameters[2].type;
    std::vector<ir::Parameter> parameters;
    for (const ir::Parameter& parameter : scalar_.parameters)
      parameters.push_back({arena_.fresh_symbol(parameter.symbol.name()), parameter.type});
    parameters[1].type = arena_.simd(ir::ScalarKind::kI64, num_lanes_);
    parameters[2].type = ir::lanes_type(element, num_lanes_, arena_);
    if (takes_active_) {
      parameters.push_back({arena_.fresh_symbol("active"), arena_.simd(ir::ScalarKind::kBool, num_lanes_)});
      active_ = arena_.ident(parameters[3].symbol, parameters[3].type, span_);
    }

    const ir::Parameter& builder = parameters[0];
    builders_[scalar_.parameters[0].symbol.id()] =
        leaves_of(builder.type, arena_.ident(builder.symbol, builder.type, span_));
    body_parameter_ = arena_.ident(builder.symbol, builder.type, span_);

    index_.type = scalar_.parameters[1].type;
    index_.lanes = arena_.ident(parameters[1].symbol, parameters[1].type, span_);
    index_ = named(std::move(index_), "i");
    env_[scalar_.parameters[1].symbol.id()] = index_;

    name_iterators();
    const ir::Expr lanes = arena_.ident(parameters[2].symbol, parameters[2].type, span_);
    if (loop_.iterators.size() == 1) {
      env_[scalar_.parameters[2].symbol.id()] = element_of(element, lanes, iterators_[0], {});
      return parameters;
    }
    LaneValue all{.type = element};
    const auto members = element.as<ir::StructType>()->members;
    for (std::uint32_t k = 0; k < members.size(); ++k)
      all.members.push_back(
          element_of(members[k], arena_.make<ir::GetField>(span_, lanes, k), iterators_[k], {}));
    env_[scalar_.parameters[2].symbol.id()] = std::move(all);
    return parameters;
  }

  // ---- Builders: `states_` has the present state of each, and building an expression moves it on.

  BuilderTree leaves_of(ir::Type type, ir::Expr path) {
    if (ir::is_builder(type)) {
      states_.push_back(path);
      return {static_cast<int>(states_.size()) - 1, {}};
    }
    BuilderTree tree;
    const auto members = type.as<ir::StructType>()->members;
    for (std::uint32_t k = 0; k < members.size(); ++k)
      tree.members.push_back(leaves_of(members[k], arena_.make<ir::GetField>(span_, path, k)));
    return tree;
  }

  ir::Expr tree_value(const BuilderTree& tree) {
    if (tree.leaf >= 0) return states_[static_cast<std::size_t>(tree.leaf)];
    std::vector<ir::Expr> members;
    for (const BuilderTree& member : tree.members) members.push_back(tree_value(member));
    return arena_.make<ir::MakeStruct>(span_, members);
  }
  ir::Expr island_builder(const BuilderTree& tree) {
    if (tree.leaf >= 0) {
      const auto found = island_builders_.find(tree.leaf);
      if (found != island_builders_.end()) return found->second;
      failed_ = true;  // a builder that the island's value does not hold
      return states_[static_cast<std::size_t>(tree.leaf)];
    }
    std::vector<ir::Expr> members;
    for (const BuilderTree& member : tree.members) members.push_back(island_builder(member));
    const ir::Expr made = arena_.make<ir::MakeStruct>(span_, members);
    made_structs_.emplace(made.get(), 1);
    return made;
  }

  // Which builders the names of the scalar function are.
  void note_builders(ir::Expr expr) {
    for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
      if (!ir::contains_builder(let->value.type())) continue;
      note_builders(let->value);
      if (const auto tree = tree_of(let->value)) builders_.emplace(let->symbol.id(), *tree);
    }
    if (const auto* branch = expr.as<ir::If>()) {
      note_builders(branch->on_true);
      note_builders(branch->on_false);
    } else if (const auto* structure = expr.as<ir::MakeStruct>()) {
      for (ir::Expr member : structure->members) note_builders(member);
    } else if (const auto* merge = expr.as<ir::Merge>()) {
      note_builders(merge->builder);
    } else if (const auto* masked = expr.as<ir::MergeMasked>()) {
      note_builders(masked->builder);
    } else if (const auto* field = expr.as<ir::GetField>()) {
      note_builders(field->value);
    }
  }

  // The builders that a value holds; nothing where they are not (only) the loop's.
  std::optional<BuilderTree> tree_of(ir::Expr expr) const {
    while (const auto* let = expr.as<ir::Let>()) expr = let->body;
    if (const auto* ident = expr.as<ir::Ident>()) {
      const auto found = builders_.find(ident->symbol.id());
      return found == builders_.end() ? std::nullopt : std::optional(found->second);
    }
    if (const auto* merge = expr.as<ir::Merge>()) return tree_of(merge->builder);
    if (const auto* masked = expr.as<ir::MergeMasked>()) return tree_of(masked->builder);
    if (const auto* loop = expr.as<ir::For>()) return tree_of(loop->builder);
    if (const auto* branch = expr.as<ir::If>()) return tree_of(branch->on_true);
    if (const auto* field = expr.as<ir::GetField>()) {
      const auto tree = tree_of(field->value);
      if (!tree || field->index >= tree->members.size()) return std::nullopt;
      return tree->members[field->index];
    }
    const auto* structure = expr.as<ir::MakeStruct>();
    if (!structure) return std::nullopt;
    BuilderTree tree;
    for (ir::Expr member : structure->members) {
      const auto part = tree_of(member);
      if (!part) return std::nullopt;
      tree.members.push_back(*part);
    }
    return tree;
  }

  void add_leaves(const BuilderTree& tree, std::vector<int>& leaves) const {
    if (tree.leaf >= 0) leaves.push_back(tree.leaf);
    for (const BuilderTree& member : tree.members) add_leaves(member, leaves);
  }

  // How often each builder is merged into by a builder-typed expression.
  const std::vector<Merges>& merges_in(ir::Expr expr) {
    if (const auto found = merges_.find(expr.get()); found != merges_.end()) return found->second;
    std::vector<Merges> merges(states_.size());
    const auto add = [&](const std::vector<Merges>& more) {
      for (std::size_t k = 0; k < merges.size(); ++k) {
        merges[k].total += more[k].total;
        merges[k].on_a_path += more[k].on_a_path;
      }
    };
    const ir::Expr chain = expr;
    for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
      if (ir::contains_builder(let->value.type())) add(merges_in(let->value));
    }
    const auto* merge = expr.as<ir::Merge>();
    const auto* masked = expr.as<ir::MergeMasked>();
    if (merge || masked) {
      const ir::Expr builder = merge ? merge->builder : masked->builder;
      add(merges_in(builder));
      add_to_leaves(merges, builder, 1);
    } else if (const auto* branch = expr.as<ir::If>()) {
      const std::vector<Merges> on_true = merges_in(branch->on_true);
      const std::vector<Merges>& on_false = merges_in(branch->on_false);
      for (std::size_t k = 0; k < merges.size(); ++k) {
        merges[k].total += on_true[k].total + on_false[k].total;
        merges[k].on_a_path += std::max(on_true[k].on_a_path, on_false[k].on_a_path);
      }
    } else if (const auto* structure = expr.as<ir::MakeStruct>()) {
      for (ir::Expr member : structure->members) add(merges_in(member));
    } else if (const auto* field = expr.as<ir::GetField>()) {
      add(merges_in(field->value));
    } else if (!expr.is<ir::Ident>()) {
      add_to_leaves(merges, expr, 2);  // a loop: any number
    }
    return merges_.emplace(chain.get(), std::move(merges)).first->second;
  }
  void add_to_leaves(std::vector<Merges>& merges, ir::Expr builder, int times) const {
    std::vector<int> leaves;
    if (const auto tree = tree_of(builder)) add_leaves(*tree, leaves);
    for (int leaf : leaves) {
      merges[static_cast<std::size_t>(leaf)].total += times;
      merges[static_cast<std::size_t>(leaf)].on_a_path += times;
    }
  }

  // Whether the result depends on the order of merges of different iterations. Mergers of floats have a lane
  // for each iteration of a group.
  bool keeps_order(std::size_t leaf) const {
    const ir::Type type = states_[leaf].type();
    if (type.as<ir::MergerType>()) return false;
    if (type.as<ir::VecMergerType>()) return ir::depends_on_order(type);
    if (type.as<ir::DictMergerType>() && ir::annotated_word(type.annotations(), "order", "any"))
      return ir::depends_on_order(type);
    return true;
  }
  bool any_ordered(const std::vector<Merges>& first, const std::vector<Merges>& second) const {
    for (std::size_t k = 0; k < first.size(); ++k) {
      if (first[k].total > 0 && second[k].total > 0 && keeps_order(k)) return true;
    }
    return false;
  }

  BuilderTree build_builder(ir::Expr expr, ir::Expr mask) {
    for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
      if (!ir::contains_builder(let->value.type())) {
        if (!bind_let(*let, mask)) return builder_island(expr, mask);
        continue;
      }
      if (!builders_.contains(let->symbol.id())) return builder_island(expr, mask);
      const std::vector<Merges> first = merges_in(let->value);
      if (any_ordered(first, merges_in(let->body))) return builder_island(expr, mask);
      build_builder(let->value, mask);
    }
    if (is_path(expr)) return *tree_of(expr);
    if (const auto* structure = expr.as<ir::MakeStruct>()) {
      BuilderTree tree;
      for (ir::Expr member : structure->members) tree.members.push_back(build_builder(member, mask));
      return tree;
    }
    if (const auto* merge = expr.as<ir::Merge>())
      return build_merge(merge->builder, merge->value, {}, expr, mask);
    if (const auto* masked = expr.as<ir::MergeMasked>()) {
      if (!masked->mask.type().as<ir::ScalarType>()) return builder_island(expr, mask);
      return build_merge(masked->builder, masked->value, masked->mask, expr, mask);
    }
    if (const auto* branch = expr.as<ir::If>()) return build_branch(*branch, expr, mask);
    return builder_island(expr, mask);
  }

  BuilderTree build_merge(ir::Expr builder, ir::Expr value, ir::Expr condition, ir::Expr expr,
                          ir::Expr mask) {
    const auto tree = tree_of(builder);
    if (!tree || tree->leaf < 0) return builder_island(expr, mask);
    const auto leaf = static_cast<std::size_t>(tree->leaf);
    const bool again = merges_in(builder)[leaf].total > 0 && keeps_order(leaf);
    if (again || !merges_lanes(builder.type(), value)) return builder_island(expr, mask);
    build_builder(builder, mask);
    const LaneValue lanes = lanes_of(value, mask);
    ir::Expr active = mask;
    if (condition) active = both(mask, lanes_of_value(lanes_of(condition, mask)));
    emit_merge(leaf, {lanes, active, expr.span()});
    return *tree;
  }
  // A merger or appender of scalars takes simd of the language as well, which has no lanes.
  bool merges_lanes(ir::Type builder, ir::Expr value) {
    return has_lanes(value.type()) && value.type() == ir::merge_type(builder, arena_);
  }

  void emit_merge(std::size_t leaf, const PendingMerge& merge) {
    ir::Expr& state = states_[leaf];
    add_merge_cost(state.type(), merge);
    const ir::Expr value = lanes_of_value(merge.value);
    state = merge.mask ? arena_.make<ir::MergeMasked>(merge.span, state, value, merge.mask)
                       : arena_.make<ir::Merge>(merge.span, state, value);
    if (state.record().depth > kMaxStateDepth) state = bind(state, "b");
  }
  void add_merge_cost(ir::Type builder, const PendingMerge& merge) {
    const double scalar = merge_cost(builder);
    const double vectors = vectors_of(ir::merge_type(builder, arena_));
    if (builder.as<ir::MergerType>()) {
      add_cost(scalar, vectors);
    } else if (builder.as<ir::AppenderType>()) {
      // What is appended under a mask is compressed first.
      add_cost(scalar, merge.mask ? 0.5 + vectors : vectors);
    } else if (builder.as<ir::VecMergerType>() && merges_at_index(merge.value)) {
      add_cost(scalar, 3 * vectors);  // places beside each other: loaded and stored as vectors
    } else if (const auto* group = builder.as<ir::GroupMergerType>();
               group && group->key.as<ir::ScalarType>()) {
      // Hashed as vectors, and written down likewise where there are many keys.
      add_cost(scalar, 0.5 * scalar);
    } else {
      scalar_cost_ += scalar * share_;
      lanes_cost_ += (scalar + kCaptureCost) * share_ + 0.5 * weight_;
    }
  }
  bool merges_at_index(const LaneValue& place_and_value) const {
    const auto& members = place_and_value.members;
    return !members.empty() && members.front().lanes == index_.lanes;
  }
  // The share of a vector that one value of the type fills.
  double vectors_of(ir::Type type) const {
    if (const auto* scalar = type.as<ir::ScalarType>())
      return static_cast<double>(ir::size_bytes(scalar->kind)) / vector_bytes_;
    double sum = 0;
    for (ir::Type member : type.as<ir::StructType>()->members) sum += vectors_of(member);
    return sum;
  }

  // Lets the states of the leaves be used on several paths.
  void name_states(const std::vector<std::size_t>& leaves) {
    for (std::size_t leaf : leaves) {
      if (!is_path(states_[leaf])) states_[leaf] = bind(states_[leaf], "b");
    }
  }
  ir::Expr states_together(const std::vector<std::size_t>& leaves) {
    if (leaves.size() == 1) return states_[leaves.front()];
    std::vector<ir::Expr> members;
    for (std::size_t leaf : leaves) members.push_back(states_[leaf]);
    return arena_.make<ir::MakeStruct>(span_, members);
  }
  void set_states(const std::vector<std::size_t>& leaves, ir::Expr together) {
    if (leaves.size() == 1) {
      states_[leaves.front()] = together;
      return;
    }
    const ir::Expr name = bind(together, "b");
    for (std::uint32_t k = 0; k < leaves.size(); ++k)
      states_[leaves[k]] = arena_.make<ir::GetField>(span_, name, k);
  }
  std::vector<std::size_t> merged_leaves(ir::Expr expr) {
    std::vector<std::size_t> leaves;
    const std::vector<Merges>& merges = merges_in(expr);
    for (std::size_t k = 0; k < merges.size(); ++k) {
      if (merges[k].total > 0) leaves.push_back(k);
    }
    return leaves;
  }

  // Those that the expression may leave in another state: where it ends up in an island, all that it has.
  std::vector<std::size_t> touched_leaves(ir::Expr expr) {
    std::vector<std::size_t> leaves = merged_leaves(expr);
    const auto tree = tree_of(expr);
    bool may_be_island = false;
    ir::for_each_node(expr, [&](ir::Expr part) {
      const bool is_plain = is_path(part) || part.is<ir::MakeStruct>() || part.is<ir::Merge>() ||
                            part.is<ir::MergeMasked>() || part.is<ir::If>();
      may_be_island = may_be_island || (!is_plain && ir::contains_builder(part.type()));
    });
    if (!tree || !may_be_island) return leaves;
    std::vector<int> all;
    add_leaves(*tree, all);
    leaves.assign(all.begin(), all.end());
    std::ranges::sort(leaves);
    return leaves;
  }

  BuilderTree build_branch(const ir::If& branch, ir::Expr expr, ir::Expr mask) {
    const auto tree = tree_of(expr);
    if (!tree) return builder_island(expr, mask);
    if (!varies(branch.condition)) {
      // What may fail where the mask is true only is known lane by lane all the same.
      const LaneValue tested = named(lanes_of(branch.condition, mask), "c");
      if (tested.uniform) return build_uniform_branch(branch, tested.uniform, expr, mask, *tree);
    }
    if (any_ordered(merges_in(branch.on_true), merges_in(branch.on_false))) {
      PendingMerges pending(states_.size());
      if (!collect_merges(expr, mask, pending)) return builder_island(expr, mask);
      for (std::size_t leaf = 0; leaf < pending.size(); ++leaf) {
        for (const PendingMerge& merge : pending[leaf]) emit_merge(leaf, merge);
      }
      return *tree;
    }
    const double share = branch_selectivity(expr);
    add_cost(branch_cost(share), 0);
    LaneValue tested = named(lanes_of(branch.condition, mask), "c");
    if (tested.uniform) tested = named(in_lanes(tested.type, broadcast(tested.uniform)), "c");
    build_side(branch.on_true, mask, tested.lanes, share);
    build_side(branch.on_false, mask, negated(tested.lanes), 1 - share);
    return *tree;
  }
  void build_side(ir::Expr expr, ir::Expr mask, ir::Expr condition, double share) {
    const std::vector<std::size_t> leaves = merged_leaves(expr);
    if (leaves.empty() && !ir::may_fail_or_diverge(expr)) return;
    const ir::Expr inner = both(mask, condition);
    const bool skipped = !leaves.empty() && is_skipped(expr, share);
    if (!skipped) {
      with_share(share, false, [&] { return build_builder(expr, inner); });
      return;
    }
    const std::vector<std::size_t> touched = touched_leaves(expr);
    name_states(touched);
    const ir::Expr before = states_together(touched);
    scopes_.emplace_back();
    with_share(share, true, [&] { return build_builder(expr, inner); });
    const ir::Expr after = in_scope(states_together(touched));
    const ir::Expr any = arena_.make<ir::AnyLane>(expr.span(), inner);
    set_states(touched, arena_.make<ir::If>(expr.span(), any, after, before));
  }

  BuilderTree build_uniform_branch(const ir::If& branch, ir::Expr condition, ir::Expr expr, ir::Expr mask,
                                   const BuilderTree& tree) {
    if (merged_leaves(expr).empty()) return tree;
    const std::vector<std::size_t> leaves = touched_leaves(expr);
    name_states(leaves);
    const std::vector<ir::Expr> before = states_;
    const auto side_of = [&](ir::Expr side) {
      states_ = before;
      scopes_.emplace_back();
      build_builder(side, mask);
      return in_scope(states_together(leaves));
    };
    const ir::Expr on_true = side_of(branch.on_true);
    const ir::Expr on_false = side_of(branch.on_false);
    states_ = before;
    set_states(leaves, arena_.make<ir::If>(expr.span(), condition, on_true, on_false));
    return tree;
  }

  // The merges of paths that exclude each other, at most one a path and ordered builder, so that each builder
  // gets the lanes of all paths at once. False where a path does more than that.
  bool collect_merges(ir::Expr expr, ir::Expr mask, PendingMerges& pending) {
    for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
      const bool is_name = ir::contains_builder(let->value.type()) && is_path(let->value);
      if (!is_name && (ir::contains_builder(let->value.type()) || !bind_let(*let, mask))) return false;
    }
    if (is_path(expr)) return true;
    if (const auto* structure = expr.as<ir::MakeStruct>()) {
      for (ir::Expr member : structure->members) {
        if (!collect_merges(member, mask, pending)) return false;
      }
      return true;
    }
    if (const auto* merge = expr.as<ir::Merge>()) {
      const auto tree = tree_of(merge->builder);
      if (!tree || tree->leaf < 0 || !merges_lanes(merge->builder.type(), merge->value)) return false;
      const auto leaf = static_cast<std::size_t>(tree->leaf);
      if (!collect_merges(merge->builder, mask, pending)) return false;
      if (!pending[leaf].empty() && keeps_order(leaf)) return false;
      pending[leaf].push_back({named(lanes_of(merge->value, mask), "x"), mask, expr.span()});
      return true;
    }
    const auto* branch = expr.as<ir::If>();
    return branch && collect_branches(*branch, expr, mask, pending);
  }
  bool collect_branches(const ir::If& branch, ir::Expr expr, ir::Expr mask, PendingMerges& pending) {
    const double share = branch_selectivity(expr);
    add_cost(branch_cost(share), 0);
    LaneValue tested = named(lanes_of(branch.condition, mask), "c");
    if (tested.uniform) tested = named(in_lanes(tested.type, broadcast(tested.uniform)), "c");
    PendingMerges on_true(states_.size());
    PendingMerges on_false(states_.size());
    const auto collect = [&](ir::Expr side, ir::Expr condition, double side_share, PendingMerges& merges) {
      if (is_path(side)) return true;
      const ir::Expr inner = both(mask, condition);
      return with_share(side_share, false, [&] { return collect_merges(side, inner, merges); });
    };
    if (!collect(branch.on_true, tested.lanes, share, on_true)) return false;
    if (!collect(branch.on_false, negated(tested.lanes), 1 - share, on_false)) return false;
    for (std::size_t leaf = 0; leaf < pending.size(); ++leaf) {
      std::vector<PendingMerge>& left = on_true[leaf];
      std::vector<PendingMerge>& right = on_false[leaf];
      if (keeps_order(leaf) && !left.empty() && !right.empty()) {
        LaneValue value = chosen(expr.span(), tested, left.front().value, right.front().value);
        const ir::Expr active =
            arena_.make<ir::Binary>(expr.span(), ir::BinaryOp::kBitOr, left.front().mask, right.front().mask);
        left = {{named(std::move(value), "x"), bind(active, "mask"), expr.span()}};
        right.clear();
      }
      for (std::vector<PendingMerge>* merges : {&left, &right})
        pending[leaf].insert(pending[leaf].end(), merges->begin(), merges->end());
      if (keeps_order(leaf) && pending[leaf].size() > 1) return false;
    }
    return true;
  }

  // The expression lane by lane.
  BuilderTree builder_island(ir::Expr expr, ir::Expr mask) {
    const auto tree = tree_of(expr);
    std::vector<int> leaves;
    if (tree) add_leaves(*tree, leaves);
    if (leaves.empty() || failed_) {
      failed_ = true;
      return tree.value_or(BuilderTree());
    }
    const ir::Type type = expr.type();
    const double cost = expression_cost(expr);
    const ir::Parameter builder{arena_.fresh_symbol("b"), type};
    bind_island_builders(*tree, arena_.ident(builder.symbol, type, span_));
    const ir::Expr body = scalar_rewrite(with_operands_in_lanes(expr, mask));
    island_builders_.clear();
    const Island closed = close_island(body);
    add_island_cost(expr, cost);
    const ir::Expr function = ir::clone_fresh(
        arena_.make<ir::Lambda>(expr.span(), std::vector{builder, closed.parameter}, closed.body), arena_);
    ir::Expr after =
        arena_.make<ir::ForLanes>(expr.span(), tree_value(*tree), closed.values, mask_or_all(mask), function);
    if (tree->leaf < 0) after = bind(after, "b");
    set_tree(*tree, after);
    return *tree;
  }
  void bind_island_builders(const BuilderTree& tree, ir::Expr path) {
    if (tree.leaf >= 0) island_builders_[tree.leaf] = path;
    for (std::uint32_t k = 0; k < tree.members.size(); ++k)
      bind_island_builders(tree.members[k], arena_.make<ir::GetField>(span_, path, k));
  }
  void set_tree(const BuilderTree& tree, ir::Expr value) {
    if (tree.leaf >= 0) states_[static_cast<std::size_t>(tree.leaf)] = value;
    for (std::uint32_t k = 0; k < tree.members.size(); ++k)
      set_tree(tree.members[k], arena_.make<ir::GetField>(span_, value, k));
  }

  ir::Expr builder_in_island(ir::Symbol symbol) override {
    const auto found = builders_.find(symbol.id());
    return found == builders_.end() ? ir::Expr() : island_builder(found->second);
  }

  static constexpr std::uint32_t kMaxStateDepth = 64;

  const ir::Lambda& scalar_;
  bool takes_active_;
  std::unordered_map<std::uint64_t, BuilderTree> builders_;  // of the scalar function's symbols
  ir::Expr body_parameter_;
  std::vector<ir::Expr> states_;  // by leaf
  std::unordered_map<int, ir::Expr> island_builders_;
  std::unordered_map<const ir::ExprRecord*, std::vector<Merges>> merges_;
  bool failed_ = false;
};

}  // namespace

std::optional<LanesFunction> make_lanes_function(ir::Expr loop, LoopPlace place, PassContext& context) {
  return LanesBuilder(loop, place, context).build();
}

}  // namespace weld::passes
