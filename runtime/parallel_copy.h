#pragma once

#include <cstdint>

#include "runtime/abi.h"

namespace weld::runtime {

/// Copies bytes to memory that does not overlap, in parallel when there are many. Fails only when the run is
/// to stop.
[[nodiscard]] ErrorCode copy_bytes(Worker& worker, std::byte* to, const std::byte* from,
                                   std::int64_t num_bytes) noexcept;

}  // namespace weld::runtime
