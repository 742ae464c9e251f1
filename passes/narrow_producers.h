#pragma once

#include <vector>

#include "passes/loop_block.h"

namespace weld::passes {

/// Lets loops that walk over a part of a vector make only that part of it:
///
///   let x = result(for(v, appender[f64], |b, i, e| merge(b, e * 2.0)));
///   for(iter(x, start, end, stride), …)
///
/// becomes
///
///   let x = result(for(iter(v, start, end, stride), appender[f64], |b, i, e|
///   merge(b, e * 2.0))); for(x, …)
///
/// where nothing else uses x, its elements can neither fail nor diverge, and it is made of one whole vector,
/// so that the bounds are checked against the same length. The first loop moves to right before the second.
/// Says whether there was any.
bool narrow_producers(std::vector<BlockNode>& nodes, ir::Arena& arena);

}  // namespace weld::passes
