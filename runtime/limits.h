#pragma once

#include <cstdint>

namespace weld::runtime {

/// 80 % of the memory of the machine or of this process's cgroup (v1 or v2), whichever is less.
std::int64_t default_memory_limit();

/// The processors that this process may use: its affinity mask, and its cgroup's quota, rounded up. At least
/// 1.
int default_threads();

}  // namespace weld::runtime
