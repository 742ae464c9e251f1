#pragma once

#include <cstdint>
#include <optional>

#include "ir/nodes.h"
#include "ir/value.h"
#include "tests/differential/generator/random.h"

namespace weld::differential {

/// Small, equal and extreme values more often than others.
ir::ScalarValue random_scalar(Random& random, ir::ScalarKind kind);

/// A length of a vector at which something changes: lanes, groups of lanes, blocks.
std::int64_t random_length(Random& random, std::int64_t max_length);

/// A value of a type without builders, simd and dictionaries. Few different elements in some vectors, many in
/// others.
///
/// \param max_length  of vectors
/// \param length      of the value, if it is a vector; random if not given
ir::Value random_value(Random& random, ir::Type type, std::int64_t max_length,
                       std::optional<std::int64_t> length = {});

}  // namespace weld::differential
