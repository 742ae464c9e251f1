#include "passes/loop_clusters.h"

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "ir/effects.h"

namespace weld::passes {
namespace {

// LLVM is kept away from functions of more than a few thousand instructions, and registers from more
// accumulators than a machine has.
constexpr std::uint32_t kMaxLoopNodes = 2000;
constexpr int kMaxOutputs = 16;
constexpr std::size_t kMaxIterators = 64;
// A vector that is written and read again costs about as much as this many cycles an element, so long as what
// it is made of is no more to read than the vector itself.
constexpr std::int64_t kMaxRecomputedCost = 8;
constexpr std::int64_t kMaxRecomputedSources = 2;
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
  std::uint32_t num_nodes = 0;
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
      std::ranges::sort(forming.cluster.members, {}, &ClusterMember::node);
      const std::vector<ClusterMember>& members = forming.cluster.members;
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
      for (int producer : node.producers) {
        const bool is_map = producer >= 0 && this->node(producer).role == LoopRole::kMap;
        costs_[n] = std::min(costs_[n] + (is_map ? costs_[index(producer)] : 0), kLargeCost);
        sources_[n] = std::min(sources_[n] + (is_map ? sources_[index(producer)] : 1), kLargeCost);
      }
    }
  }

  void enter_region(int region) {
    region_ = region;
    for (const Forming& forming : forming_) floor_ = std::max(floor_, forming.level);
    by_key_.clear();
  }

  void place(int n) {
    if (node(n).role == LoopRole::kNone) return begin_cluster(n);
    if (kind_ == FusionKind::kVertical && join_users(n)) return;
    if (join_siblings(n)) return;
    begin_cluster(n);
  }

  // Vertical: into the loops that use the vector.
  bool join_users(int n) {
    const LoopRole role = node(n).role;
    if (role != LoopRole::kMap && role != LoopRole::kSites) return false;
    std::vector<int> users;  // clusters
    bool escapes = false;
    for (const BlockUse& use : node(n).uses) {
      escapes |= use.iterator < 0;
      if (use.iterator < 0 || users.size() > kMaxCandidates) continue;
      for (int cluster : of_node_[index(use.user)]) {
        if (std::ranges::count(users, cluster) == 0) users.push_back(cluster);
      }
    }
    if (users.empty()) return false;
    if (role == LoopRole::kMap) merge_clusters(users);
    if (users.size() > 1 && !escapes && is_recomputed(n) && users.size() <= kMaxCandidates &&
        std::ranges::all_of(users, [&](int user) { return !obstacle(n, user, users, false); })) {
      for (int user : users) join(n, user, users, false);
      return true;
    }
    std::ranges::sort(users, std::greater(), [&](int cluster) { return forming(cluster).level; });
    const char* reason = nullptr;
    for (int user : users) {
      const std::vector<int> joined{user};
      const bool has_output = escapes || users.size() > 1 || has_users_outside(n, user);
      reason = obstacle(n, user, joined, has_output);
      if (!reason) {
        join(n, user, joined, has_output);
        return true;
      }
    }
    remark(n, std::string("not fused into the loop that uses it: ") + reason);
    return false;
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
           upper.num_nodes + lower.num_nodes <= kMaxLoopNodes &&
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
    into.num_nodes += from.num_nodes;
    into.uses_index |= from.uses_index;
    from = Forming();
    merged_into_.emplace(lower, upper);
  }

  void replace_cluster(std::span<const ClusterMember> members, int old, int replacement) {
    for (const ClusterMember& member : members) {
      std::ranges::replace(of_node_[index(member.node)], old, replacement);
      replace_cluster(member.inside, old, replacement);
    }
  }

  bool has_users_outside(int n, int cluster) const {
    return std::ranges::any_of(node(n).uses, [&](const BlockUse& use) {
      const std::vector<int>& clusters = of_node_[index(use.user)];
      return std::ranges::any_of(clusters, [&](int other) { return other != cluster; });
    });
  }

  bool is_recomputed(int n) const {
    return node(n).role == LoopRole::kMap && costs_[index(n)] <= kMaxRecomputedCost &&
           sources_[index(n)] <= kMaxRecomputedSources &&
           !ir::may_fail_or_diverge(node(n).loop->function->body);
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
        join(n, cluster, {cluster}, true);
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
    for (int producer : node(n).producers) {
      if (producer < 0 || node(producer).region != region_) continue;
      const LoopRole role = node(producer).role;
      if (role == LoopRole::kMap || role == LoopRole::kSites) producers.push_back(producer);
    }
    return producers;
  }

  const char* sibling_obstacle(int n, int cluster) {
    const Forming& into = forming(cluster);
    if (into.has_bare_loop || !node(n).loop->has_result) return "it yields a builder";
    // A filter fuses only with loops that walk over nothing else.
    if (kind_ == FusionKind::kVertical && walks_over_sites(n)) {
      const bool alike =
          std::ranges::all_of(node(n).iterators, [&](int it) { return into.iterators.contains(it); }) &&
          into.iterators.size() == 1;
      if (!alike || node(n).uses_index != into.uses_index) return "it walks over other vectors too";
    }
    return obstacle(n, cluster, {cluster}, true);
  }

  bool walks_over_sites(int n) const {
    return std::ranges::any_of(node(n).producers, [&](int producer) {
      return producer >= 0 && node(producer).role == LoopRole::kSites;
    });
  }

  // Why a loop cannot join a cluster, if it joins all of `joined`; null when it can.
  const char* obstacle(int n, int cluster, const std::vector<int>& joined, bool has_output) {
    const Forming& into = forming(cluster);
    if (into.cluster.num_loops == 0) return "its user is no loop";
    // Past a foreign call moves only what cannot fail, and nobody else needs.
    const bool moves_freely = !has_output && !ir::may_fail_or_diverge(node(n).binding.value);
    if (node(n).region != into.region && !moves_freely) return "a foreign call comes in between";
    const bool is_producer = uses_whole_vector(n, cluster);
    if (node(n).role == LoopRole::kSites && is_producer) {
      if (const char* reason = sites_obstacle(n, into)) return reason;
    } else if (node(n).space != into.space) {
      return "the numbers of iterations may differ";
    }
    int level = 0;
    for (const BlockUse& use : node(n).uses) {
      for (int user : of_node_[index(use.user)]) {
        if (std::ranges::count(joined, user) == 0) {
          level = std::max(level, forming(user).level);
        } else if (!may_fuse_along(n, use)) {
          return "the loop also uses the vector in another way than element by element";
        }
      }
    }
    if (into.is_pinned && into.level <= level) return "a computation comes in between";
    if (into.num_nodes + num_nodes(n) > kMaxLoopNodes) return "the loop would be too large";
    if (into.iterators.size() + node(n).iterators.size() > kMaxIterators)
      return "the loop would walk over too many vectors";
    if (has_output && into.num_outputs >= kMaxOutputs) return "the loop would have too many builders";
    if (has_output && into.has_bare_loop) return "its vector is needed beside the builder of the loop";
    if (!merged_annotations(into.cluster.annotations, node(n).loop->for_expr.annotations()))
      return "the annotations of the loops differ";
    return nullptr;
  }

  // A filter renumbers: what is inside walks over its vector alone, and does not count.
  const char* sites_obstacle(int n, const Forming& into) const {
    for (const BlockUse& use : node(n).uses) {
      if (use.iterator < 0) continue;
      const int iterator = node(use.user).iterators[index(use.iterator)];
      if (!into.iterators.contains(iterator) || into.iterators.size() != 1)
        return "it merges a varying number of elements, and the loop walks over other vectors too";
    }
    if (into.uses_index)
      return "it merges a varying number of elements, and the loop uses its iteration number";
    if (node(n).num_sites > 1 &&
        static_cast<std::uint32_t>(node(n).num_sites) * into.num_nodes > kMaxLoopNodes / 8)
      return "it merges in several places, so that the loop would be copied";
    return nullptr;
  }

  bool uses_whole_vector(int n, int cluster) const {
    return std::ranges::any_of(node(n).uses, [&](const BlockUse& use) {
      return may_fuse_along(n, use) && std::ranges::count(of_node_[index(use.user)], cluster) > 0;
    });
  }

  bool may_fuse_along(int n, const BlockUse& use) const {
    const LoopRole role = node(n).role;
    return kind_ == FusionKind::kVertical && use.iterator >= 0 &&
           (role == LoopRole::kMap || role == LoopRole::kSites);
  }

  void join(int n, int cluster, const std::vector<int>& joined, bool has_output) {
    Forming& into = forming(cluster);
    int level = 0;
    for (const BlockUse& use : node(n).uses) {
      for (int user : of_node_[index(use.user)]) {
        if (std::ranges::count(joined, user) == 0) level = std::max(level, forming(user).level);
      }
    }
    into.level = std::max(into.level, level + 1);
    const bool is_producer = uses_whole_vector(n, cluster);
    ClusterMember member{.node = n, .has_output = has_output, .inside = {}};
    if (is_producer) {
      for (const BlockUse& use : node(n).uses) {
        if (use.iterator >= 0) into.iterators.erase(node(use.user).iterators[index(use.iterator)]);
      }
    }
    if (is_producer && node(n).role == LoopRole::kSites) {
      std::ranges::sort(into.cluster.members, {}, &ClusterMember::node);
      member.inside = std::move(into.cluster.members);
      into.cluster.members.clear();
      into.num_nodes *= static_cast<std::uint32_t>(node(n).num_sites);
      into.space = node(n).space;
    }
    into.cluster.members.push_back(std::move(member));
    of_node_[index(n)].push_back(cluster);
    count(n, into, has_output);
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
    ++begun.level;
    begun.region = region_;
    begun.cluster.members.push_back({.node = n, .has_output = true, .inside = {}});
    const auto cluster = static_cast<int>(forming_.size());
    of_node_[index(n)].push_back(cluster);
    if (node(n).role != LoopRole::kNone) {
      begun.space = node(n).space;
      begun.has_bare_loop = !node(n).loop->has_result;
      count(n, begun, true);
    }
    forming_.push_back(std::move(begun));
    if (node(n).role != LoopRole::kNone) add_keys(n, cluster);
  }

  void count(int n, Forming& into, bool has_output) {
    into.num_nodes += num_nodes(n);
    into.num_outputs += has_output ? 1 : 0;
    into.uses_index = (into.uses_index && into.cluster.members.back().inside.empty()) || node(n).uses_index;
    into.iterators.insert(node(n).iterators.begin(), node(n).iterators.end());
    into.cluster.annotations =
        *merged_annotations(into.cluster.annotations, node(n).loop->for_expr.annotations());
    const auto fused = ir::annotated_integer(node(n).loop->for_expr.annotations(), kFused);
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

  std::uint32_t num_nodes(int n) const { return node(n).loop->node->function.record().num_nodes; }
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
  std::unordered_map<int, std::vector<int>> by_key_;
  std::unordered_map<int, int> merged_into_;
  int region_ = -1;
  int floor_ = 0;
};

}  // namespace

Clusters form_clusters(const Block& block, FusionKind kind, PassContext& context) {
  return ClusterFormer(block, kind, context).form();
}

}  // namespace weld::passes
