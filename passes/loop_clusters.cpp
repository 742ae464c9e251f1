#include "passes/loop_clusters.h"

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "ir/effects.h"
#include "ir/fields.h"

namespace weld::passes {
namespace {

// LLVM is kept away from functions of more than a few thousand instructions, and registers from more
// accumulators than a machine has.
constexpr int kMaxOperations = 1000;
constexpr int kMaxCopiedOperations = 100;
constexpr int kMaxOutputs = 16;
constexpr std::size_t kMaxIterators = 64;
// A vector that is written and read again costs about as much as this many cycles an element, so long as what
// it is made of is no more to read than the vector itself.
constexpr std::int64_t kMaxRecomputedCost = 8;
constexpr std::int64_t kMaxRecomputedSources = 3;
constexpr std::size_t kMaxCandidates = 4;

constexpr std::string_view kFused = "fused";

// A cluster that is being formed. Its members are in any order.
struct Forming {
  Cluster cluster;
  int level = 0;           // more than that of every cluster with a user of its values
  bool is_pinned = false;  // the level of another one depends on it, so it cannot rise
  int region = 0;
  int space = -1;
  std::unordered_set<int> iterators;  // that the loop would have
  int num_outputs = 0;
  int num_operations = 0;
  bool uses_index = false;
  bool has_bare_loop = false;  // one that yields its builder
};

class ClusterFormer {
 public:
  ClusterFormer(const Block& block, FusionKind kind, PassContext& context)
      : block_(block), kind_(kind), context_(context), of_node_(block.nodes.size()) {
    sum_up_costs();
  }

  Clusters form() {
    for (int n = static_cast<int>(block_.nodes.size()) - 1; n >= 0; --n) {
      if (node(n).region != region_) enter_region(node(n).region);
      place(n);
      pin_users(n);
    }
    Clusters clusters{.clusters = {}, .of_node = std::move(of_node_)};
    for (Forming& forming : forming_) {
      std::vector<ClusterMember>& members = forming.cluster.members;
      std::ranges::sort(members, {}, &ClusterMember::node);
      clusters.any_fused |= members.size() > 1 || (members.size() == 1 && !members.front().inside.empty());
      clusters.clusters.push_back(std::move(forming.cluster));
    }
    return clusters;
  }

 private:
  // For each loop whose vector other loops may compute again: the cost an element, and how many vectors are
  // read for it, with everything that would be fused into it.
  void sum_up_costs() {
    costs_.resize(block_.nodes.size());
    sources_.resize(block_.nodes.size());
    for (std::size_t n = 0; n < block_.nodes.size(); ++n) {
      const BlockNode& node = block_.nodes[n];
      costs_[n] = node.cost;
      for (std::size_t i = 0; i < node.producers.size(); ++i) {
        const Producer& producer = node.producers[i];
        const bool is_map = is_fusible(producer) && !this->node(producer.node).has_fields() &&
                            this->node(producer.node).role() == LoopRole::kMap;
        const bool is_read = node.loop->node->iterators[i].kind != ir::IteratorKind::kRange;
        costs_[n] = std::min(costs_[n] + (is_map ? costs_[index(producer.node)] : 0), kLargeCost);
        sources_[n] = std::min(sources_[n] + (is_map ? sources_[index(producer.node)] : is_read), kLargeCost);
      }
      for (std::size_t i = 0; i < node.iterators.size(); ++i)
        producer_of_.emplace(node.iterators[i], node.producers[i]);
    }
  }

  void enter_region(int region) {
    region_ = region;
    floor_ = highest_;
    by_key_.clear();
  }

  void place(int n) {
    if (!of_node_[index(n)].empty()) return;  // with its twin
    if (!node(n).loop) return begin_cluster(n);
    if (kind_ == FusionKind::kVertical && join_users(n)) return;
    if (join_siblings(n)) return;
    begin_cluster(n);
  }

  // Vertical: into the loops that use the vector.
  bool join_users(int n) {
    std::vector<int> users;  // clusters
    bool escapes = false;
    for (const BlockUse& use : node(n).uses) {
      const bool fuses = may_fuse_along(n, use);
      escapes |= !fuses;
      if (!fuses || users.size() > kMaxCandidates) continue;
      for (int cluster : of_node_[index(use.user)]) {
        if (std::ranges::count(users, cluster) == 0) users.push_back(cluster);
      }
    }
    if (users.empty()) {
      explain_other_uses(n);
      return false;
    }
    if (!is_sites(n)) merge_clusters(users);
    if (users.size() > 1 && !escapes && is_recomputed(n) && users.size() <= kMaxCandidates &&
        std::ranges::all_of(users, [&](int user) { return !obstacle(n, user, users); })) {
      for (int user : users) join(n, user, users);
      remark(n,
             "its elements are computed again in each of the loops that use them: that is cheaper than to "
             "keep them");
      return true;
    }
    if (users.size() > 1)
      remark(n, "its vector is made once, for several loops: it is dear, or needed as a whole");
    std::ranges::sort(users, std::greater(), [&](int cluster) { return forming(cluster).level; });
    const char* reason = nullptr;
    for (int user : users) {
      reason = obstacle(n, user, {user});
      if (!reason) {
        join(n, user, {user});
        return true;
      }
    }
    remark(n, std::string("not fused into the loop that uses it: ") + reason);
    return false;
  }

  void explain_other_uses(int n) {
    if (!std::ranges::any_of(node(n).values,
                             [](const BlockValue& value) { return value.role != LoopRole::kSink; }))
      return;
    if (std::ranges::any_of(node(n).uses, &BlockUse::is_part))
      remark(n, "not fused: a loop walks over a part of its vector, or in another order");
  }

  // Makes one cluster of those that use one vector, as far as that is possible.
  void merge_clusters(std::vector<int>& users) {
    std::ranges::sort(users, std::greater(), [&](int cluster) { return forming(cluster).level; });
    for (std::size_t i = 1; i < users.size();) {
      if (may_merge(forming(users.front()), forming(users[i]))) {
        merge(users.front(), users[i]);
        users.erase(users.begin() + static_cast<std::ptrdiff_t>(i));
      } else {
        ++i;
      }
    }
  }

  // No value of `lower` is needed for one that is needed for `upper`, as its level is not higher; nor the
  // other way round, as nothing outside of `lower` that was looked at is needed for it.
  bool may_merge(const Forming& upper, const Forming& lower) const {
    return !lower.is_pinned && upper.space == lower.space && upper.region == lower.region &&
           !upper.has_bare_loop && !lower.has_bare_loop &&
           upper.num_outputs + lower.num_outputs <= kMaxOutputs &&
           upper.num_operations + lower.num_operations <= kMaxOperations &&
           upper.iterators.size() + lower.iterators.size() <= kMaxIterators &&
           merged_annotations(upper.cluster.annotations, lower.cluster.annotations).has_value();
  }

  void merge(int upper, int lower) {
    Forming& into = forming(upper);
    Forming& from = forming(lower);
    replace_cluster(from.cluster.members, lower, upper);
    std::ranges::move(from.cluster.members, std::back_inserter(into.cluster.members));
    into.cluster.annotations = *merged_annotations(into.cluster.annotations, from.cluster.annotations);
    into.cluster.num_loops += from.cluster.num_loops;
    into.iterators.insert(from.iterators.begin(), from.iterators.end());
    into.num_outputs += from.num_outputs;
    into.num_operations += from.num_operations;
    into.uses_index |= from.uses_index;
    from = Forming();
    merged_into_.emplace(lower, upper);
  }

  void replace_cluster(std::span<const ClusterMember> members, int old, int replacement) {
    for (const ClusterMember& member : members) {
      std::ranges::replace(of_node_[index(member.node)], old, replacement);
      replace_cluster(member.inside, old, replacement);
      replace_cluster(member.twins, old, replacement);
    }
  }

  // Which values are needed outside of the clusters. What nobody uses is kept: a loop has a builder.
  std::vector<bool> outputs(int n, const std::vector<int>& joined) const {
    std::vector<bool> needed;
    for (const BlockValue& value : node(n).values)
      needed.push_back(value.role == LoopRole::kSink || node(n).uses.empty());
    for (const BlockUse& use : node(n).uses) {
      const bool is_inside = std::ranges::all_of(
          of_node_[index(use.user)], [&](int cluster) { return std::ranges::count(joined, cluster) > 0; });
      if (!is_inside || !may_fuse_along(n, use)) needed[index(use.value)] = true;
    }
    return needed;
  }

  bool is_recomputed(int n) const {
    return !node(n).has_fields() && node(n).role() == LoopRole::kMap &&
           costs_[index(n)] <= kMaxRecomputedCost && sources_[index(n)] <= kMaxRecomputedSources &&
           !any(node(n).loop->function->body.effects() & ir::Effects::kMayDiverge) &&
           std::ranges::all_of(node(n).loop->node->iterators, is_walked_again);
  }

  // Whether what a loop walks over may be written down several times: names, and bounds that cost little.
  static bool is_walked_again(const ir::Iterator& it) {
    ir::Expr data = it.data;
    while (const auto* field = data.as<ir::GetField>()) data = field->value;
    if (data && !data.is<ir::Ident>()) return false;
    for (const ir::Expr part : {it.start, it.end, it.stride, it.shape, it.strides}) {
      if (part && (part.record().num_nodes > 8 || binds_or_acts(part))) return false;
    }
    return true;
  }
  static bool binds_or_acts(ir::Expr expr) {
    bool found = any(expr.effects() & (ir::Effects::kForeign | ir::Effects::kMayDiverge));
    ir::for_each_node(expr,
                      [&](ir::Expr part) { found = found || part.is<ir::Let>() || part.is<ir::Lambda>(); });
    return found;
  }

  // Beside loops that walk over the same, or equally many elements.
  bool join_siblings(int n) {
    for (int key : keys(n)) {
      const auto found = by_key_.find(key);
      if (found == by_key_.end()) continue;
      std::size_t candidates = 0;
      for (auto it = found->second.rbegin(); it != found->second.rend() && candidates < kMaxCandidates;
           ++it, ++candidates) {
        const int cluster = merged(*it);
        if (sibling_obstacle(n, cluster)) continue;
        join(n, cluster, {cluster});
        return true;
      }
    }
    return false;
  }

  // Where a cluster has gone.
  int merged(int cluster) const {
    for (auto found = merged_into_.find(cluster); found != merged_into_.end();
         found = merged_into_.find(cluster))
      cluster = found->second;
    return cluster;
  }

  // Loops that share a key may become siblings.
  std::vector<int> keys(int n) const {
    if (kind_ == FusionKind::kHorizontal) return {node(n).space};
    std::vector<int> producers;
    for (const Producer& producer : node(n).producers) {
      if (is_fusible(producer) && node(producer.node).region == region_)
        producers.push_back(producer.node * kMaxOutputs + producer.value);
    }
    return producers;
  }

  bool is_fusible(const Producer& producer) const {
    return producer.node >= 0 && node(producer.node).values[index(producer.value)].role != LoopRole::kSink;
  }

  const char* sibling_obstacle(int n, int cluster) {
    const Forming& into = forming(cluster);
    if (into.has_bare_loop || !node(n).loop->has_result) return "it yields a builder";
    // A filter fuses only with loops that walk over nothing else.
    if (kind_ == FusionKind::kVertical && walks_over_sites(n)) {
      const auto guarded = [&](int it) { return is_guarded(it); };
      const bool same = into.iterators.size() == 1 && std::ranges::all_of(node(n).iterators, [&](int it) {
                          return into.iterators.contains(it);
                        });
      const bool aligned =
          std::ranges::all_of(node(n).iterators, guarded) && std::ranges::all_of(into.iterators, guarded);
      if (!(same || aligned) || node(n).uses_index != into.uses_index)
        return "it walks over other vectors too";
    }
    return obstacle(n, cluster, {cluster});
  }

  bool walks_over_sites(int n) const {
    return std::ranges::any_of(node(n).producers, [&](const Producer& producer) {
      return producer.node >= 0 && is_sites(producer.node);
    });
  }

  // Walks over a filtered vector that others may be aligned with.
  bool is_guarded(int iterator) const {
    const Producer& producer = producer_of_.at(iterator);
    return producer.node >= 0 && is_sites(producer.node) && node(producer.node).guard >= 0;
  }

  bool is_sites(int n) const { return node(n).loop && node(n).role() == LoopRole::kSites; }

  // Why a loop cannot join a cluster, if it joins all of `joined`; null when it can.
  const char* obstacle(int n, int cluster, const std::vector<int>& joined) {
    const Forming& into = forming(cluster);
    if (into.cluster.num_loops == 0) return "its user is no loop";
    const auto num_outputs = static_cast<int>(std::ranges::count(outputs(n, joined), true));
    // Past a foreign call moves only what cannot fail, and nobody else needs.
    const bool moves_freely = num_outputs == 0 && !ir::may_fail_or_diverge(node(n).binding.value);
    if (node(n).region != into.region && !moves_freely) return "a foreign call comes in between";
    const bool is_producer = uses_whole_vector(n, cluster);
    if (is_sites(n) && is_producer) {
      if (const char* reason = sites_obstacle(n, cluster)) return reason;
    } else if (node(n).space != into.space) {
      return "the numbers of iterations may differ";
    }
    int level = 0;
    for (const BlockUse& use : node(n).uses) {
      for (int user : of_node_[index(use.user)]) {
        if (std::ranges::count(joined, user) == 0) {
          level = std::max(level, forming(user).level);
        } else if (!may_fuse_along(n, use)) {
          return "the loop also uses the vector in another way than element by "
                 "element";
        }
      }
    }
    if (into.is_pinned && into.level <= level) return "a computation comes in between";
    if (into.num_operations + node(n).num_operations > kMaxOperations) return "the loop would be too large";
    if (into.iterators.size() + node(n).iterators.size() > kMaxIterators)
      return "the loop would walk over too many vectors";
    if (into.num_outputs + num_outputs > kMaxOutputs) return "the loop would have too many builders";
    if (num_outputs > 0 && into.has_bare_loop) return "its vector is needed beside the builder of the loop";
    if (!merged_annotations(into.cluster.annotations, node(n).loop->for_expr.annotations()))
      return "the annotations of the loops differ";
    return nullptr;
  }

  // A filter renumbers: what is inside walks over its vector alone, or over those of filters with the same
  // condition, and does not count.
  const char* sites_obstacle(int n, int cluster) {
    const Forming& into = forming(cluster);
    if (!find_twins(n, cluster))
      return "it merges a varying number of elements, and the loop walks over "
             "other vectors too";
    if (into.uses_index)
      return "it merges a varying number of elements, and the loop uses its "
             "iteration number";
    if (node(n).num_sites > 1 && node(n).num_sites * into.num_operations > kMaxCopiedOperations)
      return "it merges in several places, so that the loop would be copied";
    return nullptr;
  }

  // The other filters that the cluster walks over the vectors of; nothing where they differ, or are used
  // elsewhere.
  std::optional<std::vector<int>> find_twins(int n, int cluster) const {
    std::vector<int> twins;
    for (int iterator : forming_[index(cluster)].iterators) {
      const int other = producer_of_.at(iterator).node;
      if (other == n) continue;
      if (other < 0 || !is_guarded(iterator) || node(other).guard != node(n).guard ||
          node(other).space != node(n).space || node(other).region != node(n).region || other > n)
        return std::nullopt;
      const bool is_used_here = std::ranges::all_of(node(other).uses, [&](const BlockUse& use) {
        return may_fuse_along(other, use) && of_node_[index(use.user)] == std::vector{cluster};
      });
      if (!is_used_here || !merged_annotations({}, node(other).loop->for_expr.annotations())->empty())
        return std::nullopt;
      twins.push_back(other);
    }
    return twins;
  }

  bool uses_whole_vector(int n, int cluster) const {
    return std::ranges::any_of(node(n).uses, [&](const BlockUse& use) {
      return may_fuse_along(n, use) && std::ranges::count(of_node_[index(use.user)], cluster) > 0;
    });
  }

  bool may_fuse_along(int n, const BlockUse& use) const {
    return kind_ == FusionKind::kVertical && use.iterator >= 0 && is_fusible({n, use.value});
  }

  void join(int n, int cluster, const std::vector<int>& joined) {
    Forming& into = forming(cluster);
    int level = 0;
    for (const BlockUse& use : node(n).uses) {
      for (int user : of_node_[index(use.user)]) {
        if (std::ranges::count(joined, user) == 0) level = std::max(level, forming(user).level);
      }
    }
    into.level = std::max(into.level, level + 1);
    highest_ = std::max(highest_, into.level);
    const bool is_producer = uses_whole_vector(n, cluster);
    ClusterMember member{.node = n, .outputs = outputs(n, joined), .inside = {}, .twins = {}};
    if (is_producer && is_sites(n)) {
      const std::vector<int> twins = *find_twins(n, cluster);
      for (int twin : twins) {
        member.twins.push_back({.node = twin, .outputs = {false}, .inside = {}, .twins = {}});
        of_node_[index(twin)].push_back(cluster);
      }
      std::ranges::sort(into.cluster.members, {}, &ClusterMember::node);
      member.inside = std::move(into.cluster.members);
      into.cluster.members.clear();
      into.iterators.clear();
      into.num_operations *= node(n).num_sites;
      // A claim about the filtered vectors.
      std::erase_if(into.cluster.annotations, [](const ir::Annotation& it) { return it.key == "loopsize"; });
      into.uses_index = false;
      into.space = node(n).space;
    } else if (is_producer) {
      for (const BlockUse& use : node(n).uses) {
        if (may_fuse_along(n, use)) into.iterators.erase(node(use.user).iterators[index(use.iterator)]);
      }
    }
    for (const ClusterMember& twin : member.twins) count(twin, into);
    count(member, into);
    into.cluster.members.push_back(std::move(member));
    of_node_[index(n)].push_back(cluster);
    add_keys(n, cluster);
  }

  void add_keys(int n, int cluster) {
    for (int key : keys(n)) {
      std::vector<int>& clusters = by_key_[key];
      if (clusters.empty() || clusters.back() != cluster) clusters.push_back(cluster);
    }
  }

  void begin_cluster(int n) {
    Forming begun;
    begun.level = floor_;
    for (const BlockUse& use : node(n).uses) {
      for (int user : of_node_[index(use.user)]) begun.level = std::max(begun.level, forming(user).level);
    }
    highest_ = std::max(highest_, ++begun.level);
    begun.region = region_;
    ClusterMember member{.node = n, .outputs = outputs(n, {}), .inside = {}, .twins = {}};
    const auto cluster = static_cast<int>(forming_.size());
    of_node_[index(n)].push_back(cluster);
    if (node(n).loop) {
      begun.space = node(n).space;
      begun.has_bare_loop = !node(n).loop->has_result;
      count(member, begun);
    }
    begun.cluster.members.push_back(std::move(member));
    forming_.push_back(std::move(begun));
    if (node(n).loop) add_keys(n, cluster);
  }

  void count(const ClusterMember& member, Forming& into) {
    const BlockNode& node = this->node(member.node);
    into.num_operations += node.num_operations;
    into.num_outputs += static_cast<int>(std::ranges::count(member.outputs, true));
    into.uses_index |= node.uses_index;
    into.iterators.insert(node.iterators.begin(), node.iterators.end());
    const ir::Annotations annotations = node.loop->for_expr.annotations();
    into.cluster.annotations = *merged_annotations(into.cluster.annotations, annotations);
    const auto fused = ir::annotated_integer(annotations, kFused);
    into.cluster.num_loops += static_cast<int>(fused.value_or(1));
  }

  // The annotations of both loops; nothing where they contradict each other.
  static std::optional<std::vector<ir::Annotation>> merged_annotations(
      const std::vector<ir::Annotation>& left, ir::Annotations right) {
    std::vector<ir::Annotation> merged = left;
    for (const ir::Annotation& annotation : right) {
      if (annotation.key == kFused) continue;
      const ir::Annotation* other = ir::find_annotation(left, annotation.key);
      if (other && *other != annotation) return std::nullopt;
      if (!other) merged.push_back(annotation);
    }
    return merged;
  }

  void pin_users(int n) {
    for (const BlockUse& use : node(n).uses) {
      for (int user : of_node_[index(use.user)]) {
        if (std::ranges::count(of_node_[index(n)], user) == 0) forming(user).is_pinned = true;
      }
    }
  }

  void remark(int n, std::string message) {
    const std::string_view pass = kind_ == FusionKind::kVertical ? "fuse_loops" : "fuse_siblings";
    context_.remarks.push_back({std::string(pass), std::move(message), node(n).loop->for_expr.span()});
  }

  const BlockNode& node(int n) const { return block_.nodes[index(n)]; }
  Forming& forming(int cluster) { return forming_[index(cluster)]; }
  static std::size_t index(int number) { return static_cast<std::size_t>(number); }

  const Block& block_;
  FusionKind kind_;
  PassContext& context_;
  std::vector<Forming> forming_;
  std::vector<std::vector<int>> of_node_;
  std::vector<std::int64_t> costs_;
  std::vector<std::int64_t> sources_;
  std::unordered_map<int, Producer> producer_of_;  // by iterator
  std::unordered_map<int, std::vector<int>> by_key_;
  std::unordered_map<int, int> merged_into_;
  int region_ = -1;
  int floor_ = 0;    // every level of the region is higher
  int highest_ = 0;  // of all levels
};

}  // namespace

Clusters form_clusters(const Block& block, FusionKind kind, PassContext& context) {
  return ClusterFormer(block, kind, context).form();
}

}  // namespace weld::passes
