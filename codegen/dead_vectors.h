#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "ir/nodes.h"

namespace weld::codegen {

/// By the symbol of a `let`, the symbols whose vectors nobody reads once its value is there.
using DeadVectors = std::unordered_map<std::uint64_t, std::vector<ir::Symbol>>;

/// Of the chain of `let`s that a program is. A vector is told if a loop makes it with a new appender, its
/// elements hold no memory of their own, and it is only read where it stands: by the iterators of loops, by
/// `lookup` and `len`. So nothing else refers to its block, which can be freed, and used again while it is
/// in the cache.
DeadVectors dead_vectors(ir::Expr chain);

}  // namespace weld::codegen
