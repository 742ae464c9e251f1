#include "runtime/dict_parts.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "runtime/calls.h"
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
constexpr std::int64_t kLogRecords = 32 * 1024;
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
  std::byte* log = allocate_beside(worker, dict, kLogRecords * (dict.entry_bytes + 4));
  if (!log) return ErrorCode::kOutOfMemory;
  dict.log_entries = log;
  dict.log_hashes = reinterpret_cast<std::uint32_t*>(log + kLogRecords * dict.entry_bytes);
  dict.log_capacity = kLogRecords;
  dict.log_size = 0;
  return ErrorCode::kSuccess;
}

// kBytes is the entry's size where not 0.
template <std::int64_t kBytes>
void partition(DictRun& run, const std::byte* entries, const std::uint32_t* hashes,
               std::int64_t entry_bytes) {
  const auto size = static_cast<std::size_t>(kBytes ? kBytes : entry_bytes);
  const std::int64_t stride = record_bytes(kBytes ? kBytes : entry_bytes);
  std::byte* next[kPartitions];
  for (std::int64_t p = 0; p < kPartitions; ++p) next[p] = run.records() + run.begin[p] * stride;
  for (std::int64_t i = 0; i < run.num_records; ++i) {
    const std::uint64_t hash = hashes[i];
    std::byte*& place = next[hash >> (32 - kPartitionBits)];
    const std::uint64_t header = hash << 32 | static_cast<std::uint64_t>(i);
    std::memcpy(place, &header, 8);
    std::memcpy(place + 8, entries + static_cast<std::size_t>(i) * size, size);
    place += stride;
  }
}

// Makes a run of entries that stand in the order of their merges.
ErrorCode add_run(Worker* worker, Dict& dict, const std::byte* entries, const std::uint32_t* hashes,
                  std::int64_t count) noexcept {
  std::byte* block = allocate_beside(
      worker, dict, static_cast<std::int64_t>(sizeof(DictRun)) + count * record_bytes(dict.entry_bytes));
  if (!block) return ErrorCode::kOutOfMemory;
  auto& run = *reinterpret_cast<DictRun*>(block);
  std::memset(&run, 0, sizeof run);
  run.num_records = count;
  for (std::int64_t i = 0; i < count; ++i) ++run.begin[(hashes[i] >> (32 - kPartitionBits)) + 1];
  for (std::int64_t p = 0; p < kPartitions; ++p) run.begin[p + 1] += run.begin[p];
  switch (dict.entry_bytes) {
    case 8:
      partition<8>(run, entries, hashes, 8);
      break;
    case 16:
      partition<16>(run, entries, hashes, 16);
      break;
    case 24:
      partition<24>(run, entries, hashes, 24);
      break;
    default:
      partition<0>(run, entries, hashes, dict.entry_bytes);
  }
  DictPart& part = *dict.part;
  (part.last_run ? part.last_run->next : part.first_run) = &run;
  part.last_run = &run;
  return ErrorCode::kSuccess;
}

ErrorCode spill_table(Worker* worker, Dict& dict) noexcept {
  if (dict.num_entries == 0) return ErrorCode::kSuccess;
  const Scratch scratch(*worker, dict.num_entries * 4);
  if (!scratch) return ErrorCode::kOutOfMemory;
  auto* hashes = scratch.as<std::uint32_t>();
  for (std::uint64_t slot = 0; slot <= dict.slot_mask; ++slot) {
    const std::uint64_t filled = dict.slots[slot];
    if (filled != 0)
      hashes[static_cast<std::uint32_t>(filled) - 1] = static_cast<std::uint32_t>(filled >> 32);
  }
  const ErrorCode code = add_run(worker, dict, dict.entries, hashes, dict.num_entries);
  if (code != ErrorCode::kSuccess) return code;
  std::memset(dict.slots, 0, (dict.slot_mask + 1) * sizeof *dict.slots);
  dict.num_entries = 0;
  dict.num_merges = 0;
  return ErrorCode::kSuccess;
}

// What is in the table was merged before what is in the log.
ErrorCode spill(Worker* worker, Dict& dict) noexcept {
  const ErrorCode code = spill_table(worker, dict);
  if (code != ErrorCode::kSuccess || dict.log_size == 0) return code;
  const std::int64_t count = dict.log_size;
  dict.log_size = 0;
  return add_run(worker, dict, dict.log_entries, dict.log_hashes, count);
}

// Moves the table of `from` into `into`, which is empty; `from` is not to be used any more.
void move_table(Worker* worker, Dict& into, Dict& from) noexcept {
  weld_rt_replace(worker, into.entries, from.entries);
  weld_rt_replace(worker, reinterpret_cast<std::byte*>(into.slots), reinterpret_cast<std::byte*>(from.slots));
  into.entries = from.entries;
  into.slots = from.slots;
  into.slot_mask = from.slot_mask;
  into.slot_shift = from.slot_shift;
  into.num_entries = from.num_entries;
  into.entry_capacity = from.entry_capacity;
  from.entries = nullptr;
  from.slots = nullptr;
}

struct Partition {
  Scope scope;
  Dict table;
  std::uint32_t* places;    // of the entries, in the result
  std::uint64_t* overflow;  // slots that found no room in their part of the result's
  std::int64_t num_overflow;
};

// The way from the runs of all parts to one dictionary.
class Combination {
 public:
  Combination(Worker& worker, std::byte* parts, std::int64_t stride_bytes, std::int64_t num_parts,
              const DictMergeOps& ops)
      : worker_(worker),
        parts_(parts),
        stride_bytes_(stride_bytes),
        num_parts_(num_parts),
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

  // Makes the total of all parts in `result`, which is clear; its blocks are in the worker's scope.
  ErrorCode run(Dict& result) noexcept {
    if (!partitions_) return ErrorCode::kOutOfMemory;
    result_ = &result;
    ErrorCode code = for_each_morsel(worker_, num_parts_, 1, spill_parts, this);
    if (code == ErrorCode::kSuccess) code = count_records();
    if (code == ErrorCode::kSuccess) code = for_each_morsel(worker_, kPartitions, 1, aggregate, this);
    if (code != ErrorCode::kSuccess) return code;
    free_runs();
    code = allocate_result();
    if (code == ErrorCode::kSuccess) code = place_entries();
    if (code == ErrorCode::kSuccess) code = for_each_morsel(worker_, kPartitions, 1, place_slots, this);
    if (code == ErrorCode::kSuccess) place_overflow();
    return code;
  }

 private:
  Dict& part(std::int64_t index) const { return **reinterpret_cast<Dict**>(parts_ + index * stride_bytes_); }
  template <class F>
  void for_each_run(F&& f) const {
    for (std::int64_t i = 0; i < num_parts_; ++i) {
      for (DictRun* run = part(i).part->first_run; run; run = run->next) f(part(i), *run);
    }
  }

  static ErrorCode spill_parts(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& all = *static_cast<const Combination*>(self);
    for (std::int64_t i = begin; i < end; ++i) {
      const ErrorCode code = spill(worker, all.part(i));
      if (code != ErrorCode::kSuccess) return code;
    }
    return ErrorCode::kSuccess;
  }

  ErrorCode count_records() {
    for_each_run([&](Dict&, DictRun& run) {
      run.first_sequence = num_records_;
      num_records_ += static_cast<std::uint64_t>(run.num_records);
    });
    return num_records_ > UINT32_MAX ? ErrorCode::kBudgetExceeded : ErrorCode::kSuccess;
  }

  static ErrorCode aggregate(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& all = *static_cast<const Combination*>(self);
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

  ErrorCode aggregate_partition(Worker* worker, std::int64_t p) const {
    constexpr std::int64_t kFirstEntries = 1024;
    Dict& table = partitions_[p].table;
    const std::int64_t entry_bytes = part(0).entry_bytes;
    const std::int64_t stride = record_bytes(entry_bytes);
    if (!make_dict(worker, table, entry_bytes, kFirstEntries, 32 - kPartitionBits))
      return ErrorCode::kOutOfMemory;
    table.sequence = reinterpret_cast<std::uint32_t*>(weld_rt_allocate(worker, kFirstEntries * 4));
    if (!table.sequence) return ErrorCode::kOutOfMemory;
    for (std::int64_t i = 0; i < num_parts_; ++i) {
      for (DictRun* run = part(i).part->first_run; run; run = run->next) {
        if (must_poll(*worker)) {
          if (const ErrorCode code = weld_rt_poll(worker); code != ErrorCode::kSuccess) return code;
        }
        for (std::int64_t begin = run->begin[p]; begin < run->begin[p + 1]; begin += kRecordsAtOnce) {
          const std::int64_t count = std::min<std::int64_t>(run->begin[p + 1] - begin, kRecordsAtOnce);
          const ErrorCode code =
              ops_.aggregate(worker, &table, run->records() + begin * stride, count, run->first_sequence);
          if (code != ErrorCode::kSuccess) return code;
        }
      }
    }
    partitions_[p].places = reinterpret_cast<std::uint32_t*>(weld_rt_allocate(worker, table.num_entries * 4));
    return partitions_[p].places ? ErrorCode::kSuccess : ErrorCode::kOutOfMemory;
  }

  void free_runs() {
    for (std::int64_t i = 0; i < num_parts_; ++i) {
      DictPart& each = *part(i).part;
      for (DictRun* run = each.first_run; run;) {
        DictRun* const next = run->next;
        weld_rt_free(&worker_, reinterpret_cast<std::byte*>(run));
        run = next;
      }
      each.first_run = each.last_run = nullptr;
    }
  }

  ErrorCode allocate_result() {
    for (std::int64_t p = 0; p < kPartitions; ++p) num_entries_ += partitions_[p].table.num_entries;
    if (num_entries_ > kMaxDictEntries) return ErrorCode::kBudgetExceeded;
    Dict& result = *result_;
    result.entry_bytes = part(0).entry_bytes;
    result.seed = process_hash_seed();
    result.hash_bits = 32;
    result.num_entries = num_entries_;
    result.entry_capacity = std::max<std::int64_t>(num_entries_, 1);
    const std::int64_t num_slots = std::max(slots_for(num_entries_), kPartitions);
    result.entries = weld_rt_allocate(&worker_, result.entry_capacity * result.entry_bytes);
    std::byte* slots = result.entries ? weld_rt_allocate(&worker_, num_slots * 8) : nullptr;
    set_slots(result, reinterpret_cast<std::uint64_t*>(slots), num_slots);
    return slots ? ErrorCode::kSuccess : ErrorCode::kOutOfMemory;
  }

  // --- Entries in the order of their first merge. The numbers of merges are cut into chunks; where the
  // entries of a chunk begin is the number of entries in those before.

  ErrorCode place_entries() {
    constexpr std::uint64_t kChunkEntries = 32 * 1024;
    constexpr std::uint64_t kMaxChunk = std::uint64_t{1} << 24;
    const std::uint64_t entries = std::max<std::uint64_t>(static_cast<std::uint64_t>(num_entries_), 1);
    chunk_ = std::min(std::bit_ceil(kChunkEntries * std::max<std::uint64_t>(num_records_ / entries, 1)),
                      kMaxChunk);
    const auto num_chunks = static_cast<std::int64_t>((num_records_ + chunk_ - 1) / chunk_);
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

  // --- Slots. Those of a partition are one stretch of the result's, about in the order of its own.

  static ErrorCode place_slots(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& all = *static_cast<const Combination*>(self);
    for (std::int64_t p = begin; p < end; ++p) {
      Partition& partition = all.partitions_[p];
      const Dict& table = partition.table;
      const Dict& result = *all.result_;
      const std::uint64_t stretch = (result.slot_mask + 1) / kPartitions;
      const std::uint64_t first = static_cast<std::uint64_t>(p) * stretch;
      std::memset(result.slots + first, 0, stretch * 8);
      // Entries leave their place in the table's slots one by one: what overflows fits there.
      partition.overflow = table.slots;
      for (std::uint64_t i = 0; i <= table.slot_mask; ++i) {
        const std::uint64_t filled = table.slots[i];
        if (filled == 0) continue;
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

  void place_overflow() {
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

  Worker& worker_;
  std::byte* parts_;
  std::int64_t stride_bytes_;
  std::int64_t num_parts_;
  const DictMergeOps& ops_;
  Scratch memory_;
  Partition* partitions_ = nullptr;
  Dict* result_ = nullptr;
  std::uint64_t num_records_ = 0;
  std::int64_t num_entries_ = 0;
  std::uint64_t chunk_ = 0;              // numbers of merges; a power of two, at least 64
  std::int64_t* first_entry_ = nullptr;  // of each chunk
};

}  // namespace

bool outgrows(const Dict& dict) noexcept {
  return dict.part->kind == DictPartKind::kPreaggregates &&
         dict.entry_capacity >= table_entries(kSmallTableBytes, dict.entry_bytes);
}

ErrorCode shed(Worker* worker, Dict& dict) noexcept {
  const std::int64_t largest = table_entries(kLargeTableBytes, dict.entry_bytes);
  const bool is_largest = dict.entry_capacity >= largest;
  if (!is_largest && expects_at_most(largest, dict.num_entries, dict.num_merges))
    return resize_dict(worker, dict, dict.entry_capacity * 2);
  // Not worth a table of its own: fewer than half of the merges met a key that was there.
  const bool reduces = is_largest && dict.num_merges >= 2 * dict.num_entries;
  const ErrorCode code = spill_table(worker, dict);
  return code == ErrorCode::kSuccess && !reduces && !dict.log_entries ? begin_log(worker, dict) : code;
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
    made->part.kind = static_cast<DictPartKind>(kind);
    if (made->part.kind == DictPartKind::kLogs)
      is_made = begin_log(worker, made->dict) == ErrorCode::kSuccess;
  }
  if (!is_made) {
    weld_rt_scope_end(worker, &scope);
    return nullptr;
  }
  weld_rt_scope_keep(worker, &scope);
  return &made->dict;
}

ErrorCode weld_rt_dict_spill(Worker* worker, Dict* dict) noexcept {
  return spill(worker, *dict);
}

ErrorCode weld_rt_dict_combine(Worker* worker, Dict* into, std::byte* parts, std::int64_t stride_bytes,
                               std::int64_t count, const DictMergeOps* ops) noexcept {
  const auto part = [&](std::int64_t index) {
    return *reinterpret_cast<Dict**>(parts + index * stride_bytes);
  };
  std::int64_t num_entries = 0;
  bool has_records = false;
  for (std::int64_t i = 0; i < count; ++i) {
    num_entries += part(i)->num_entries;
    has_records = has_records || part(i)->log_entries || part(i)->part->first_run;
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
  // The total apart, which is then added to what was held.
  Scope scope;
  weld_rt_scope_begin(worker, &scope);
  Dict total{};
  ErrorCode code = Combination(*worker, parts, stride_bytes, count, *ops).run(total);
  if (code == ErrorCode::kSuccess) {
    if (is_fresh) {
      move_table(worker, *into, total);
    } else {
      code = ops->combine(worker, into, &total);
    }
  }
  weld_rt_scope_end(worker, &scope);
  return code;
}

}  // extern "C"
}  // namespace weld::runtime
