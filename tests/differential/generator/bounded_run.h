#pragma once

#include <span>

#include "tests/differential/support/run_both.h"

namespace weld::differential {

/// An outcome, and where in the program it failed.
struct BoundedOutcome : Outcome {
  ir::Span span;
};

/// Generous: ten times the time, twice the memory of normal.
enum class Bound { kNormal, kGenerous };

/// The interpreter on values, ended by DeadlineExceeded or OutOfMemory where tests would take too long.
BoundedOutcome run_bounded(ir::Expr program, std::span<const ir::Value> arguments,
                           Bound bound = Bound::kNormal);

/// Whether the program gives the same when its loops add in another order: then passes that fuse loops have
/// to keep the bits.
bool sums_exactly(ir::Expr program, std::span<const ir::Value> arguments, const Outcome& outcome,
                  ir::Arena& arena);

}  // namespace weld::differential
