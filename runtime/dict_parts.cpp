#include "runtime/dict_parts.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>

#include "runtime/calls.h"
#include "runtime/dense_table.h"
#include "runtime/dict.h"
#include "runtime/morsel_loop.h"
#include "runtime/run_context.h"
#include "runtime/scratch.h"

namespace weld::runtime {
namespace {

// Bytes of entries and slots of a part's table: what stays in the cache of a core, and what a thread may take
// of the one they share.
constexpr std::int64_t kSmallTableBytes = std::int64_t{1} << 20;
constexpr std::int64_t kLargeTableBytes = std::int64_t{8} << 20;
// A table with more keys than that is out of a core's cache: its merges had better be partitioned.
constexpr std::int64_t kCachedKeys = 64 * 1024;
// What a thread writes down in a slice of a loop stays in the cache of its core. Where the tables of keys do
// not, a slice had better meet each of their cache lines more than once.
constexpr std::int64_t kSliceIterations = 128 * 1024;
constexpr std::int64_t kManyKeys = 512 * 1024;
constexpr std::int64_t kLongSliceIterations = std::int64_t{8} << 20;
// Blocks of chunks fill huge pages.
constexpr std::int64_t kFirstChunkBlockBytes = (std::int64_t{2} << 20) - sizeof(Block);
constexpr std::int64_t kChunkBlockBytes = (std::int64_t{4} << 20) - sizeof(Block);
constexpr std::int64_t kSerialEntries = 32 * 1024;  // fewer are combined one by one

std::int64_t table_entries(std::int64_t bytes, std::int64_t entry_bytes) {
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(bytes / (entry_bytes + 24))));
}

// Whether there are probably no more than `limit` keys, when `merges` of random ones met `keys`.
bool expects_at_most(std::int64_t limit, std::int64_t keys, std::int64_t merges) {
  const auto most = static_cast<double>(limit);
  return static_cast<double>(keys) <= most * -std::expm1(-static_cast<double>(merges) / most);
}

// A block in the list where the dictionary's own is.
std::byte* allocate_beside(Worker* worker, Dict& dict, std::int64_t bytes) noexcept {
  Block* block = state_of(worker).heap.allocate(bytes);
  if (!block) return nullptr;
  link_last(*Block::of(reinterpret_cast<std::byte*>(&dict)), block);
  return block->payload();
}

ErrorCode begin_log(Worker* worker, Dict& dict) noexcept {
  std::byte* log = allocate_beside(worker, dict, sizeof(DictLog));
  if (!log) return ErrorCode::kOutOfMemory;
  std::memset(log, 0, sizeof(DictLog));
  dict.part->log = reinterpret_cast<DictLog*>(log);
  return ErrorCode::kSuccess;
}

// A block in front of whose chunks is the link to the one before.
bool add_chunks(Worker* worker, Dict& dict, std::int64_t chunk_bytes) noexcept {
  DictLog& log = *dict.part->log;
  const std::int64_t bytes =
      std::max(log.last_block ? kChunkBlockBytes : kFirstChunkBlockBytes, 16 * chunk_bytes);
  std::byte* block = allocate_beside(worker, dict, bytes);
  if (!block) return false;
  std::memcpy(block, &log.last_block, sizeof log.last_block);
  log.last_block = block;
  const std::int64_t after =
      -static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(block)) & (chunk_bytes - 1);
  log.fresh =
      block + (after >= static_cast<std::int64_t>(sizeof log.last_block) ? after : after + chunk_bytes);
  log.fresh_end = block + bytes;
  return true;
}

void free_log(Worker* worker, Dict& dict) noexcept {
  DictLog* log = dict.part->log;
  if (!log) return;
  for (std::byte* block = log->last_block; block;) {
    std::byte* before;
    std::memcpy(&before, block, sizeof before);
    weld_rt_free(worker, block);
    block = before;
  }
  weld_rt_free(worker, reinterpret_cast<std::byte*>(log));
  dict.part->log = dict.log = nullptr;
}

// Writes down what the table holds, in its order, and empties it.
ErrorCode spill_table(Worker* worker, Dict& dict) noexcept {
  if (dict.num_entries == 0) return ErrorCode::kSuccess;
  const Scratch scratch(*worker, dict.num_entries * 4);
  if (!scratch) return ErrorCode::kOutOfMemory;
  if (!dict.part->log) {
    const ErrorCode code = begin_log(worker, dict);
    if (code != ErrorCode::kSuccess) return code;
  }
  auto* hashes = scratch.as<std::uint32_t>();
  for (std::int64_t i = 0; is_dense(dict) && i < dict.num_entries; ++i)
    hashes[i] = entry_hash(dict, dict.entries + i * dict.entry_bytes);
  for (std::uint64_t slot = 0; !is_dense(dict) && slot <= dict.slot_mask; ++slot) {
    const std::uint64_t filled = dict.slots[slot];
    if (filled != 0)
      hashes[static_cast<std::uint32_t>(filled) - 1] = static_cast<std::uint32_t>(filled >> 32);
  }
  const auto bytes = static_cast<std::size_t>(dict.entry_bytes);
  const std::int64_t stride = record_bytes(dict.entry_bytes);
  const auto mask = static_cast<std::uintptr_t>(chunk_bytes(stride) - 1);
  DictLog& log = *dict.part->log;
  for (std::int64_t i = 0; i < dict.num_entries; ++i) {
    const std::uint64_t hash = hashes[i];
    std::byte*& next = log.next[hash >> (32 - kPartitionBits)];
    if ((reinterpret_cast<std::uintptr_t>(next) & mask) == 0 &&
        !weld_rt_dict_chunk(worker, &dict, hash >> (32 - kPartitionBits)))
      return ErrorCode::kOutOfMemory;
    const std::uint64_t header = hash << 32 | static_cast<std::uint64_t>(log.num_merges++);
    std::memcpy(next, &header, 8);
    std::memcpy(next + 8, dict.entries + static_cast<std::size_t>(i) * bytes, bytes);
    next += stride;
  }
  std::memset(dict.slots, 0, (dict.slot_mask + 1) * sizeof *dict.slots);
  dict.num_entries = 0;
  dict.num_merges = 0;
  return ErrorCode::kSuccess;
}

// Partitions fill their chunks about as fast as each other: the first ones begin in different places, so that
// their ends are not all in the same sets of the first cache.
std::int64_t skipped_records(std::int64_t partition, std::int64_t records) {
  return partition * records / kPartitions;
}

// Calls `f(first, count)` for the records of each chunk of a partition, in the order of their merges, until
// it fails.
template <class F>
ErrorCode for_each_chunk(const DictLog& log, std::int64_t partition, std::int64_t stride, F&& f) noexcept {
  const std::int64_t bytes = chunk_bytes(stride);
  const std::int64_t full = chunk_records(stride);
  std::int64_t most = full - skipped_records(partition, full);
  for (DictChunk* chunk = log.first[partition]; chunk; chunk = chunk->next) {
    std::byte* first = reinterpret_cast<std::byte*>(chunk) + bytes - most * stride;
    const std::int64_t count = chunk->next ? most : (log.next[partition] - first) / stride;
    most = full;
    const ErrorCode code = f(first, count);
    if (code != ErrorCode::kSuccess) return code;
  }
  return ErrorCode::kSuccess;
}

// Moves the table of `from` into `into`, which is empty; `from` is not to be used any more.
void move_table(Worker* worker, Dict& into, Dict& from) noexcept {
  weld_rt_replace(worker, into.entries, from.entries);
  if (from.slots) {
    weld_rt_replace(worker, reinterpret_cast<std::byte*>(into.slots),
                    reinterpret_cast<std::byte*>(from.slots));
  } else {
    weld_rt_free(worker, reinterpret_cast<std::byte*>(into.slots));
  }
  into.entries = from.entries;
  into.slots = from.slots;
  into.slot_mask = from.slot_mask;
  into.slot_shift = from.slot_shift;
  into.num_places = from.num_places;
  std::ranges::copy(from.fields, into.fields);
  into.num_entries = from.num_entries;
  into.entry_capacity = from.entry_capacity;
  from.entries = nullptr;
  from.slots = nullptr;
}

struct Partition {
  Scope scope;
  Dict table;             // its slots are given up when it is complete
  std::uint64_t* filled;  // slots that hold an entry, in their order
  DenseRange range;       // of its keys, where they all are from one that is small
  std::int64_t first_entry;
  std::uint32_t* places;  // of the entries in the result; null: they follow `first_entry`
  std::int64_t num_overflow;
};

// The way from the records of all parts to one dictionary.
class Combination {
 public:
  // Of what is to be added to `into`.
  Combination(Worker& worker, const Dict& into, const DictMergeOps& ops)
      : worker_(worker),
        entry_bytes_(into.entry_bytes),
        key_shape_(into.key_shape),
        ops_(ops),
        memory_(worker, kPartitions * static_cast<std::int64_t>(sizeof(Partition))) {
    if (!memory_) return;
    partitions_ = memory_.as<Partition>();
    std::memset(static_cast<void*>(partitions_), 0, kPartitions * sizeof(Partition));
    for (std::int64_t p = 0; p < kPartitions; ++p) begin_list(partitions_[p].scope.blocks);
  }
  ~Combination() {
    for (std::int64_t p = 0; partitions_ && p < kPartitions; ++p)
      state_of(worker_).heap.free_all(partitions_[p].scope.blocks);
  }
  Combination(const Combination&) = delete;
  Combination& operator=(const Combination&) = delete;

  // Takes what the parts hold; `is_last`: nothing follows.
  ErrorCode add(std::byte* parts, std::int64_t stride_bytes, std::int64_t num_parts, bool is_last) noexcept {
    const Scratch first_merges(worker_, num_parts * static_cast<std::int64_t>(sizeof(std::uint64_t)));
    if (!partitions_ || !first_merges) return ErrorCode::kOutOfMemory;
    parts_ = parts;
    stride_bytes_ = stride_bytes;
    num_parts_ = num_parts;
    first_merges_ = first_merges.as<std::uint64_t>();
    is_last_ = is_last;
    ErrorCode code = for_each_morsel(worker_, num_parts_, 1, spill_parts, this);
    if (code == ErrorCode::kSuccess) code = count_merges();
    if (code == ErrorCode::kSuccess) code = for_each_morsel(worker_, kPartitions, 1, aggregate, this);
    for (std::int64_t i = 0; i < num_parts_; ++i) free_log(&worker_, part(i));
    return code;
  }

  // Makes the total of all parts in `result`, which is clear; its blocks are in the worker's scope.
  ErrorCode finish(Dict& result) noexcept {
    result_ = &result;
    result.key_shape = key_shape_;
    ErrorCode code = allocate_result();
    if (code == ErrorCode::kSuccess && ops_.keeps_order) code = place_entries();
    if (code == ErrorCode::kSuccess && (has_slots_ || !ops_.keeps_order))
      code = for_each_morsel(worker_, kPartitions, 1, place_partitions, this);
    if (code == ErrorCode::kSuccess) place_overflow();
    if (code == ErrorCode::kSuccess && ops_.has_slots && !has_slots_)
      code = make_dense(&worker_, result, range_);
    return code;
  }

  std::int64_t num_entries() const {
    std::int64_t count = 0;
    for (std::int64_t p = 0; p < kPartitions; ++p) count += partitions_[p].table.num_entries;
    return count;
  }
  std::int64_t num_merges() const { return static_cast<std::int64_t>(num_merges_); }

 private:
  Dict& part(std::int64_t index) const { return **reinterpret_cast<Dict**>(parts_ + index * stride_bytes_); }

  static ErrorCode spill_parts(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& all = *static_cast<const Combination*>(self);
    for (std::int64_t i = begin; i < end; ++i) {
      const ErrorCode code = spill_table(worker, all.part(i));
      if (code != ErrorCode::kSuccess) return code;
    }
    return ErrorCode::kSuccess;
  }

  ErrorCode count_merges() {
    for (std::int64_t i = 0; i < num_parts_; ++i) {
      first_merges_[i] = num_merges_;
      if (const DictLog* log = part(i).part->log) num_merges_ += static_cast<std::uint64_t>(log->num_merges);
    }
    return num_merges_ > UINT32_MAX ? ErrorCode::kBudgetExceeded : ErrorCode::kSuccess;
  }

  static ErrorCode aggregate(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    auto& all = *static_cast<Combination*>(self);
    for (std::int64_t p = begin; p < end; ++p) {
      Scope* const outside = worker->scope;
      all.partitions_[p].scope.parent = outside;
      worker->scope = &all.partitions_[p].scope;
      const ErrorCode code = all.aggregate_partition(worker, p);
      worker->scope = outside;
      if (code != ErrorCode::kSuccess) return code;
    }
    return ErrorCode::kSuccess;
  }

  ErrorCode aggregate_partition(Worker* worker, std::int64_t p) {
    Dict& table = partitions_[p].table;
    const std::int64_t stride = record_bytes(entry_bytes_);
    const std::int64_t capacity = expected_entries_.load(std::memory_order_relaxed);
    if (table.slots && table.entry_capacity < capacity) {
      const ErrorCode code = resize_dict(worker, table, capacity);
      if (code != ErrorCode::kSuccess) return code;
    }
    if (!table.slots) {
      if (!make_dict(worker, table, entry_bytes_, capacity, 32 - kPartitionBits))
        return ErrorCode::kOutOfMemory;
      if (ops_.keeps_order) {
        table.sequence = reinterpret_cast<std::uint32_t*>(weld_rt_allocate(worker, capacity * 4));
        if (!table.sequence) return ErrorCode::kOutOfMemory;
      }
    }
    for (std::int64_t i = 0; i < num_parts_; ++i) {
      const DictLog* log = part(i).part->log;
      if (!log) continue;
      if (must_poll(*worker)) {
        if (const ErrorCode code = weld_rt_poll(worker); code != ErrorCode::kSuccess) return code;
      }
      const ErrorCode code = for_each_chunk(*log, p, stride, [&](std::byte* first, std::int64_t count) {
        ErrorCode merged = ErrorCode::kSuccess;
        for (std::int64_t begin = 0; begin < count && merged == ErrorCode::kSuccess; begin += kRecordsAtOnce)
          merged = ops_.aggregate(worker, &table, first + begin * stride,
                                  std::min<std::int64_t>(count - begin, kRecordsAtOnce), first_merges_[i]);
        return merged;
      });
      if (code != ErrorCode::kSuccess) return code;
    }
    note_entries(table.num_entries);
    if (!is_last_) return ErrorCode::kSuccess;
    if (ops_.has_slots && key_shape_ != 0 && table.num_entries > 0) {
      Dict keys = table;
      keys.key_shape = key_shape_;
      DenseRange& range = partitions_[p].range;
      if (!find_range(keys, table.num_entries * kPartitions, range)) range.num_places = 0;
    }
    return give_up_slots(worker, partitions_[p]);
  }

  // Partitions have about as many keys each, so that one tells of the next how large its table becomes.
  void note_entries(std::int64_t count) {
    const auto likely = static_cast<std::int64_t>(
        std::bit_ceil(static_cast<std::uint64_t>(std::max(count + count / 8, kFirstEntries))));
    std::int64_t expected = expected_entries_.load(std::memory_order_relaxed);
    while (expected < likely &&
           !expected_entries_.compare_exchange_weak(expected, likely, std::memory_order_relaxed)) {
    }
  }

  // The slots that are used stay, without those between.
  ErrorCode give_up_slots(Worker* worker, Partition& partition) const {
    Dict& table = partition.table;
    if (ops_.has_slots) {
      partition.filled = reinterpret_cast<std::uint64_t*>(
          weld_rt_allocate(worker, std::max<std::int64_t>(table.num_entries, 1) * 8));
      if (!partition.filled) return ErrorCode::kOutOfMemory;
      std::uint64_t* next = partition.filled;
      for (std::uint64_t slot = 0; slot <= table.slot_mask; ++slot) {
        if (table.slots[slot] != 0) *next++ = table.slots[slot];
      }
    }
    weld_rt_free(worker, reinterpret_cast<std::byte*>(table.slots));
    table.slots = nullptr;
    state_of(worker).heap.resize(Block::of(table.entries), table.num_entries * table.entry_bytes);
    if (!ops_.keeps_order) return ErrorCode::kSuccess;
    partition.places = reinterpret_cast<std::uint32_t*>(weld_rt_allocate(worker, table.num_entries * 4));
    return partition.places ? ErrorCode::kSuccess : ErrorCode::kOutOfMemory;
  }

  ErrorCode allocate_result() {
    for (std::int64_t p = 0; p < kPartitions; ++p) {
      partitions_[p].first_entry = num_entries_;
      num_entries_ += partitions_[p].table.num_entries;
    }
    if (num_entries_ > kMaxDictEntries) return ErrorCode::kBudgetExceeded;
    Dict& result = *result_;
    result.entry_bytes = entry_bytes_;
    result.seed = process_hash_seed();
    result.hash_bits = 32;
    result.num_entries = num_entries_;
    result.entry_capacity = std::max<std::int64_t>(num_entries_, 1);
    result.entries = weld_rt_allocate(&worker_, result.entry_capacity * result.entry_bytes);
    has_slots_ = ops_.has_slots && !has_small_range();
    if (!has_slots_) return result.entries ? ErrorCode::kSuccess : ErrorCode::kOutOfMemory;
    const std::int64_t num_slots = std::max(slots_for(num_entries_), kPartitions);
    std::byte* slots = result.entries ? weld_rt_allocate(&worker_, num_slots * 8) : nullptr;
    set_slots(result, reinterpret_cast<std::uint64_t*>(slots), num_slots);
    return slots ? ErrorCode::kSuccess : ErrorCode::kOutOfMemory;
  }

  // Whether the result may be dense: `range_` has all keys then.
  bool has_small_range() {
    if (result_->key_shape == 0 || num_entries_ == 0) return false;
    for (std::int64_t p = 0; p < kPartitions; ++p) {
      const Partition& partition = partitions_[p];
      if (partition.table.num_entries == 0) continue;
      if (partition.range.num_places == 0 ||
          !unite_ranges(result_->key_shape, num_entries_, partition.range, range_)) {
        return false;
      }
    }
    return true;
  }

  // --- Entries in the order of their first merge. The numbers of merges are cut into chunks; where the
  // entries of a chunk begin is the number of entries in those before.

  ErrorCode place_entries() {
    constexpr std::uint64_t kChunkEntries = 32 * 1024;
    constexpr std::uint64_t kMaxChunk = std::uint64_t{1} << 24;
    const std::uint64_t entries = std::max<std::uint64_t>(static_cast<std::uint64_t>(num_entries_), 1);
    chunk_ =
        std::min(std::bit_ceil(kChunkEntries * std::max<std::uint64_t>(num_merges_ / entries, 1)), kMaxChunk);
    const auto num_chunks = static_cast<std::int64_t>((num_merges_ + chunk_ - 1) / chunk_);
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
  std::int64_t first_in(const Dict& table, std::uint64_t sequence) const {
    return std::lower_bound(table.sequence, table.sequence + table.num_entries, sequence) - table.sequence;
  }

  static ErrorCode count_chunk(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& all = *static_cast<const Combination*>(self);
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

  static ErrorCode place_chunk(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& all = *static_cast<const Combination*>(self);
    for (std::int64_t chunk = begin; chunk < end; ++chunk) {
      const ErrorCode code = all.place_entries_of(*worker, chunk);
      if (code != ErrorCode::kSuccess) return code;
    }
    return ErrorCode::kSuccess;
  }

  struct Range {
    std::int64_t begin;
    std::int64_t end;
  };

  ErrorCode place_entries_of(Worker& worker, std::int64_t chunk) const {
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

  // --- The rest of a partition: its entries where they keep no order, its slots, which are one stretch of
  // the result's, in the order of its own.

  static ErrorCode place_partitions(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& all = *static_cast<const Combination*>(self);
    for (std::int64_t p = begin; p < end; ++p) {
      Partition& partition = all.partitions_[p];
      if (!all.ops_.keeps_order) {
        const Dict& table = partition.table;
        const auto bytes = static_cast<std::size_t>(table.entry_bytes);
        std::memcpy(all.result_->entries + static_cast<std::size_t>(partition.first_entry) * bytes,
                    table.entries, static_cast<std::size_t>(table.num_entries) * bytes);
      }
      if (all.has_slots_) all.place_slots(p);
      if (partition.num_overflow == 0) state_of(worker).heap.free_all(partition.scope.blocks);
    }
    return ErrorCode::kSuccess;
  }

  void place_slots(std::int64_t p) const {
    Partition& partition = partitions_[p];
    const Dict& result = *result_;
    const std::uint64_t stretch = (result.slot_mask + 1) / kPartitions;
    const std::uint64_t first = static_cast<std::uint64_t>(p) * stretch;
    std::memset(result.slots + first, 0, stretch * 8);
    for (std::int64_t i = 0; i < partition.table.num_entries; ++i) {
      const std::uint64_t filled = partition.filled[i];
      const std::uint64_t entry = (filled & 0xffffffff) - 1;
      const std::uint64_t index = partition.places
                                      ? partition.places[entry]
                                      : static_cast<std::uint64_t>(partition.first_entry) + entry;
      const std::uint64_t moved = (filled >> 32 << 32) | (index + 1);
      std::uint64_t slot = first_slot(result, filled >> 32);
      while (slot < first + stretch && result.slots[slot] != 0) ++slot;
      if (slot < first + stretch) {
        result.slots[slot] = moved;
      } else {
        partition.filled[partition.num_overflow++] = moved;  // where those were that have their place
      }
    }
  }

  void place_overflow() {
    const Dict& result = *result_;
    for (std::int64_t p = 0; p < kPartitions; ++p) {
      for (std::int64_t i = 0; i < partitions_[p].num_overflow; ++i) {
        const std::uint64_t moved = partitions_[p].filled[i];
        std::uint64_t slot = first_slot(result, moved >> 32);
        while (result.slots[slot] != 0) slot = (slot + 1) & result.slot_mask;
        result.slots[slot] = moved;
      }
    }
  }

  static constexpr std::int64_t kFirstEntries = 64;

  Worker& worker_;
  const std::int64_t entry_bytes_;
  const decltype(Dict::key_shape) key_shape_;
  const DictMergeOps& ops_;
  Scratch memory_;
  Partition* partitions_ = nullptr;
  std::byte* parts_ = nullptr;  // that are added
  std::int64_t stride_bytes_ = 0;
  std::int64_t num_parts_ = 0;
  std::uint64_t* first_merges_ = nullptr;  // of each: the number of its first merge
  bool is_last_ = true;
  std::atomic<std::int64_t> expected_entries_{kFirstEntries};
  Dict* result_ = nullptr;
  std::uint64_t num_merges_ = 0;
  std::int64_t num_entries_ = 0;
  bool has_slots_ = false;               // the result is hashed, and looked at
  DenseRange range_{};                   // else, where it is looked at
  std::uint64_t chunk_ = 0;              // numbers of merges; a power of two, at least 64
  std::int64_t* first_entry_ = nullptr;  // of each chunk
};

// What a dense table of so many places takes when all of them have entries.
std::int64_t dense_bytes(const Dict& dict, std::uint64_t num_places) {
  return static_cast<std::int64_t>(num_places) * (dict.entry_bytes + 4);
}

DictPartKind chosen_kind(const Worker& worker, DictPartKind kind) noexcept {
  if (kind != DictPartKind::kPreaggregates) return kind;
  switch (worker.run->settings().dictmerger) {
    case DictForced::kNone:
      return kind;
    case DictForced::kPartitioned:
      return DictPartKind::kLogs;
    default:
      return DictPartKind::kTable;
  }
}

// Adds a total, which was apart from it, to what a dictionary holds: its table, where that is nothing.
ErrorCode take_total(Worker* worker, Dict& into, Dict& total, const DictMergeOps& ops) noexcept {
  if (into.num_entries > 0 || into.part) return ops.combine(worker, &into, &total);
  move_table(worker, into, total);
  return ErrorCode::kSuccess;
}

ErrorCode add_total(Worker* worker, Dict& into, Combination& total, const DictMergeOps& ops) noexcept {
  Scope scope;
  weld_rt_scope_begin(worker, &scope);
  Dict made{};
  ErrorCode code = total.finish(made);
  if (code == ErrorCode::kSuccess) code = take_total(worker, into, made, ops);
  weld_rt_scope_end(worker, &scope);
  return code;
}

}  // namespace

// The total of one dictmerger of the loop.
struct DictSlices::Total {
  Total(Worker& worker, Dict& into_, const DictMergeOps& ops_)
      : combination(worker, into_, ops_), into(into_), ops(ops_) {}

  Combination combination;
  Dict& into;
  const DictMergeOps& ops;
  Total* next = nullptr;
};

DictSlices::~DictSlices() {
  while (totals_) {
    Total* const next = totals_->next;
    std::destroy_at(totals_);
    state_of(worker_).heap.free(Block::of(reinterpret_cast<std::byte*>(totals_)));
    totals_ = next;
  }
}

ErrorCode DictSlices::add(Dict& into, std::byte* parts, std::int64_t stride_bytes, std::int64_t count,
                          const DictMergeOps& ops) noexcept {
  Total* total = totals_;
  while (total && &total->into != &into) total = total->next;
  if (!total) {
    Block* block = state_of(worker_).heap.allocate(sizeof(Total));
    if (!block) return ErrorCode::kOutOfMemory;
    total = new (block->payload()) Total(worker_, into, ops);
    total->next = totals_;
    totals_ = total;
  }
  return total->combination.add(parts, stride_bytes, count, is_last_);
}

std::int64_t DictSlices::next_iterations(std::int64_t rest, std::int64_t block_iterations) noexcept {
  const std::int64_t threads = worker_.may_fork ? state_of(worker_).run->settings().threads : 1;
  std::int64_t iterations = threads * kSliceIterations;
  for (const Total* total = totals_; total; total = total->next) {
    const std::int64_t keys = total->combination.num_entries();
    iterations = std::max(iterations, 2 * keys);
    if (!expects_at_most(kManyKeys, keys, total->combination.num_merges()))
      iterations = std::max(iterations, kLongSliceIterations);
  }
  // Whole blocks; in more than there are, the division has the last word.
  is_last_ = (iterations - 1) / block_iterations >= (rest - 1) / block_iterations;
  return is_last_ ? rest : ((iterations - 1) / block_iterations + 1) * block_iterations;
}

ErrorCode DictSlices::finish() noexcept {
  ErrorCode code = ErrorCode::kSuccess;
  for (Total* total = totals_; total && code == ErrorCode::kSuccess; total = total->next)
    code = add_total(&worker_, total->into, total->combination, total->ops);
  return code;
}

bool outgrows(const Dict& dict) noexcept {
  return dict.part->kind == DictPartKind::kPreaggregates &&
         dict.entry_capacity >= table_entries(kSmallTableBytes, dict.entry_bytes);
}

ErrorCode shed(Worker* worker, Dict& dict) noexcept {
  // One that is dense, or will be, is kept as long as the caches do.
  DenseRange range{.fields = {}, .num_places = dict.num_places};
  if (is_dense(dict) || find_range(dict, dict.entry_capacity * 2, range)) {
    if (dense_bytes(dict, range.num_places) <= kLargeTableBytes)
      return resize_dict(worker, dict, dict.entry_capacity * 2);
    dict.key_shape = 0;
  }
  if (is_dense(dict)) {
    if (const ErrorCode code = make_hashed(worker, dict); code != ErrorCode::kSuccess) return code;
  }
  const std::int64_t largest = table_entries(kLargeTableBytes, dict.entry_bytes);
  const bool is_largest = dict.entry_capacity >= largest;
  if (!is_largest && expects_at_most(largest, dict.num_entries, dict.num_merges))
    return resize_dict(worker, dict, dict.entry_capacity * 2);
  // Not worth a table of its own: fewer than half of the merges met a key that was there.
  const bool reduces = is_largest && dict.num_merges >= 2 * dict.num_entries;
  const ErrorCode code = spill_table(worker, dict);
  if (code == ErrorCode::kSuccess && !reduces) dict.log = dict.part->log;
  return code;
}

extern "C" {

Dict* weld_rt_dict_part(Worker* worker, std::int64_t entry_bytes, std::uint32_t kind) noexcept {
  struct PartialDict {
    Dict dict;
    DictPart part;
  };
  constexpr std::int64_t kFirstEntries = 8;
  Scope scope;
  weld_rt_scope_begin(worker, &scope);
  auto* made = reinterpret_cast<PartialDict*>(weld_rt_allocate_zeroed(worker, sizeof(PartialDict)));
  bool is_made = made && make_dict(worker, made->dict, entry_bytes, kFirstEntries);
  if (is_made) {
    made->dict.part = &made->part;
    made->part.kind = chosen_kind(*worker, static_cast<DictPartKind>(kind));
    if (made->part.kind == DictPartKind::kLogs) {
      is_made = begin_log(worker, made->dict) == ErrorCode::kSuccess;
      made->dict.log = made->part.log;
    }
  }
  if (!is_made) {
    weld_rt_scope_end(worker, &scope);
    return nullptr;
  }
  weld_rt_scope_keep(worker, &scope);
  return &made->dict;
}

std::byte* weld_rt_dict_chunk(Worker* worker, Dict* dict, std::uint64_t partition) noexcept {
  DictLog& log = *dict->part->log;
  const std::int64_t stride = record_bytes(dict->entry_bytes);
  const std::int64_t bytes = chunk_bytes(stride);
  if (log.fresh_end - log.fresh < bytes && !add_chunks(worker, *dict, bytes)) return nullptr;
  auto* chunk = reinterpret_cast<DictChunk*>(log.fresh);
  log.fresh += bytes;
  chunk->next = nullptr;
  std::byte*& next = log.next[partition];
  std::int64_t records = chunk_records(stride);
  if (next) {
    reinterpret_cast<DictChunk*>(next - bytes)->next = chunk;
  } else {
    log.first[partition] = chunk;
    records -= skipped_records(static_cast<std::int64_t>(partition), records);
  }
  next = reinterpret_cast<std::byte*>(chunk) + bytes - records * stride;
  return next;
}

ErrorCode weld_rt_dict_spill(Worker* worker, Dict* dict) noexcept {
  return spill_table(worker, *dict);
}

std::uint32_t weld_rt_dict_logs_rest(Worker* worker, const Dict* dict, std::int64_t num_merges) noexcept {
  const DictForced forced = state_of(worker).run->settings().dictmerger;
  if (forced != DictForced::kNone) return forced == DictForced::kPartitioned ? 1 : 0;
  // One thread adds to a dense table that stays in its cache faster than two write logs.
  const std::int64_t most_bytes = worker->may_fork ? kSmallTableBytes : kLargeTableBytes;
  if (is_dense(*dict) && dense_bytes(*dict, dict->num_places) <= most_bytes) return 0;
  return worker->may_fork || !expects_at_most(kCachedKeys, dict->num_entries, num_merges) ? 1 : 0;
}

ErrorCode weld_rt_dict_combine(Worker* worker, Dict* into, std::byte* parts, std::int64_t stride_bytes,
                               std::int64_t count, const DictMergeOps* ops) noexcept {
  if (DictSlices* slices = state_of(worker).dict_slices)
    return slices->add(*into, parts, stride_bytes, count, *ops);
  const auto part = [&](std::int64_t index) {
    return *reinterpret_cast<Dict**>(parts + index * stride_bytes);
  };
  std::int64_t num_entries = 0;
  bool has_records = false;
  for (std::int64_t i = 0; i < count; ++i) {
    num_entries += part(i)->num_entries;
    has_records = has_records || part(i)->part->log;
  }
  const bool is_fresh = into->num_entries == 0 && !into->part;
  const bool is_large = worker->may_fork && count > 1 && num_entries > kSerialEntries;
  if (!has_records && !is_large) {
    if (count == 1 && is_fresh) {
      move_table(worker, *into, *part(0));
      return ErrorCode::kSuccess;
    }
    if (is_fresh || count == 1 || !ops->is_ordered) {
      for (std::int64_t i = 0; i < count; ++i) {
        const ErrorCode code = ops->combine(worker, into, part(i));
        if (code != ErrorCode::kSuccess) return code;
      }
      return ErrorCode::kSuccess;
    }
  }
  Dict& held = *into;
  if (DenseRange range; !has_records && combine_densely(parts, stride_bytes, count, range)) {
    Scope scope;
    weld_rt_scope_begin(worker, &scope);
    ErrorCode code = combine_dense(worker, parts, stride_bytes, count, range, *ops);
    if (code == ErrorCode::kSuccess) code = take_total(worker, held, *part(0), *ops);
    weld_rt_scope_end(worker, &scope);
    return code;
  }
  Combination total(*worker, held, *ops);
  const ErrorCode code = total.add(parts, stride_bytes, count, true);
  return code == ErrorCode::kSuccess ? add_total(worker, held, total, *ops) : code;
}

}  // extern "C"
}  // namespace weld::runtime
