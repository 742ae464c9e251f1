#include "runtime/table_partitions.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/calls.h"
#include "runtime/morsel_loop.h"
#include "runtime/run_context.h"

namespace weld::runtime {

TablePartitions::TablePartitions(Worker& worker)
    : worker_(worker), memory_(worker, kPartitions * static_cast<std::int64_t>(sizeof(Partition))) {
  if (!memory_) return;
  partitions_ = memory_.as<Partition>();
  std::memset(static_cast<void*>(partitions_), 0, kPartitions * sizeof(Partition));
  for (std::int64_t p = 0; p < kPartitions; ++p) begin_list(partitions_[p].scope.blocks);
}

TablePartitions::~TablePartitions() {
  for (std::int64_t p = 0; partitions_ && p < kPartitions; ++p)
    state_of(worker_).heap.free_all(partitions_[p].scope.blocks);
}

ErrorCode TablePartitions::begin_table(Worker* worker, Dict& table, std::int64_t entry_bytes,
                                       std::int64_t capacity) noexcept {
  if (!make_dict(worker, table, entry_bytes, capacity, 32 - kPartitionBits)) return ErrorCode::kOutOfMemory;
  table.sequence = reinterpret_cast<std::uint32_t*>(weld_rt_allocate(worker, capacity * 4));
  return table.sequence ? ErrorCode::kSuccess : ErrorCode::kOutOfMemory;
}

ErrorCode TablePartitions::end_table(Worker* worker, Partition& made) noexcept {
  Dict& table = made.table;
  const std::int64_t count = table.num_entries;
  // Only what is filled is looked at again.
  std::int64_t next = 0;
  for (std::uint64_t i = 0; i <= table.slot_mask; ++i) {
    const std::uint64_t filled = table.slots[i];
    table.slots[next] = filled;
    next += filled != 0;
  }
  weld_rt_trim(worker, reinterpret_cast<std::byte*>(table.slots), count * 8);
  weld_rt_trim(worker, table.entries, count * table.entry_bytes);
  weld_rt_trim(worker, reinterpret_cast<std::byte*>(table.sequence), count * 4);
  made.places = reinterpret_cast<std::uint32_t*>(weld_rt_allocate(worker, count * 4));
  return made.places ? ErrorCode::kSuccess : ErrorCode::kOutOfMemory;
}

ErrorCode TablePartitions::assemble(Dict& result, std::int64_t entry_bytes, std::uint64_t num_numbers,
                                    bool has_slots) noexcept {
  result_ = &result;
  num_numbers_ = num_numbers;
  ErrorCode code = allocate_result(entry_bytes, has_slots);
  if (code == ErrorCode::kSuccess) code = num_numbers > 0 ? place_in_order() : place_in_any_order();
  if (!has_slots || code != ErrorCode::kSuccess) return code;
  code = for_each_morsel(worker_, kPartitions, 1, place_slots, this);
  if (code == ErrorCode::kSuccess) place_overflow();
  return code;
}

ErrorCode TablePartitions::allocate_result(std::int64_t entry_bytes, bool has_slots) noexcept {
  for (std::int64_t p = 0; p < kPartitions; ++p) num_entries_ += partitions_[p].table.num_entries;
  if (num_entries_ > kMaxDictEntries) return ErrorCode::kBudgetExceeded;
  Dict& result = *result_;
  result.entry_bytes = entry_bytes;
  result.seed = process_hash_seed();
  result.hash_bits = 32;
  result.num_entries = num_entries_;
  result.entry_capacity = std::max<std::int64_t>(num_entries_, 1);
  const std::int64_t num_slots = has_slots ? std::max(slots_for(num_entries_), kPartitions) : 1;
  result.entries = weld_rt_allocate(&worker_, result.entry_capacity * result.entry_bytes);
  std::byte* slots = result.entries ? weld_rt_allocate(&worker_, num_slots * 8) : nullptr;
  set_slots(result, reinterpret_cast<std::uint64_t*>(slots), num_slots);
  return slots ? ErrorCode::kSuccess : ErrorCode::kOutOfMemory;
}

// --- Entries in the order of their first merge. The numbers of merges are cut into chunks; where the
// entries of a chunk begin is the number of entries in those before.

ErrorCode TablePartitions::place_in_order() noexcept {
  constexpr std::uint64_t kChunkEntries = 32 * 1024;
  constexpr std::uint64_t kMaxChunk = std::uint64_t{1} << 24;
  const std::uint64_t entries = std::max<std::uint64_t>(static_cast<std::uint64_t>(num_entries_), 1);
  chunk_ =
      std::min(std::bit_ceil(kChunkEntries * std::max<std::uint64_t>(num_numbers_ / entries, 1)), kMaxChunk);
  const auto num_chunks = static_cast<std::int64_t>((num_numbers_ + chunk_ - 1) / chunk_);
  const Scratch first(worker_, (num_chunks + 1) * 8);
  if (!first) return ErrorCode::kOutOfMemory;
  first_entry_ = first.as<std::int64_t>();
  ErrorCode code = for_each_morsel(worker_, num_chunks, 1, count_chunk, this);
  if (code != ErrorCode::kSuccess) return code;
  std::int64_t before = 0;
  for (std::int64_t chunk = 0; chunk < num_chunks; ++chunk) {
    const std::int64_t count = first_entry_[chunk];
    first_entry_[chunk] = before;
    before += count;
  }
  return for_each_morsel(worker_, num_chunks, 1, place_chunk, this);
}

// The first entry of a partition that has that number or a later one.
std::int64_t TablePartitions::first_in(const Dict& table, std::uint64_t number) const {
  return std::lower_bound(table.sequence, table.sequence + table.num_entries, number) - table.sequence;
}

ErrorCode TablePartitions::count_chunk(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
  const auto& all = *static_cast<const TablePartitions*>(self);
  for (std::int64_t chunk = begin; chunk < end; ++chunk) {
    const std::uint64_t first = static_cast<std::uint64_t>(chunk) * all.chunk_;
    std::int64_t count = 0;
    for (std::int64_t p = 0; p < kPartitions; ++p) {
      const Dict& table = all.partitions_[p].table;
      count += all.first_in(table, first + all.chunk_) - all.first_in(table, first);
    }
    all.first_entry_[chunk] = count;
  }
  return ErrorCode::kSuccess;
}

ErrorCode TablePartitions::place_chunk(Worker* worker, void* self, std::int64_t begin, std::int64_t end,
                                       void*) {
  const auto& all = *static_cast<const TablePartitions*>(self);
  for (std::int64_t chunk = begin; chunk < end; ++chunk) {
    const ErrorCode code = all.place_entries_of(*worker, chunk);
    if (code != ErrorCode::kSuccess) return code;
  }
  return ErrorCode::kSuccess;
}

ErrorCode TablePartitions::place_entries_of(Worker& worker, std::int64_t chunk) const {
  const std::uint64_t first = static_cast<std::uint64_t>(chunk) * chunk_;
  const auto num_words = static_cast<std::int64_t>(chunk_ / 64);
  const Scratch scratch(worker, num_words * 12);
  if (!scratch) return ErrorCode::kOutOfMemory;
  auto* used = scratch.as<std::uint64_t>();
  auto* before = reinterpret_cast<std::uint32_t*>(used + num_words);
  std::memset(used, 0, static_cast<std::size_t>(num_words) * 8);
  Range ranges[kPartitions];
  for (std::int64_t p = 0; p < kPartitions; ++p) {
    const Dict& table = partitions_[p].table;
    ranges[p] = {first_in(table, first), first_in(table, first + chunk_)};
    for (std::int64_t i = ranges[p].begin; i < ranges[p].end; ++i) {
      const std::uint64_t number = table.sequence[i] - first;
      used[number / 64] |= std::uint64_t{1} << number % 64;
    }
  }
  auto count = static_cast<std::uint32_t>(first_entry_[chunk]);
  for (std::int64_t word = 0; word < num_words; ++word) {
    before[word] = count;
    count += static_cast<std::uint32_t>(std::popcount(used[word]));
  }
  for (std::int64_t p = 0; p < kPartitions; ++p) {
    const Dict& table = partitions_[p].table;
    const auto bytes = static_cast<std::size_t>(table.entry_bytes);
    for (std::int64_t i = ranges[p].begin; i < ranges[p].end; ++i) {
      const std::uint64_t number = table.sequence[i] - first;
      const std::uint64_t earlier = used[number / 64] & ((std::uint64_t{1} << number % 64) - 1);
      const std::uint32_t index = before[number / 64] + static_cast<std::uint32_t>(std::popcount(earlier));
      partitions_[p].places[i] = index;
      if (bytes == 16) {
        std::memcpy(result_->entries + std::size_t{index} * 16, table.entries + i * 16, 16);
      } else {
        std::memcpy(result_->entries + std::size_t{index} * bytes,
                    table.entries + static_cast<std::size_t>(i) * bytes, bytes);
      }
    }
  }
  return ErrorCode::kSuccess;
}

ErrorCode TablePartitions::place_in_any_order() noexcept {
  const Scratch first(worker_, kPartitions * 8);
  if (!first) return ErrorCode::kOutOfMemory;
  first_entry_ = first.as<std::int64_t>();
  std::int64_t before = 0;
  for (std::int64_t p = 0; p < kPartitions; ++p) {
    first_entry_[p] = before;
    before += partitions_[p].table.num_entries;
  }
  return for_each_morsel(worker_, kPartitions, 1, place_partition, this);
}

ErrorCode TablePartitions::place_partition(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
  const auto& all = *static_cast<const TablePartitions*>(self);
  for (std::int64_t p = begin; p < end; ++p) {
    const Partition& partition = all.partitions_[p];
    const std::int64_t bytes = partition.table.entry_bytes;
    if (partition.table.num_entries == 0) continue;
    std::memcpy(all.result_->entries + all.first_entry_[p] * bytes, partition.table.entries,
                static_cast<std::size_t>(partition.table.num_entries * bytes));
    for (std::int64_t i = 0; i < partition.table.num_entries; ++i)
      partition.places[i] = static_cast<std::uint32_t>(all.first_entry_[p] + i);
  }
  return ErrorCode::kSuccess;
}

// --- Slots. Those of a partition are one stretch of the result's, about in the order of its own.

ErrorCode TablePartitions::place_slots(Worker* worker, void* self, std::int64_t begin, std::int64_t end,
                                       void*) {
  const auto& all = *static_cast<const TablePartitions*>(self);
  for (std::int64_t p = begin; p < end; ++p) {
    Partition& partition = all.partitions_[p];
    const Dict& table = partition.table;
    const Dict& result = *all.result_;
    const std::uint64_t stretch = (result.slot_mask + 1) / kPartitions;
    const std::uint64_t first = static_cast<std::uint64_t>(p) * stretch;
    std::memset(result.slots + first, 0, stretch * 8);
    // Entries leave their place in the table's slots one by one: what overflows fits there.
    partition.overflow = table.slots;
    for (std::int64_t i = 0; i < table.num_entries; ++i) {
      const std::uint64_t filled = table.slots[i];
      const std::uint64_t index = partition.places[static_cast<std::uint32_t>(filled) - 1];
      const std::uint64_t moved = (filled >> 32 << 32) | (index + 1);
      std::uint64_t slot = first_slot(result, filled >> 32);
      while (slot < first + stretch && result.slots[slot] != 0) ++slot;
      if (slot < first + stretch) {
        result.slots[slot] = moved;
      } else {
        partition.overflow[partition.num_overflow++] = moved;
      }
    }
    if (partition.num_overflow == 0) state_of(worker).heap.free_all(partition.scope.blocks);
  }
  return ErrorCode::kSuccess;
}

void TablePartitions::place_overflow() {
  const Dict& result = *result_;
  for (std::int64_t p = 0; p < kPartitions; ++p) {
    for (std::int64_t i = 0; i < partitions_[p].num_overflow; ++i) {
      const std::uint64_t moved = partitions_[p].overflow[i];
      std::uint64_t slot = first_slot(result, moved >> 32);
      while (result.slots[slot] != 0) slot = (slot + 1) & result.slot_mask;
      result.slots[slot] = moved;
    }
  }
}

}  // namespace weld::runtime
