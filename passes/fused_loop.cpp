#include "passes/fused_loop.h"

#include <algorithm>
#include <queue>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "ir/effects.h"
#include "ir/error.h"
#include "ir/fields.h"
#include "ir/typing.h"

namespace weld::passes {
namespace {

// A value of a node: which builder of a loop.
struct Output {
  int node;
  int value;
};

bool is_atom(ir::Expr expr) {
  while (const auto* field = expr.as<ir::GetField>()) expr = field->value;
  return expr.is<ir::Ident>() || expr.is<ir::Literal>();
}

// Makes one loop of the members of a cluster.
class LoopBuilder {
 public:
  LoopBuilder(const Block& block, std::vector<bool>& used, ir::Arena& arena)
      : block_(block), used_(used), arena_(arena) {}

  /// In the order of the loop's builders.
  const std::vector<Output>& outputs() const { return outputs_; }

  ir::Expr build(const Cluster& cluster) {
    span_ = node(cluster.members.back().node).loop->for_expr.span();
    number_outputs(cluster.members);
    find_iterators(cluster.members);

    std::vector<ir::Expr> builders;
    for (const Output& output : outputs_) builders.push_back(builder_of(output));
    const ir::Expr builder = pack(builders);
    const Loop& last = *node(cluster.members.back().node).loop;
    const ir::Type element_type = ir::element_type(std::span<const ir::Iterator>(iterators_), arena_);
    const std::vector<ir::Parameter> parameters{
        {arena_.fresh_symbol(last.builder().name()), builder.type()},
        {arena_.fresh_symbol(last.index().name()), ir::Type::scalar(ir::ScalarKind::kI64)},
        {arena_.fresh_symbol(last.element().name()), element_type}};
    index_ = arena_.ident(parameters[1].symbol, parameters[1].type, span_);
    element_ = arena_.ident(parameters[2].symbol, element_type, span_);

    std::vector<ir::Expr> states =
        fields_of(arena_.ident(parameters[0].symbol, builder.type(), span_), outputs_.size());
    std::vector<Binding> lets;
    add_members(cluster.members, states, lets);
    const ir::Expr body = finish(states, lets);
    const ir::Expr function = arena_.make<ir::Lambda>(span_, parameters, body);
    ir::Expr loop = arena_.make<ir::For>(span_, iterators_, builder, function);
    loop = arena_.with_annotations(loop, annotations(cluster));
    return node(outputs_.front().node).loop->has_result ? arena_.make<ir::Result>(span_, loop) : loop;
  }

 private:
  void number_outputs(std::span<const ClusterMember> members) {
    for (const ClusterMember& member : members) {
      for (std::size_t i = 0; i < member.outputs.size(); ++i) {
        if (!member.outputs[i]) continue;
        place_of_output_.emplace(key({member.node, static_cast<int>(i)}), outputs_.size());
        outputs_.push_back({member.node, static_cast<int>(i)});
      }
      number_outputs(member.inside);
    }
  }

  ir::Expr builder_of(const Output& output) const {
    const ir::Expr builder = node(output.node).loop->node->builder;
    if (!node(output.node).has_fields()) return builder;
    return builder.as<ir::MakeStruct>()->members[static_cast<std::size_t>(output.value)];
  }

  std::size_t place_of(int node, std::size_t value) const {
    return place_of_output_.at(key({node, static_cast<int>(value)}));
  }

  static std::int64_t key(const Output& value) { return (std::int64_t{value.node} << 32) | value.value; }

  // Those whose elements are not made by another member.
  void find_iterators(std::span<const ClusterMember> members) {
    std::unordered_set<int> made;  // nodes whose vectors, fit for it, are not read
    for (const ClusterMember& member : members) made.insert(member.node);
    for (const ClusterMember& member : members) {
      add_iterators(member.node, made);
      for (const ClusterMember& twin : member.twins) add_iterators(twin.node, made);
    }
  }

  void add_iterators(int number, const std::unordered_set<int>& made) {
    const BlockNode& node = this->node(number);
    for (std::size_t i = 0; i < node.iterators.size(); ++i) {
      if (made.contains(node.producers[i].node)) continue;
      if (place_of_iterator_.emplace(node.iterators[i], iterators_.size()).second)
        iterators_.push_back(node.loop->node->iterators[i]);
    }
  }

  ir::Annotations annotations(const Cluster& cluster) {
    std::vector<ir::Annotation> annotations = cluster.annotations;
    annotations.push_back(
        {"fused", ir::Annotation::Kind::kNumber, arena_.keep(std::to_string(cluster.num_loops))});
    return arena_.keep(annotations);
  }

  ir::Expr pack(const std::vector<ir::Expr>& parts) {
    return parts.size() == 1 ? parts.front() : arena_.make<ir::MakeStruct>(span_, parts);
  }
  // The opposite.
  std::vector<ir::Expr> fields_of(ir::Expr whole, std::size_t count) {
    if (count == 1) return {whole};
    std::vector<ir::Expr> fields;
    for (std::uint32_t i = 0; i < count; ++i) fields.push_back(arena_.make<ir::GetField>(span_, whole, i));
    return fields;
  }

  // The states, packed, inside of the lets. `let s = x; {s.$0, s.$1}` is x.
  ir::Expr finish(const std::vector<ir::Expr>& states, std::vector<Binding>& lets) {
    if (!lets.empty() && is_whole_of(states, lets.back())) {
      const ir::Expr last = lets.back().value;
      lets.pop_back();
      return join_lets(lets, last, arena_);
    }
    return join_lets(lets, pack(states), arena_);
  }

  static bool is_whole_of(const std::vector<ir::Expr>& states, const Binding& binding) {
    const auto* type = binding.value.type().as<ir::StructType>();
    if (!type || type->members.size() != states.size()) return false;
    for (std::size_t i = 0; i < states.size(); ++i) {
      const auto* field = states[i].as<ir::GetField>();
      const auto* whole = field ? field->value.as<ir::Ident>() : nullptr;
      if (!whole || !(whole->symbol == binding.symbol) || field->index != i) return false;
    }
    return true;
  }

  // Adds what the members do for one element; `states` of the loop's builders become those after it.
  void add_members(std::span<const ClusterMember> members, std::vector<ir::Expr>& states,
                   std::vector<Binding>& lets) {
    for (const ClusterMember& member : members) add_member(member, states, lets);
  }

  void add_member(const ClusterMember& member, std::vector<ir::Expr>& states, std::vector<Binding>& lets) {
    const BlockNode& node = this->node(member.node);
    const ir::Expr fresh = fresh_function(member.node);
    const auto& function = *fresh.as<ir::Lambda>();
    const ir::Expr builder = builder_parameter(function, arena_);
    if (node.has_joint_fields) {
      add_joint_fields(member, function, states, lets);
    } else if (node.has_fields()) {
      add_fields(member, function, states, lets);
    } else if (node.role() == LoopRole::kMap) {
      const ir::Expr tail = split_lets(instantiate(function, node, {}), lets);
      add_element(member, 0, merged_once(tail, builder, arena_), states, lets);
    } else if (member.inside.empty()) {
      ir::Expr& state = states[place_of(member.node, 0)];
      state = split_lets(instantiate(function, node, state), lets);
    } else {
      add_around_inside(member, instantiate(function, node, {}), function.parameters[0].symbol, states, lets);
    }
  }

  // A struct of builders that the body handles as a whole.
  void add_joint_fields(const ClusterMember& member, const ir::Lambda& function,
                        std::vector<ir::Expr>& states, std::vector<Binding>& lets) {
    std::vector<ir::Expr> before;
    for (std::size_t i = 0; i < member.outputs.size(); ++i)
      before.push_back(states[place_of(member.node, i)]);
    const ir::Expr body = instantiate(function, node(member.node), pack(before));
    const ir::Expr after = bind("s", split_lets(body, lets), lets);
    const std::vector<ir::Expr> fields = fields_of(after, before.size());
    for (std::size_t i = 0; i < fields.size(); ++i) states[place_of(member.node, i)] = fields[i];
  }

  // A struct of builders, each of which has its own part of the body.
  void add_fields(const ClusterMember& member, const ir::Lambda& function, std::vector<ir::Expr>& states,
                  std::vector<Binding>& lets) {
    const BlockNode& node = this->node(member.node);
    const ir::Expr builder = builder_parameter(function, arena_);
    const ir::Expr tail = split_lets(instantiate(function, node, {}), lets);
    const std::span<const ir::Expr> members = tail.as<ir::MakeStruct>()->members;
    for (std::uint32_t i = 0; i < members.size(); ++i) {
      const ir::Expr field = arena_.make<ir::GetField>(span_, builder, i);
      if (node.values[i].role == LoopRole::kMap) {
        add_element(member, i, merged_once(members[i], field, arena_), states, lets);
        continue;
      }
      ir::Expr& state = states[place_of(member.node, i)];
      state = ir::rewrite_bottom_up(members[i], arena_, [&](ir::Expr part) {
        return part.is<ir::GetField>() && is_same_path(part, field) ? state : part;
      });
    }
  }

  void add_around_inside(const ClusterMember& member, ir::Expr body, ir::Symbol builder,
                         std::vector<ir::Expr>& states, std::vector<Binding>& lets) {
    Site site{.member = member, .outputs = {}, .states = states, .later = {}};
    collect_outputs(member, site.outputs);
    std::vector<ir::Expr> before;
    for (std::size_t output : site.outputs) before.push_back(states[output]);
    site.later.emplace(builder.id(), pack(before));
    ir::Expr after = split_lets(add_at_sites(body, site), lets);
    if (site.outputs.size() > 1) after = bind("s", after, lets);
    const std::vector<ir::Expr> fields = fields_of(after, site.outputs.size());
    for (std::size_t i = 0; i < fields.size(); ++i) states[site.outputs[i]] = fields[i];
  }

  void collect_outputs(const ClusterMember& member, std::vector<std::size_t>& outputs) {
    for (std::size_t i = 0; i < member.outputs.size(); ++i) {
      if (member.outputs[i]) outputs.push_back(place_of(member.node, i));
    }
    for (const ClusterMember& inside : member.inside) collect_outputs(inside, outputs);
  }

  // A name for the value.
  ir::Expr bind(std::string_view name, ir::Expr value, std::vector<Binding>& lets) {
    const ir::Symbol symbol = arena_.fresh_symbol(name);
    lets.push_back({symbol, value, value.span()});
    return arena_.ident(symbol, value.type(), value.span());
  }

  // A node that is made again has symbols of its own.
  ir::Expr fresh_function(int node) {
    const ir::Expr function = this->node(node).loop->node->function;
    const bool again = used_[static_cast<std::size_t>(node)];
    used_[static_cast<std::size_t>(node)] = true;
    return again ? ir::clone_fresh(function, arena_) : function;
  }

  // The body with this loop's index and elements, and `state`, where given, for its builder.
  ir::Expr instantiate(const ir::Lambda& function, const BlockNode& node, ir::Expr state) {
    std::vector<ir::Expr> elements;
    for (std::size_t i = 0; i < node.iterators.size(); ++i) {
      const auto made = elements_.find(key({node.producers[i].node, node.producers[i].value}));
      elements.push_back(made != elements_.end() ? made->second : iterated_element(node.iterators[i]));
    }
    const ir::Symbol builder = function.parameters[0].symbol;
    const ir::Symbol index = function.parameters[1].symbol;
    const ir::Symbol element = function.parameters[2].symbol;
    ir::Expr whole = elements.size() == 1 ? elements.front() : ir::Expr();
    return ir::rewrite_bottom_up(function.body, arena_, [&](ir::Expr part) {
      if (const auto* ident = part.as<ir::Ident>()) {
        if (ident->symbol == index) return index_;
        if (state && ident->symbol == builder) return state;
        if (!(ident->symbol == element)) return part;
        if (!whole) whole = arena_.make<ir::MakeStruct>(part.span(), elements);
        return whole;
      }
      const auto* field = part.as<ir::GetField>();
      if (!field) return part;
      if (elements.size() > 1 && whole && field->value.get() == whole.get()) return elements[field->index];
      const auto* states = state.as<ir::MakeStruct>();
      return states && field->value.get() == state.get() ? states->members[field->index] : part;
    });
  }

  ir::Expr iterated_element(int iterator) {
    const std::size_t place = place_of_iterator_.at(iterator);
    return iterators_.size() == 1
               ? element_
               : arena_.make<ir::GetField>(span_, element_, static_cast<std::uint32_t>(place));
  }

  // Names the element of a vector that is not made; adds it to the vector where that is needed too.
  void add_element(const ClusterMember& member, std::size_t index, ir::Expr value,
                   std::vector<ir::Expr>& states, std::vector<Binding>& lets) {
    const ir::Expr element = is_atom(value) ? value : bind(name_of(member.node), value, lets);
    elements_[key({member.node, static_cast<int>(index)})] = element;
    if (!member.outputs[index]) return;
    ir::Expr& state = states[place_of(member.node, index)];
    state = arena_.make<ir::Merge>(span_, state, element);
  }

  std::string_view name_of(int node) const {
    const ir::Symbol symbol = this->node(node).binding.symbol;
    return symbol ? symbol.name() : "x";
  }

  // The loops inside of a kSites loop, whose builders take the place of its appender.
  struct Site {
    const ClusterMember& member;
    std::vector<std::size_t> outputs;
    std::vector<ir::Expr> states;                       // of all outputs of the loop
    std::unordered_map<std::uint64_t, ir::Expr> later;  // states of the appender, by symbol id: the new ones
  };

  // Replaces the appender's states in a function's body by those of the loops inside, and merges by what
  // these loops do with the merged value. Recurses as deep as count_merge_sites does.
  ir::Expr add_at_sites(ir::Expr expr, Site& site) {
    const ir::Type appender = node(site.member.node).loop->node->builder.type();
    std::vector<Binding> lets;
    for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
      if (let->value.type() != appender) {
        lets.push_back({let->symbol, let->value, expr.span()});
        continue;
      }
      const ir::Expr state = add_at_sites(let->value, site);
      const ir::Symbol symbol = arena_.fresh_symbol(let->symbol.name());
      lets.push_back({symbol, state, expr.span()});
      site.later.emplace(let->symbol.id(), arena_.ident(symbol, state.type(), expr.span()));
    }
    return join_lets(lets, add_at_tail(expr, site), arena_);
  }

  ir::Expr add_at_tail(ir::Expr expr, Site& site) {
    if (const auto* ident = expr.as<ir::Ident>()) return site.later.at(ident->symbol.id());
    if (const auto* merge = expr.as<ir::Merge>())
      return add_inside(add_at_sites(merge->builder, site), merge->value, site);
    if (const auto* branch = expr.as<ir::If>()) {
      const ir::Expr on_true = add_at_sites(branch->on_true, site);
      const ir::Expr on_false = add_at_sites(branch->on_false, site);
      return arena_.add(ir::If{branch->condition, on_true, on_false}, expr.span(), expr.annotations());
    }
    const auto& loop = *expr.as<ir::For>();
    const auto& function = *loop.function.as<ir::Lambda>();
    const ir::Expr builder = add_at_sites(loop.builder, site);
    std::vector<ir::Parameter> parameters(function.parameters.begin(), function.parameters.end());
    parameters[0] = {arena_.fresh_symbol(parameters[0].symbol.name()), builder.type()};
    site.later.emplace(function.parameters[0].symbol.id(),
                       arena_.ident(parameters[0].symbol, builder.type(), expr.span()));
    const ir::Expr body = add_at_sites(function.body, site);
    const ir::Expr new_function = arena_.make<ir::Lambda>(loop.function.span(), parameters, body);
    return arena_.add(ir::For{loop.iterators, builder, new_function}, expr.span(), expr.annotations());
  }

  ir::Expr add_inside(ir::Expr state, ir::Expr value, const Site& site) {
    std::vector<Binding> lets;
    std::vector<ir::Expr> states = site.states;
    const auto* structure = state.as<ir::MakeStruct>();
    std::vector<ir::Expr> parts;
    if (site.outputs.size() > 1 && structure && std::ranges::all_of(structure->members, is_atom))
      parts.assign(structure->members.begin(), structure->members.end());
    else
      parts = fields_of(is_atom(state) ? state : bind("s", state, lets), site.outputs.size());
    for (std::size_t i = 0; i < parts.size(); ++i) states[site.outputs[i]] = parts[i];
    add_element(site.member, 0, value, states, lets);
    for (const ClusterMember& twin : site.member.twins) add_twin(twin, states, lets);
    add_members(site.member.inside, states, lets);
    std::vector<ir::Expr> after;
    for (std::size_t output : site.outputs) after.push_back(states[output]);
    return finish(after, lets);
  }

  // The element of a filter with the same condition: `v` of `if(c, merge(b, v), b)`.
  void add_twin(const ClusterMember& twin, std::vector<ir::Expr>& states, std::vector<Binding>& lets) {
    const ir::Expr fresh = fresh_function(twin.node);
    const auto& function = *fresh.as<ir::Lambda>();
    const ir::Expr body = instantiate(function, node(twin.node), {});
    const auto* branch = body.as<ir::If>();
    const ir::Expr merging = branch->on_false.is<ir::Ident>() ? branch->on_true : branch->on_false;
    const ir::Expr tail = split_lets(merging, lets);
    add_element(twin, 0, merged_once(tail, builder_parameter(function, arena_), arena_), states, lets);
  }

  const BlockNode& node(int number) const { return block_.nodes[static_cast<std::size_t>(number)]; }

  const Block& block_;
  std::vector<bool>& used_;  // nodes whose function is part of the new program already
  ir::Arena& arena_;
  ir::Span span_;
  std::vector<Output> outputs_;
  std::unordered_map<std::int64_t, std::size_t> place_of_output_;  // by key
  std::vector<ir::Iterator> iterators_;
  std::unordered_map<int, std::size_t> place_of_iterator_;  // of iterators, by id
  ir::Expr index_;
  ir::Expr element_;
  std::unordered_map<std::int64_t, ir::Expr> elements_;  // of vectors that are not made, by key
};

// Orders clusters so that each comes after what it uses, else as in the block.
std::vector<int> order_clusters(const Block& block, const Clusters& clusters) {
  std::vector<std::vector<int>> users(clusters.clusters.size());
  std::vector<int> num_missing(clusters.clusters.size());
  std::vector<int> last_node(clusters.clusters.size());
  for (std::size_t n = 0; n < block.nodes.size(); ++n) {
    const std::vector<int>& own = clusters.of_node[n];
    for (int cluster : own) last_node[static_cast<std::size_t>(cluster)] = static_cast<int>(n);
    for (const BlockUse& use : block.nodes[n].uses) {
      for (int user : clusters.of_node[static_cast<std::size_t>(use.user)]) {
        if (std::ranges::count(own, user) > 0) continue;
        for (int cluster : own) {
          users[static_cast<std::size_t>(cluster)].push_back(user);
          ++num_missing[static_cast<std::size_t>(user)];
        }
      }
    }
  }
  using Entry = std::pair<int, int>;  // last node, cluster
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> ready;
  const auto enqueue = [&](int cluster) {
    ready.emplace(last_node[static_cast<std::size_t>(cluster)], cluster);
  };
  for (std::size_t i = 0; i < users.size(); ++i) {
    if (num_missing[i] == 0) enqueue(static_cast<int>(i));
  }
  std::vector<int> order;
  while (!ready.empty()) {
    const int cluster = ready.top().second;
    ready.pop();
    order.push_back(cluster);
    for (int user : users[static_cast<std::size_t>(cluster)]) {
      if (--num_missing[static_cast<std::size_t>(user)] == 0) enqueue(user);
    }
  }
  ir::internal_check(order.size() == users.size(), "fused loops do not depend on each other");
  return order;
}

class BlockBuilder {
 public:
  BlockBuilder(const Block& block, const Clusters& clusters, ir::Arena& arena)
      : block_(block), clusters_(clusters), arena_(arena), used_(block.nodes.size()) {}

  ir::Expr build() {
    ir::Expr body;
    for (int cluster : order_clusters(block_, clusters_)) {
      const std::vector<ClusterMember>& members =
          clusters_.clusters[static_cast<std::size_t>(cluster)].members;
      if (members.empty()) continue;  // merged into another one
      const BlockNode& only = node(members.front().node);
      if (members.size() > 1 || !members.front().inside.empty()) {
        add_fused(clusters_.clusters[static_cast<std::size_t>(cluster)]);
      } else if (!only.binding.symbol) {
        body = with_hoisted(only.binding.value);
      } else {
        add_unchanged(members.front().node);
      }
    }
    return join_lets(bindings_, body, arena_);
  }

 private:
  void add_fused(const Cluster& cluster) {
    LoopBuilder builder(block_, used_, arena_);
    const ir::Expr loop = builder.build(cluster);
    const std::vector<Output>& outputs = builder.outputs();
    if (outputs.size() == 1) return add(outputs.front(), loop);
    const ir::Symbol symbol = arena_.fresh_symbol("r");
    bindings_.push_back({symbol, with_hoisted(loop), loop.span()});
    const ir::Expr results = arena_.ident(symbol, loop.type(), loop.span());
    for (std::uint32_t i = 0; i < outputs.size(); ++i) {
      const ir::Span span = node(outputs[i].node).binding.span;
      bindings_.push_back({symbol_of(outputs[i]), arena_.make<ir::GetField>(span, results, i), span});
    }
  }

  // What was taken out of another node's value goes back there, unless that is made several times, or not at
  // all although the checks are needed: the size of a vector that is not made.
  void add(const Output& output, ir::Expr value) {
    const BlockNode& node = this->node(output.node);
    value = with_hoisted(value);
    const bool has_one_place =
        node.uses.size() == 1 &&
        clusters_.of_node[static_cast<std::size_t>(node.uses.front().user)].size() == 1 &&
        !(node.uses.front().is_of_builder && ir::may_fail_or_diverge(value));
    if (node.is_hoisted && has_one_place)
      hoisted_.emplace(symbol_of(output).id(), value);
    else
      bindings_.push_back({symbol_of(output), value, node.binding.span});
  }

  // A node that stays as it is. Its fields, which its users know by names, are fields of it again.
  void add_unchanged(int number) {
    const BlockNode& node = this->node(number);
    if (!node.has_fields()) return add({number, 0}, node.alone ? node.alone : node.binding.value);
    const ir::Expr value = with_hoisted(node.binding.value);
    bindings_.push_back({node.binding.symbol, value, node.binding.span});
    const ir::Expr whole = arena_.ident(node.binding.symbol, value.type(), node.binding.span);
    for (std::uint32_t i = 0; i < node.values.size(); ++i)
      hoisted_.emplace(node.values[i].symbol.id(), arena_.make<ir::GetField>(node.binding.span, whole, i));
  }

  ir::Symbol symbol_of(const Output& output) const {
    return node(output.node).values[static_cast<std::size_t>(output.value)].symbol;
  }

  ir::Expr with_hoisted(ir::Expr value) {
    return hoisted_.empty() ? value : ir::substitute(value, hoisted_, arena_);
  }

  const BlockNode& node(int number) const { return block_.nodes[static_cast<std::size_t>(number)]; }

  const Block& block_;
  const Clusters& clusters_;
  ir::Arena& arena_;
  std::vector<bool> used_;
  std::vector<Binding> bindings_;
  ir::Substitution hoisted_;
};

}  // namespace

ir::Expr build_block(const Block& block, const Clusters& clusters, ir::Arena& arena) {
  return BlockBuilder(block, clusters, arena).build();
}

}  // namespace weld::passes
