#pragma once

#include "passes/loop_clusters.h"

namespace weld::passes {

/// The block with each cluster as one loop: its function has the elements of the fused vectors as `let`s, and
/// a struct of builders where several values are used outside:
///
///   let r = result(for(zip(a, b), {appender[i64], merger[i64,+]}, |b, i, e|
///     let x = e.$0 * e.$1; {merge(b.$0, x), merge(b.$1, x + i)}));
///
/// Annotated `fused:n`, n the number of loops that it was made of.
ir::Expr build_block(const Block& block, const Clusters& clusters, ir::Arena& arena);

}  // namespace weld::passes
