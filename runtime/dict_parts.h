#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "runtime/abi.h"

// Parts of a dictionary: what the ranges of a loop fill, in parallel, before they are combined.
//
// A part begins as a table. One that may leave the order of merges open (integers, min, max) is kept small
// enough for the caches while many merges meet the same key; when they do not, its entries are spilled as
// records, and from there on merges are only written down. Records go straight to the partition of their
// hash's upper bits: each has a list of chunks, and merges write to the end of 256 of them, which the cache
// of a core holds. Combining gives each partition a table, which takes the records of all parts, one part
// after the other: all partitions at once, without locks, and each key's values in the order of the loop. So
// sums that depend on the order are those of one thread. The tables of partitions become one dictionary
// without a look at their keys: entries are copied, in the order of their first merge where anybody sees it,
// and the slots of a partition are a stretch of the whole's.

namespace weld::runtime {

inline constexpr std::uint64_t kPartitionBits = 8;
inline constexpr std::int64_t kPartitions = 1 << kPartitionBits;
inline constexpr std::int64_t kRecordsAtOnce = 128;

enum class DictPartKind : std::uint32_t {
  kTable,          ///< keeps all keys: its totals are the range's
  kPreaggregates,  ///< a small table as long as it pays, then a log
  kLogs,           ///< a log from the beginning
};

/// A record: `hash32 << 32 | number of the merge in its part`, then the entry.
constexpr std::int64_t record_bytes(std::int64_t entry_bytes) {
  return 8 + (entry_bytes + 7) / 8 * 8;
}

/// Records fill a chunk up to its end, after the link and what is left of the division.
struct DictChunk {
  DictChunk* next;
};

/// A power of two, and the alignment of chunks: where a record ends at a multiple of it, the chunk is full.
constexpr std::int64_t chunk_bytes(std::int64_t record_bytes) {
  constexpr std::int64_t kMinBytes = 4096;
  constexpr std::int64_t kMinRecords = 4;
  const std::int64_t bytes = kMinRecords * record_bytes + static_cast<std::int64_t>(sizeof(DictChunk));
  return std::max(kMinBytes, static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(bytes))));
}
constexpr std::int64_t chunk_records(std::int64_t record_bytes) {
  return (chunk_bytes(record_bytes) - static_cast<std::int64_t>(sizeof(DictChunk))) / record_bytes;
}

/// The merges that a part wrote down. Generated code adds records, and asks for a chunk where `next` is a
/// multiple of its size.
struct DictLog {
  std::byte* next[kPartitions];  ///< where each partition's next record goes; null: it has none
  std::int64_t num_merges;       ///< numbers given to records
  DictChunk* first[kPartitions];
  std::byte* fresh;  ///< what is left of the last block of chunks
  std::byte* fresh_end;
  std::byte* last_block;
};

struct DictPart {
  DictPartKind kind;
  DictLog* log;  ///< null: nothing was written down
};

/// The totals of dictmergers whose loop runs slice by slice: between slices they are tables of partitions. So
/// what is written down stays in the caches, and takes no memory beside a result of fewer keys.
class DictSlices {
 public:
  explicit DictSlices(Worker& worker) : worker_(worker) {}
  ~DictSlices();
  DictSlices(const DictSlices&) = delete;
  DictSlices& operator=(const DictSlices&) = delete;

  /// How many of the `rest` of the loop's iterations the next slice has: whole blocks, or all.
  std::int64_t next_iterations(std::int64_t rest, std::int64_t block_iterations) noexcept;
  /// weld_rt_dict_combine of a slice.
  ErrorCode add(Dict& into, std::byte* parts, std::int64_t stride_bytes, std::int64_t count,
                const DictMergeOps& ops) noexcept;
  /// After the last one: adds the totals to what the builders hold.
  ErrorCode finish() noexcept;

 private:
  struct Total;

  Worker& worker_;
  Total* totals_ = nullptr;
  bool is_last_ = false;
};

/// Whether a full table of a part should be emptied rather than grow.
bool outgrows(const Dict& dict) noexcept;
/// Empties it, and goes on with a log if that is better.
ErrorCode shed(Worker* worker, Dict& dict) noexcept;

}  // namespace weld::runtime
