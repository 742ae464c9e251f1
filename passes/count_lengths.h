#pragma once

#include <vector>

#include "passes/loop_block.h"

namespace weld::passes {

/// Counts the elements of filtered vectors that are measured and walked over, but not needed as a whole:
///
///   let x = result(for(v, appender[i64], |b, i, e| if(e > 2L, merge(b, e), b)));
///   … len(x) …
///
/// becomes
///
///   let x = result(for(v, appender[i64], |b, i, e| if(e > 2L, merge(b, e), b)));
///   let n = result(for(x, merger[i64,+], |b, i, e| merge(b, 1L)));
///   … n …
///
/// so that the two loops fuse, with others that walk over x.
void count_lengths(std::vector<BlockNode>& nodes, ir::Arena& arena);

}  // namespace weld::passes
