#pragma once

#include <cstddef>
#include <cstdint>

#include "ir/error.h"

// Layouts shared by generated code, the inlined bitcode and the native runtime. Generated code takes offsets
// from here.

namespace weld::runtime {

class RunContext;

/// A vector: `length` elements in the C layout of their type. Null when empty is allowed.
struct VecView {
  std::byte* data;
  std::int64_t length;
};

/// An appender between runs: 24 bytes, as the original's. The elements live in a block of the run.
struct AppenderState {
  std::byte* data;
  std::int64_t length;
  std::int64_t capacity;
};

/// A place in a circular list of blocks: a block (memory.h), or the sentinel in its scope.
struct BlockLink {
  BlockLink* next;
  BlockLink* previous;
};

/// Where blocks of memory belong: they are released together. `blocks` is the sentinel of their list, which
/// points to itself when there are none, so that a block can be replaced or a whole list moved in constant
/// time. A scope is used by one worker at a time.
struct Scope {
  Scope* parent;
  BlockLink blocks;

  bool empty() const { return blocks.next == &blocks; }
};

/// One thread's part of a run. The first fields are read by generated code; the rest is native
/// (run_context.h).
struct Worker {
  RunContext* run;
  Scope* scope;                     ///< new blocks belong here
  const std::uint8_t* poll_needed;  ///< non-zero byte: call weld_rt_poll at the next block
  std::uint8_t may_fork;            ///< loops started here may run in parallel
};

/// The memory of an `iterate`: what its state does not reach is freed now and then.
struct IterateScope {
  Scope scope;
  std::int64_t allocated_before;  ///< the worker's count of allocated bytes when garbage was last looked for
  std::int64_t reached_bytes;     ///< what the state reached then
};

struct DictPart;
struct DictLog;

/// A field of the keys of a dense dictionary: those in [base, base + span), modulo 2^64, have places.
struct DenseField {
  std::uint64_t base;
  std::uint64_t span;
  std::uint64_t stride;  ///< what one more adds to the place
};
inline constexpr std::int64_t kMaxDenseFields = 4;

/// An insertion-ordered open-addressing hash table, or a dense one. `slots` holds `hash32 << 32 | entry index
/// + 1`, 0 when empty; probing is linear from `hash32 >> slot_shift & slot_mask`, so that the order of the
/// slots is about that of the hashes, however many there are. Entries are `{K, V}` in the C layout, in the
/// order of their first merge. Of a dense one (dense_table.h) `slots` are 32 bits for each place, entry index
/// + 1, 0 when empty; a key's place is the sum of its fields' distances from their bases, each times its
/// stride.
struct Dict {
  std::uint64_t* slots;
  std::uint64_t slot_mask;   ///< slots - 1, a power of two minus one; at most 2^32 - 1
  std::uint64_t slot_shift;  ///< hash_bits - log2(slots)
  std::byte* entries;
  std::int64_t num_entries;
  std::int64_t entry_capacity;  ///< never more than half of the slots
  std::int64_t entry_bytes;
  std::uint64_t seed;        ///< of the process, mixed into every hash; odd
  std::uint64_t hash_bits;   ///< of hash32 that tell slots apart, the lower ones: 32, fewer in a partition
  std::uint64_t num_places;  ///< of a dense table; 0: it is hashed
  std::uint64_t key_shape;   ///< where the keys' fields are (dense_table.h); 0: it is never dense
  DenseField fields[kMaxDenseFields];

  // While a loop fills its parts (dict_parts.h).
  DictPart* part;           ///< null: a table that keeps what it is given
  DictLog* log;             ///< merges are written down here; null: they go to the table
  std::int64_t num_merges;  ///< into the table, since it was empty
  std::uint32_t* sequence;  ///< of a partition: the number of each entry's first merge
};

/// A piece of a group builder's log, a block of memory: the values in the order of their merge, and the entry
/// that each belongs to. The last kGroupIdPadding ids are never used, so that reading ahead is safe.
struct GroupChunk {
  GroupChunk* next;
  std::int64_t num_values;  ///< of a builder's last chunk the builder knows it
  std::uint32_t* ids;
  std::byte* values;
};
inline constexpr std::int64_t kGroupIdPadding = 32;

/// What follows each other in the order of merges and has the same ids: what one partial merged.
struct GroupSegment {
  GroupSegment* next;
  GroupChunk* first;
  GroupChunk* last;
  std::int64_t begin;  ///< the iterations that merged it, where values are made a second time
  std::int64_t end;
  std::int64_t num_ids;
  std::uint32_t* id_map;  ///< the builder's entry for each id; null: they are the same
  std::int64_t* counts;   ///< of the values of each id; null: not known
};

struct GroupLoop;
struct GroupRun;

/// A groupmerger being filled: `keys` has entries `{K, vec[V]}` whose vector's length counts the values so
/// far. The values are in segments; merges go to the last chunk of `own`, which comes after `segments`.
struct GroupBuilder {
  Dict keys;
  std::uint32_t* ids;  ///< of the last chunk, as the three that follow
  std::byte* values;
  std::int64_t num_values;
  std::int64_t value_capacity;
  GroupSegment own;
  GroupSegment* segments;
  GroupSegment* last_segment;
  std::int64_t value_bytes;
  std::int64_t logged_bytes;   ///< of a value in the log: `value_bytes`, or 0 where values are made a second
                               ///< time
  std::int64_t vector_offset;  ///< of the VecView in an entry
  std::int64_t expected_values;

  // Where a loop's rows are brought together by their hashes first (group_rows.cpp): merges write rows {K, V}
  // down.
  const GroupLoop* rows_of;  ///< null: merges go to the table
  std::byte* log_rows;
  std::uint32_t* log_hashes;   ///< hash32 of each
  std::uint32_t* log_numbers;  ///< of each merge; null: nobody asks
  std::int64_t log_size;
  std::int64_t log_capacity;
  std::int64_t num_merges;  ///< also of those that are left out
  GroupRun* first_run;
  GroupRun* last_run;
  std::uint64_t next_number;  ///< of merges, likewise; lanes that do not merge count, too
  std::uint64_t first_hash;   ///< merges are left out whose hash32 - first_hash is
  std::uint64_t last_hash;    ///< more than last_hash (unsigned)
};

/// Where the second making of values puts them: in the order of the log, behind the last of their entry.
struct GroupPlacer {
  std::byte** cursors;  ///< of each id: where its next value goes
  std::uint32_t* ids;   ///< of the chunk
  std::int64_t position;
  std::int64_t num_values;
  GroupChunk* chunk;
  std::uint64_t prefetches;  ///< not 0: there are many cursors
};

/// The captures of the functions that find and insert keys of a partial (GroupKeyFunctions).
struct GroupKeys {
  Dict* into;
  const Dict* from;
  std::uint32_t* id_map;  ///< by entry of `from`: the entry of `into`, or kNoGroupId
};
inline constexpr std::uint32_t kNoGroupId = 0xffffffff;

/// The captures of GroupLoop::index: rows {K, V} that follow each other.
struct GroupRows {
  Dict* table;
  const std::byte* rows;
  const std::uint32_t* numbers;  ///< null: nobody asks
  std::uint64_t first_number;    ///< added to them
  std::uint32_t* ids;            ///< where their keys' entries are written
};

/// Adds the iterations [begin, end), whole blocks but for the loop's end, to the builders in `partial`. One
/// partial may get several calls, for parts that follow each other: the state is read from `partial` and
/// written back.
using LoopBody = ErrorCode (*)(Worker* worker, void* captures, std::int64_t begin, std::int64_t end,
                               void* partial);
/// Makes a state in a zeroed `partial` that is to take the iterations from `begin` on, those before `end`
/// first. Blocks that it makes live until the loop's combine has returned, and so do those that they grow
/// into; a builder that may grow gets its first block here.
using LoopInit = ErrorCode (*)(Worker* worker, void* captures, std::int64_t begin, std::int64_t end,
                               void* partial);
/// Adds the states of all partials, in their order, to the loop's builder in `captures`. Runs on the caller's
/// worker.
using LoopCombine = ErrorCode (*)(Worker* worker, void* captures, void* partials, std::int64_t num_partials);

/// What the runtime must know of a loop; a constant in the compiled module.
struct LoopDescriptor {
  LoopBody body;
  LoopInit init;                   ///< may be null
  LoopCombine combine;             ///< may be null
  std::int64_t partial_bytes;      ///< stride of the partials' array, a multiple of 64; 0: `partial` is null
  std::int64_t block_iterations;   ///< of reduction_order.h, or 1 where no sum depends on it
  std::int64_t morsel_iterations;  ///< estimated to take kMorselNanoseconds; 0: it cannot be told
  std::uint32_t flags;             ///< LoopFlags
  std::uint32_t max_ranges = 64;   ///< with kLoopRanges: at most so many partials, at least 1
  std::uint32_t site = 0;          ///< index into ProgramTables::loops (run_context.h)
  std::uint32_t num_variants = 1;  ///< functions that a morsel may be given to
  const LoopBody* variants = nullptr;  ///< with several: these, the first of which is `body`
  std::int64_t* measured =
      nullptr;  ///< picoseconds an iteration, of the last run; 0: it did not run; may be null
};

/// Ways to fill a groupmerger, its annotation `impl`.
enum class GroupImpl : std::uint32_t {
  kChosen,
  kLocal,        ///< a table of its keys for each part of the loop, and a log of the values
  kGlobal,       ///< the same without the values, which are made once more
  kPartitioned,  ///< rows are brought together by the hashes of their keys first
};

/// A loop whose only builder is a new groupmerger, and which may run several times; a constant in the
/// compiled module.
struct GroupLoop {
  const LoopDescriptor* loop;  ///< merges, without their values where they go to a table
  LoopBody place;              ///< puts the values in their places (weld_rt_group_place)
  LoopBody index;              ///< counts the rows [begin, end) of GroupRows at their keys, which are made
  std::int64_t row_bytes;
  std::int64_t value_offset;  ///< in a row
  std::int64_t most_merges;   ///< of an iteration
  std::uint32_t is_ordered;   ///< the groups are to be in the order of their first merges
  std::uint32_t has_slots;    ///< somebody looks for keys, and not only at all entries
  GroupImpl impl;
};

/// What a loop notes where it begins, in code that counts what loops do (loop_statistics.h).
struct LoopFrame {
  std::uint64_t cycles_before;
  std::int64_t allocated_before;
  std::int64_t parallel_before;
  std::uint32_t outer_site;
};

/// What a morsel should take: small beside a loop worth sharing, large beside the cost of handing it out.
inline constexpr std::int64_t kMorselNanoseconds = 50'000;

/// Where a loop's body puts what it would merge into a vecmerger: `{i64, T}` after `{i64, T}`.
struct MergeRecorder {
  std::byte* records;
  std::int64_t count;
};

/// What the conf says of dictmergers whose annotation says nothing.
enum class DictForced : std::uint32_t { kNone, kLocal, kGlobal, kPartitioned };

/// What a builder's annotation `impl:` says of a vecmerger.
enum class VecMergerForced : std::uint32_t { kNone, kLocal, kGlobal, kPartitioned, kDirect };

/// What the runtime must know of a loop into one vecmerger (recorded_merge.h); a constant in the compiled
/// module.
struct VecMergerLoop {
  LoopBody record;  ///< the loop's body whose state is {MergeRecorder*, length}, indices checked; null: none
  /// Merges records, in their order.
  ErrorCode (*apply)(Worker* worker, std::byte* data, const std::byte* records, std::int64_t count);
  /// The same while other threads do; null where the order of the merges can be seen.
  ErrorCode (*apply_atomically)(Worker* worker, std::byte* data, const std::byte* records,
                                std::int64_t count);
  std::int64_t record_bytes;
  std::int64_t element_bytes;
  std::int64_t most_merges;  ///< of an iteration
  VecMergerForced forced;
};

enum LoopFlags : std::uint32_t {
  kLoopRanges = 1,  ///< the partials are the ranges of reduction_order.h
  kLoopKeepsMemory =
      2,  ///< merged values hold pointers: memory made by a morsel lives as long as the loop's builder
  kLoopAllocates = 4,    ///< the body allocates: give each morsel a scope of its own
  kLoopAnyOrder = 8,     ///< partials may take any morsels in any order: one a thread is enough
  kLoopFreeRanges = 16,  ///< the ranges may be fewer: no sum depends on them
};

/// Compares two elements (or two keys): negative, zero or positive. An error goes to `*error`, which holds
/// kSuccess before. What it allocates it frees itself.
using SortComparator = std::int32_t (*)(Worker* worker, void* captures, const void* left, const void* right,
                                        ErrorCode* error);

/// Writes, for the keys [begin, end) of an array, words that are in the order of the keys as far as they go:
/// of two keys, the one whose first word that differs is smaller comes first. Those of key `begin` are the
/// first in `words`; each key has as many.
using SortWords = void (*)(const std::byte* keys, std::int64_t begin, std::int64_t end, std::uint64_t* words);

/// Merges records of a part (dict_parts.h), at most kRecordsAtOnce, into a partition's table. The number of a
/// merge in its part counts on from `first_sequence`.
using DictAggregate = ErrorCode (*)(Worker* worker, Dict* table, const std::byte* records, std::int64_t count,
                                    std::uint64_t first_sequence);
/// Merges all entries of a table, in their order.
using DictCombine = ErrorCode (*)(Worker* worker, Dict* into, const Dict* from);

/// Merges the value of each of `count` entries into that of another one with the same key.
using DictFold = ErrorCode (*)(Worker* worker, const std::byte* const* into, const std::byte* const* from,
                               std::int64_t count);

/// What the runtime does with a type of dictmerger; a constant in the compiled module.
struct DictMergeOps {
  DictAggregate aggregate;
  DictCombine combine;
  DictFold fold;
  std::int64_t is_ordered;   ///< results depend on the order of merges
  std::int64_t keeps_order;  ///< entries are wanted in the order of their first merge
  std::int64_t has_slots;    ///< keys will be looked up
};

/// Adds an entry, copying key and value; a key that is already there is kDeserializationError.
using DictInsert = ErrorCode (*)(Worker* worker, Dict* dict, const void* key, const void* value);

/// A compiled program: writes its result, in the C layout, to `result`.
using ProgramMain = ErrorCode (*)(Worker* worker, const std::byte* args, std::byte* result);

static_assert(sizeof(VecView) == 16 && sizeof(AppenderState) == 24 && sizeof(Scope) == 24);

}  // namespace weld::runtime
