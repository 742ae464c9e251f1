#pragma once

#include <array>
#include <cstdint>

#include "ir/nodes.h"

namespace weld::ir {

/// Whether the programs are the same up to the names of bound symbols: nodes, literals (by their bits), types
/// and annotations are equal, spans may differ, free symbols are the same symbols. Two nulls are equal.
/// Nothing recurses over the depth of expressions.
bool alpha_equal(Expr left, Expr right);

/// 128 bits of what `alpha_equal` compares; free symbols count by name. The same in every process that runs
/// the same version of this library. Nothing recurses over the depth of expressions.
std::array<std::uint64_t, 2> structural_hash(Expr expr);

}  // namespace weld::ir
