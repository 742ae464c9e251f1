#pragma once

#include <cstdint>

#include "runtime/abi.h"

namespace weld::runtime {

/// Writes to `to` the elements of `from` in the order that `indices` says: element `indices[i *
/// index_stride]` becomes the i-th. In parallel when large. Fails only when the run is to stop.
[[nodiscard]] ErrorCode gather_elements(Worker& worker, std::byte* to, const std::byte* from,
                                        std::int64_t element_bytes, const std::uint32_t* indices,
                                        std::int64_t index_stride, std::int64_t length) noexcept;
[[nodiscard]] ErrorCode gather_elements(Worker& worker, std::byte* to, const std::byte* from,
                                        std::int64_t element_bytes, const std::uint64_t* indices,
                                        std::int64_t index_stride, std::int64_t length) noexcept;

}  // namespace weld::runtime
