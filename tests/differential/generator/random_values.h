#pragma once

#include <vector>

#include "ir/nodes.h"
#include "ir/value.h"
#include "tests/differential/generator/random.h"

namespace weld::differential {

/// Small, equal and extreme values more often than others.
ir::ScalarValue random_scalar(Random& random, ir::ScalarKind kind);

/// A value of a type without builders, simd and dictionaries, of vectors no longer than `max_length`. Few
/// different elements in some vectors, many in others.
ir::Value random_value(Random& random, ir::Type type, std::int64_t max_length);

}  // namespace weld::differential
