#include "passes/fuse_siblings.h"

#include "passes/fused_loop.h"

namespace weld::passes {

ir::Expr fuse_siblings(ir::Expr root, PassContext& context) {
  return rewrite_blocks(root, context.arena, [&](ir::Expr body) {
    const Block block = read_block(body, BlockReading::kAsWritten, context.arena);
    const Clusters clusters = form_clusters(block, FusionKind::kHorizontal, context);
    return clusters.any_fused ? build_block(block, clusters, context.arena) : body;
  });
}

}  // namespace weld::passes
