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
  return hash >> dict.slot_shift & dict.slot_mask;
}

/// How many slots a table with room for so many entries has: a power of two.
std::int64_t slots_for(std::int64_t capacity) noexcept;
/// Gives a dictionary slots, without a look at those it has. `hash_bits` is set.
void set_slots(Dict& dict, std::uint64_t* slots, std::int64_t num_slots) noexcept;
/// Makes an empty dictionary in cleared memory, with two blocks in `worker->scope`; false when out of memory.
bool make_dict(Worker* worker, Dict& dict, std::int64_t entry_bytes, std::int64_t capacity,
               std::uint64_t hash_bits = 32) noexcept;
/// Makes room for `capacity` entries, more than there is. On failure the dictionary is as before.
ErrorCode resize_dict(Worker* worker, Dict& dict, std::int64_t capacity) noexcept;
/// Gives `into`, which is empty and whose blocks are freed, what `from` has: the blocks go where `place`
/// belongs. `from` must not be used any more.
void take_dict(Worker* worker, BlockLink* place, Dict& into, Dict& from) noexcept;

}  // namespace weld::runtime
