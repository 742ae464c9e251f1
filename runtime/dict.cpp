#include "runtime/dict.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>

#include "runtime/calls.h"
#include "runtime/dense_table.h"
#include "runtime/dict_parts.h"
#include "runtime/hash.h"
#include "runtime/run_context.h"

namespace weld::runtime {
namespace {

constexpr std::int64_t kMinEntries = 8;
constexpr std::int64_t kTrustedEntries = 65'536;
constexpr std::int64_t kPollSlots = 256 * 1024;

std::uint64_t random_seed() noexcept {
  std::uint64_t seed;
  if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == sizeof seed) return seed;
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return hash_word(static_cast<std::uint64_t>(now), reinterpret_cast<std::uintptr_t>(&seed), kHashMultiplier);
}

std::int64_t capacity_for(std::int64_t entries) {
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(std::max(entries, kMinEntries))));
}

std::uint64_t* allocate_slots(Worker* worker, std::int64_t num_slots) noexcept {
  return reinterpret_cast<std::uint64_t*>(weld_rt_allocate_zeroed(worker, num_slots * 8));
}

ErrorCode grow_entries(Worker* worker, Dict& dict, std::int64_t capacity) noexcept {
  if (dict.sequence) {
    std::byte* sequence =
        weld_rt_grow(worker, reinterpret_cast<std::byte*>(dict.sequence), dict.num_entries * 4, capacity * 4);
    if (!sequence) return ErrorCode::kOutOfMemory;
    dict.sequence = reinterpret_cast<std::uint32_t*>(sequence);
  }
  std::byte* entries =
      weld_rt_grow(worker, dict.entries, dict.num_entries * dict.entry_bytes, capacity * dict.entry_bytes);
  if (!entries) return ErrorCode::kOutOfMemory;
  dict.entries = entries;
  dict.entry_capacity = capacity;
  return ErrorCode::kSuccess;
}

// A block of `bytes` for a structure, filled by `make`; nothing is left when that fails.
template <class T, class Make>
T* make_in_scope(Worker* worker, Make&& make) noexcept {
  Scope scope;
  weld_rt_scope_begin(worker, &scope);
  auto* made = reinterpret_cast<T*>(weld_rt_allocate_zeroed(worker, sizeof(T)));
  if (made && make(*made)) {
    weld_rt_scope_keep(worker, &scope);
    return made;
  }
  weld_rt_scope_end(worker, &scope);
  return nullptr;
}

}  // namespace

std::uint64_t process_hash_seed() noexcept {
  static const std::uint64_t seed = random_seed() | 1;
  return seed;
}

// Small tables have slots to spare: the fewer keys meet on their way, the better branches are predicted.
std::int64_t slots_for(std::int64_t capacity) noexcept {
  constexpr std::int64_t kTinyEntries = 1024;
  constexpr std::int64_t kSmallEntries = 16 * 1024;
  const std::int64_t each = capacity <= kTinyEntries ? 8 : capacity <= kSmallEntries ? 4 : 2;
  return capacity_for(capacity) * each;
}

void set_slots(Dict& dict, std::uint64_t* slots, std::int64_t num_slots) noexcept {
  const auto slot_bits = static_cast<std::uint64_t>(std::countr_zero(static_cast<std::uint64_t>(num_slots)));
  dict.slots = slots;
  dict.slot_mask = static_cast<std::uint64_t>(num_slots) - 1;
  dict.slot_shift = dict.hash_bits - std::min(slot_bits, dict.hash_bits);
}

bool make_dict(Worker* worker, Dict& dict, std::int64_t entry_bytes, std::int64_t capacity,
               std::uint64_t hash_bits) noexcept {
  dict.entry_bytes = entry_bytes;
  dict.entry_capacity = capacity;
  dict.seed = process_hash_seed();
  dict.hash_bits = hash_bits;
  dict.entries = weld_rt_allocate(worker, capacity * entry_bytes);
  set_slots(dict, dict.entries ? allocate_slots(worker, slots_for(capacity)) : nullptr, slots_for(capacity));
  return dict.slots;
}

ErrorCode resize_dict(Worker* worker, Dict& dict, std::int64_t capacity) noexcept {
  if (capacity > kMaxDictEntries) return ErrorCode::kBudgetExceeded;
  if (dict.entry_bytes > 0 && capacity > INT64_MAX / dict.entry_bytes) return ErrorCode::kOutOfMemory;
  if (DenseRange range; !is_dense(dict) && find_range(dict, capacity, range)) {
    const ErrorCode code = make_dense(worker, dict, range);
    if (code != ErrorCode::kSuccess) return code;
  }
  if (is_dense(dict)) return grow_entries(worker, dict, capacity);
  const std::int64_t num_slots = slots_for(capacity);
  Dict grown = dict;
  set_slots(grown, allocate_slots(worker, num_slots), num_slots);
  std::uint64_t* slots = grown.slots;
  if (!slots) return ErrorCode::kOutOfMemory;
  const std::uint64_t mask = grown.slot_mask;
  // In the order of the old slots, which is that of the new ones: both are read and written sequentially.
  for (std::uint64_t i = 0; i <= dict.slot_mask; ++i) {
    if (i % kPollSlots == kPollSlots - 1 && must_poll(*worker)) {
      if (const ErrorCode code = weld_rt_poll(worker); code != ErrorCode::kSuccess) {
        weld_rt_free(worker, reinterpret_cast<std::byte*>(slots));
        return code;
      }
    }
    const std::uint64_t filled = dict.slots[i];
    if (filled == 0) continue;
    std::uint64_t slot = first_slot(grown, filled >> 32);
    while (slots[slot] != 0) slot = (slot + 1) & mask;
    slots[slot] = filled;
  }
  if (const ErrorCode code = grow_entries(worker, dict, capacity); code != ErrorCode::kSuccess) {
    weld_rt_free(worker, reinterpret_cast<std::byte*>(slots));
    return code;
  }
  weld_rt_replace(worker, reinterpret_cast<std::byte*>(dict.slots), reinterpret_cast<std::byte*>(slots));
  set_slots(dict, slots, num_slots);
  return ErrorCode::kSuccess;
}

void take_dict(Worker* worker, BlockLink* place, Dict& into, Dict& from) noexcept {
  weld_rt_free(worker, reinterpret_cast<std::byte*>(into.slots));
  weld_rt_free(worker, into.entries);
  into = from;
  for (std::byte* payload : {reinterpret_cast<std::byte*>(from.slots), from.entries}) {
    Block* block = Block::of(payload);
    unlink(block);
    link_beside(place, block);
  }
  from = {};
}

extern "C" {

Dict* weld_rt_dict_new(Worker* worker, std::int64_t entry_bytes, std::int64_t expected_entries) noexcept {
  const std::int64_t capacity = capacity_for(std::min(expected_entries, kTrustedEntries));
  return make_in_scope<Dict>(worker,
                             [&](Dict& dict) { return make_dict(worker, dict, entry_bytes, capacity); });
}

ErrorCode weld_rt_dict_grow(Worker* worker, Dict* dict) noexcept {
  if (dict->part && outgrows(*dict)) return shed(worker, *dict);
  return resize_dict(worker, *dict, dict->entry_capacity * 2);
}

ErrorCode weld_rt_dict_reserve(Worker* worker, Dict* dict, std::int64_t total_entries) noexcept {
  if (total_entries <= dict->entry_capacity) return ErrorCode::kSuccess;
  if (total_entries > kMaxDictEntries) return ErrorCode::kBudgetExceeded;
  return resize_dict(worker, *dict, capacity_for(total_entries));
}

Dict* weld_rt_dict_copy(Worker* worker, const Dict* dict) noexcept {
  Dict* copy = make_in_scope<Dict>(worker, [&](Dict& made) {
    made = *dict;
    made.slots = nullptr;
    made.entries = weld_rt_allocate(worker, dict->entry_capacity * dict->entry_bytes);
    if (made.entries) made.slots = allocate_slots(worker, static_cast<std::int64_t>(dict->slot_mask) + 1);
    return made.slots != nullptr;
  });
  if (!copy) return nullptr;
  std::memcpy(copy->slots, dict->slots, (dict->slot_mask + 1) * sizeof *dict->slots);
  if (const std::int64_t bytes = dict->num_entries * dict->entry_bytes; bytes > 0)
    std::memcpy(copy->entries, dict->entries, static_cast<std::size_t>(bytes));
  return copy;
}

GroupBuilder* weld_rt_group_new(Worker* worker, std::int64_t entry_bytes, std::int64_t vector_offset,
                                std::int64_t value_bytes, std::int64_t expected_values) noexcept {
  return make_in_scope<GroupBuilder>(worker, [&](GroupBuilder& group) {
    group.vector_offset = vector_offset;
    group.value_bytes = group.logged_bytes = value_bytes;
    group.expected_values = expected_values;
    return make_dict(worker, group.keys, entry_bytes, kMinEntries);
  });
}

}  // extern "C"
}  // namespace weld::runtime
