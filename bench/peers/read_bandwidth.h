#pragma once

#include <cstddef>

namespace weld::bench::peers {

/// GB/s at which `threads` threads together read `num_bytes` of memory in order, the median of `runs` passes
/// over the same bytes, in huge pages where the system gives them.
double read_bandwidth(int threads, std::size_t num_bytes, int runs);

}  // namespace weld::bench::peers
