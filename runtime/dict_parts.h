#pragma once

#include <cstdint>

#include "runtime/abi.h"

// Parts of a dictionary: what the ranges of a loop fill, in parallel, before they are combined.
//
// A part begins as a table. One that may leave the order of merges open (integers, min, max) is kept small
// enough for the caches while many merges meet the same key; when they do not, its entries are spilled as
// records, and from there on merges are only written down (Dict::log_entries), hashes beside them. Full logs
// are spilled too: as a run of records, partitioned by the upper bits of the hash, in order inside of each
// partition. Combining gives each partition a table, which takes its records run by run: all partitions at
// once, without locks, and each key's values in the order of the loop. So sums that depend on the order are
// those of one thread. The entries are put in the order of their first merge at the end.

namespace weld::runtime {

inline constexpr std::uint64_t kPartitionBits = 8;
inline constexpr std::int64_t kPartitions = 1 << kPartitionBits;
inline constexpr std::int64_t kRecordsAtOnce = 128;

enum class DictPartKind : std::uint32_t {
  kTable,          ///< keeps all keys: its totals are the range's
  kPreaggregates,  ///< a small table as long as it pays, then a log
  kLogs,           ///< a log from the beginning
};

/// A record: `hash32 << 32 | number in the run`, then the entry.
inline std::int64_t record_bytes(std::int64_t entry_bytes) {
  return 8 + (entry_bytes + 7) / 8 * 8;
}

/// The records of a run follow in the same block.
struct DictRun {
  DictRun* next;
  std::uint64_t first_sequence;
  std::int64_t num_records;
  std::uint32_t begin[kPartitions + 1];  ///< of each partition's records

  std::byte* records() { return reinterpret_cast<std::byte*>(this + 1); }
};
static_assert(sizeof(DictRun) % 8 == 0);

struct DictPart {
  DictPartKind kind;
  DictRun* first_run;
  DictRun* last_run;
};

/// Whether a full table of a part should be emptied rather than grow.
bool outgrows(const Dict& dict) noexcept;
/// Empties it, and goes on with a log if that is better.
ErrorCode shed(Worker* worker, Dict& dict) noexcept;

}  // namespace weld::runtime
