#pragma once

#include <cstdint>

#include "runtime/abi.h"

namespace weld::runtime {

/// Hash seeds are random in each process, so that no input can be made to collide, odd, and kept in data,
/// never in code.
std::uint64_t process_hash_seed() noexcept;

inline constexpr std::int64_t kMaxDictEntries = std::int64_t{1} << 31;
/// A table with so many slots or more is not expected to stay in the cache of a core.
inline constexpr std::int64_t kLargeSlots = 128 * 1024;

/// What of a 64-bit hash is stored in a slot, and says where probing starts: its upper half. Never 0, so that
/// no key looks like an empty slot.
inline std::uint32_t slot_hash(std::uint64_t hash) {
  return static_cast<std::uint32_t>(hash >> 32) | 1;
}

/// The slot where probing starts for a slot_hash.
inline std::uint64_t first_slot(const Dict& dict, std::uint64_t hash) {
  return hash >> dict.slot_shift;
}

/// Gives `into`, which is empty and whose blocks are freed, what `from` has: the blocks go where `place`
/// belongs. `from` must not be used any more.
void take_dict(Worker* worker, BlockLink* place, Dict& into, Dict& from) noexcept;

}  // namespace weld::runtime
