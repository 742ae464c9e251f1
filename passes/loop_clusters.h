#pragma once

#include <string_view>
#include <vector>

#include "passes/loop_block.h"
#include "passes/pass.h"

namespace weld::passes {

enum class FusionKind : std::uint8_t {
  kVertical,    ///< loops with the loops that use their vectors; and users of one vector with each other
  kHorizontal,  ///< loops with equally many iterations
};

/// One loop of a block inside of the loop that a cluster becomes.
struct ClusterMember {
  int node;
  std::vector<bool> outputs;          ///< which of its values are used outside of the cluster
  std::vector<ClusterMember> inside;  ///< of a kSites loop: the loops over its vector
  std::vector<ClusterMember> twins;   ///< filters with the same condition, whose vectors they walk over too
};

/// Nodes of a block that become one loop, or one node that stays.
struct Cluster {
  std::vector<ClusterMember> members;  ///< in the order of the block
  std::vector<ir::Annotation> annotations;
  int num_loops = 0;
};

struct Clusters {
  std::vector<Cluster> clusters;
  std::vector<std::vector<int>> of_node;  ///< several where a cheap loop is done again in each
  bool any_fused = false;
};

/// Decides what to fuse, in one walk over the block from its end: a loop joins a cluster of loops that use
/// its vector (or share an iterator with it) if no other node has to come in between. The remarks of
/// `context` say why a loop was not fused.
Clusters form_clusters(const Block& block, FusionKind kind, PassContext& context);

}  // namespace weld::passes
