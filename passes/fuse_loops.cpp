#include "passes/fuse_loops.h"

#include "passes/fused_loop.h"

namespace weld::passes {

ir::Expr fuse_loops(ir::Expr root, PassContext& context) {
  return rewrite_blocks(root, context.arena, [&](ir::Expr body) {
    const Block block = read_block(body, context.arena);
    const Clusters clusters = form_clusters(block, FusionKind::kVertical, context);
    return clusters.any_fused ? build_block(block, clusters, context.arena) : body;
  });
}

}  // namespace weld::passes
