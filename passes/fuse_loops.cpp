#include "passes/fuse_loops.h"

#include "passes/fused_loop.h"
#include "passes/push_lookups.h"

namespace weld::passes {

ir::Expr fuse_loops(ir::Expr root, PassContext& context) {
  root = push_lookups(root, context.arena);
  return rewrite_blocks(root, context.arena, [&](ir::Expr body) {
    const Block block = read_block(body, BlockReading::kSimplified, context.arena);
    const Clusters clusters = form_clusters(block, FusionKind::kVertical, context);
    const bool is_changed = clusters.any_fused || block.is_simplified;
    return is_changed ? build_block(block, clusters, context.arena) : body;
  });
}

}  // namespace weld::passes
