#pragma once

#include <cstdint>

#include "runtime/abi.h"

namespace weld::runtime {

/// Hash seeds are random in each process, so that no input can be made to collide, and kept in data, never in
/// code.
std::uint64_t process_hash_seed() noexcept;

inline constexpr std::int64_t kMaxDictEntries = std::int64_t{1} << 31;

/// What of a 64-bit hash is stored in a slot and where probing starts: its upper half.
inline std::uint32_t slot_hash(std::uint64_t hash) {
  return static_cast<std::uint32_t>(hash >> 32);
}

}  // namespace weld::runtime
