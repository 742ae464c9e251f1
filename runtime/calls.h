#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "runtime/abi.h"

// Every native function that generated code calls. All are noexcept; those that can fail return an ErrorCode
// or null (out of memory) and leave it to the caller to report the place with weld_rt_fail. Sizes are in
// bytes, lengths in elements. `layout` is an index into the layouts of the running program (run_context.h:
// ProgramTables).
//
// A new function is declared here, listed in calls.def, and defined in the file that its group names.

namespace weld::runtime {

struct RuntimeSymbol {
  std::string_view name;
  const void* address;
};

/// Every function below by name, in the order of calls.def.
std::span<const RuntimeSymbol> runtime_symbols();

extern "C" {

// --- memory.h. Payloads are aligned to 64 bytes and not cleared unless it is said.

/// A new block in `worker->scope`; null when the memory limit or the machine's memory is exceeded, or `bytes`
/// is negative or absurd. 0 bytes give a block too. About 10 ns for small blocks, without locks.
std::byte* weld_rt_allocate(Worker* worker, std::int64_t bytes) noexcept;

/// The same, cleared.
std::byte* weld_rt_allocate_zeroed(Worker* worker, std::int64_t bytes) noexcept;

/// A block of `new_bytes` that begins with the first `used_bytes` of `block`, and takes its place in the
/// scope where `block` belongs; `block` is freed. Null when out of memory: `block` is then unchanged. `block`
/// null: allocates.
std::byte* weld_rt_grow(Worker* worker, std::byte* block, std::int64_t used_bytes,
                        std::int64_t new_bytes) noexcept;

/// Frees a block before its scope ends. Null is allowed.
void weld_rt_free(Worker* worker, std::byte* block) noexcept;

/// Makes a block smaller where it stands. Null is allowed.
void weld_rt_trim(Worker* worker, std::byte* block, std::int64_t bytes) noexcept;

/// Moves a block from the scope where it belongs to `worker->scope`. Null is allowed.
void weld_rt_adopt(Worker* worker, std::byte* block) noexcept;

/// Puts `block` where `old_block` belongs, and frees that (null: `block` goes to `worker->scope`).
void weld_rt_replace(Worker* worker, std::byte* old_block, std::byte* block) noexcept;

/// Makes `scope` (uninitialised memory) the worker's, inside the one before. May be written inline.
void weld_rt_scope_begin(Worker* worker, Scope* scope) noexcept;

/// Frees the scope's blocks and goes back to its parent. Inline: `worker->scope = scope->parent` when it is
/// empty.
void weld_rt_scope_end(Worker* worker, Scope* scope) noexcept;

/// Frees the scope's blocks and leaves it open: between two iterations. Inline: nothing when it is empty.
void weld_rt_scope_clear(Worker* worker, Scope* scope) noexcept;

/// Moves the scope's blocks to its parent and goes back to that.
void weld_rt_scope_keep(Worker* worker, Scope* scope) noexcept;

// --- iterate_scope.cpp

/// Begins the scope of an `iterate` whose first state is at `state`: blocks that are made from here on are
/// freed when the state no longer reaches them. The blocks of builders in the state move to the scope.
void weld_rt_iterate_begin(Worker* worker, IterateScope* scope, std::uint32_t layout, void* state) noexcept;

/// After an iteration: frees what `state` does not reach, when enough has been allocated to make it worth the
/// walk (memory stays below twice what is reached plus 256 KiB, and tighter near the limit). Fails with
/// kOutOfMemory only.
ErrorCode weld_rt_iterate_step(Worker* worker, IterateScope* scope, std::uint32_t layout,
                               const void* state) noexcept;

/// Frees what `state` does not reach, keeps the rest in the parent scope. Also to be called after an error,
/// with `state` null: then everything is freed.
ErrorCode weld_rt_iterate_end(Worker* worker, IterateScope* scope, std::uint32_t layout,
                              const void* state) noexcept;

// --- run_context.h

/// kCancelled or kDeadlineExceeded when the run must stop. Called once a block when `*worker->poll_needed` is
/// not 0.
ErrorCode weld_rt_poll(Worker* worker) noexcept;

/// Reports that the node with that span index failed, and returns `code`. Only the first report of a morsel
/// counts, so that callers up the stack may report as well; the place of one without (kNoSpan: foreign
/// functions) is filled in.
ErrorCode weld_rt_fail(Worker* worker, ErrorCode code, std::uint32_t span) noexcept;

/// Forgets what was reported: a block is going to be run again.
void weld_rt_forget_failure(Worker* worker) noexcept;

/// What a foreign function reported through weld_rt_fail on this worker; kSuccess if nothing.
ErrorCode weld_rt_foreign_failure(Worker* worker) noexcept;

// --- morsel_loop.h

/// Runs a loop of `num_iterations` (at least 0) in morsels; see morsel_loop.h for the order of things.
ErrorCode weld_rt_run_loop(Worker* worker, const LoopDescriptor* loop, void* captures,
                           std::int64_t num_iterations) noexcept;

/// All iterations of a loop of several variants, on this thread: `partial` holds the state.
ErrorCode weld_rt_run_variants(Worker* worker, const LoopDescriptor* loop, void* captures,
                               std::int64_t num_iterations, void* partial) noexcept;

/// weld_rt_run_loop for a loop with kLoopRanges, cut into at most so many ranges.
ErrorCode weld_rt_run_ranges(Worker* worker, const LoopDescriptor* loop, void* captures,
                             std::int64_t num_iterations, std::int64_t max_ranges) noexcept;

/// The iterations [begin, end) of a loop with kLoopRanges: `partial` is the state of those before.
ErrorCode weld_rt_run_rest(Worker* worker, const LoopDescriptor* loop, void* captures, std::int64_t begin,
                           std::int64_t end, const void* partial) noexcept;

/// for_each_morsel.
ErrorCode weld_rt_for_each_morsel(Worker* worker, std::int64_t num_elements, std::int64_t morsel_elements,
                                  LoopBody body, void* captures) noexcept;

/// 1 if a thread of the run has nothing to do, else 0; changes at any time.
std::uint32_t weld_rt_has_idle_threads(Worker* worker) noexcept;

// --- recorded_merge.h

/// choose_vecmerger_strategy: a VecMergerStrategy.
std::uint32_t weld_rt_vecmerger_strategy(Worker* worker, const VecMergerLoop* loop, bool ordered,
                                         std::int64_t num_iterations, std::int64_t num_blocks,
                                         std::int64_t length) noexcept;

/// run_recorded.
ErrorCode weld_rt_run_recorded(Worker* worker, const LoopDescriptor* descriptor, const VecMergerLoop* loop,
                               std::uint32_t strategy, void* captures, std::int64_t num_iterations,
                               VecView* state) noexcept;

// --- loop_statistics.h, called by code that was compiled to count what loops do

/// Begins a loop of the program's table; `frame` is uninitialised.
void weld_rt_loop_begin(Worker* worker, LoopFrame* frame, std::uint32_t site) noexcept;

/// Ends it after that many iterations. Not called after errors.
void weld_rt_loop_end(Worker* worker, const LoopFrame* frame, std::uint32_t site,
                      std::int64_t num_iterations) noexcept;

/// Adds to the number of merges into one builder of a loop.
void weld_rt_loop_merged(Worker* worker, std::uint32_t site, std::uint32_t builder,
                         std::int64_t num_merges) noexcept;

/// note_strategy; `of` is a StrategyOf.
void weld_rt_note_strategy(Worker* worker, std::uint32_t of, const char* name) noexcept;

// --- dict.h. Finding and inserting is generated; growth is here.

/// An empty dictionary in `worker->scope`: three blocks. `expected_entries` is a hint, trusted up to 65,536
/// entries.
Dict* weld_rt_dict_new(Worker* worker, std::int64_t entry_bytes, std::int64_t expected_entries) noexcept;

/// Doubles the room for entries; to be called when num_entries == entry_capacity. kBudgetExceeded past 2^31
/// entries. On failure the dictionary is as before.
ErrorCode weld_rt_dict_grow(Worker* worker, Dict* dict) noexcept;

/// To be called for a key, in its C layout, that a dense table has no place for: makes its range larger, or
/// it a hashed one. On failure the dictionary is as before.
ErrorCode weld_rt_dict_reach(Worker* worker, Dict* dict, const std::byte* key) noexcept;

/// Says where the fields of a dictionary's keys are (dense_table.h), so that it may become dense. An empty
/// one that is forced to, or whose type has few keys, is dense from then on.
ErrorCode weld_rt_dict_shape(Worker* worker, Dict* dict, std::uint64_t key_shape) noexcept;

/// Makes room for `total_entries` at least.
ErrorCode weld_rt_dict_reserve(Worker* worker, Dict* dict, std::int64_t total_entries) noexcept;

/// A dictionary with the same entries, to merge into. Keys and values are copied as they are, not what they
/// point to.
Dict* weld_rt_dict_copy(Worker* worker, const Dict* dict) noexcept;

/// An empty dictionary for a part of a loop. `kind` is a DictPartKind (dict_parts.h).
Dict* weld_rt_dict_part(Worker* worker, std::int64_t entry_bytes, std::uint32_t kind) noexcept;

/// Begins a chunk of a part's log for a partition whose last one is full, and returns where its first record
/// goes, or null.
std::byte* weld_rt_dict_chunk(Worker* worker, Dict* dict, std::uint64_t partition) noexcept;

/// Writes down what a part's table still holds, before its log goes on: merges of one group of lanes may go
/// to both.
ErrorCode weld_rt_dict_spill(Worker* worker, Dict* dict) noexcept;

/// Whether one range of a loop should write the rest of its merges down, rather than go on with the table
/// that the first `num_merges` of them filled: 0 or 1.
std::uint32_t weld_rt_dict_logs_rest(Worker* worker, const Dict* dict, std::int64_t num_merges) noexcept;

/// Adds the total of all parts, in their order, to `into`. `parts` points to the first of `count` pointers,
/// `stride_bytes` apart. In parallel when large.
ErrorCode weld_rt_dict_combine(Worker* worker, Dict* into, std::byte* parts, std::int64_t stride_bytes,
                               std::int64_t count, const DictMergeOps* ops) noexcept;

// --- group.h

/// An empty group builder. `entry_bytes` is that of `{K, vec[V]}`, `vector_offset` the place of the vector in
/// it. `expected_values` is a hint, trusted up to 65,536.
GroupBuilder* weld_rt_group_new(Worker* worker, std::int64_t entry_bytes, std::int64_t vector_offset,
                                std::int64_t value_bytes, std::int64_t expected_values) noexcept;

/// Makes room for more values, in a new chunk; to be called when num_values == value_capacity. (New keys:
/// weld_rt_dict_grow on `keys`; a new entry's vector is `{null, 0}`.)
ErrorCode weld_rt_group_grow(Worker* worker, GroupBuilder* group) noexcept;

/// Adds the values of other builders, `stride_bytes` apart, in their order, and empties them. `find` writes
/// the ids of the entries [begin, end) that are there, kNoGroupId for the others; `insert` adds the others in
/// their order. Both get GroupKeys as captures; finding runs in parallel.
ErrorCode weld_rt_group_combine(Worker* worker, GroupBuilder* into, GroupBuilder* const* partials,
                                std::int64_t stride_bytes, std::int64_t num_partials, LoopBody find,
                                LoopBody insert) noexcept;

/// The dictionary of the groups, whose vectors lie one after the other in one block: `&group->keys`. The
/// builder must not be used any more. Segment by segment in parallel when large; the log is freed as it is
/// read.
ErrorCode weld_rt_group_result(Worker* worker, GroupBuilder* group, Dict** result) noexcept;

/// The same where the log has no values: `place`, the loop's body with a GroupPlacer* as partial, makes those
/// of each segment's iterations once more.
ErrorCode weld_rt_group_place(Worker* worker, GroupBuilder* group, LoopBody place, void* captures,
                              Dict** result) noexcept;

/// Runs a loop over `num_iterations` into `group`, which is new, and gives the dictionary of its groups. With
/// few keys as by the calls above; with many, and many rows, these are brought together by their keys' hashes
/// first, so that tables, counts and values stay in the caches.
ErrorCode weld_rt_group_loop(Worker* worker, GroupBuilder* group, const GroupLoop* loop, void* captures,
                             std::int64_t num_iterations, Dict** result) noexcept;

/// Makes `part`, which is new, take what `group` is to take.
ErrorCode weld_rt_group_begin_part(Worker* worker, GroupBuilder* part, const GroupBuilder* group) noexcept;

/// Makes room in the log of rows.
ErrorCode weld_rt_group_spill(Worker* worker, GroupBuilder* group) noexcept;

/// Goes on to the next chunk, and frees the one before; to be called when position == num_values. kUnknown
/// when there is none: the second time there were more values.
ErrorCode weld_rt_group_next_ids(Worker* worker, GroupPlacer* placer) noexcept;

// --- appender.h

/// Makes an empty appender with a first block in `worker->scope`. The hint is trusted up to 1 MiB.
ErrorCode weld_rt_appender_new(Worker* worker, AppenderState* appender, std::int64_t element_bytes,
                               std::int64_t expected_elements) noexcept;

/// Makes room for `more` elements (at least 1) after the `length` ones, growing geometrically. The block
/// stays in the scope where it belongs.
ErrorCode weld_rt_appender_grow(Worker* worker, AppenderState* appender, std::int64_t element_bytes,
                                std::int64_t more) noexcept;

/// Where the elements of a finished appender are from here on, null where there are none: a few go together
/// with those of other appenders into one block of `worker->scope`, and the appender's block is freed.
std::byte* weld_rt_appender_gather(Worker* worker, std::byte* data, std::int64_t bytes) noexcept;

/// Appends the elements of `num_partials` appenders, `stride_bytes` apart, in their order, and empties them.
/// In parallel when large; their blocks are freed as soon as they are copied. Each partial's block belongs to
/// a scope of its own.
ErrorCode weld_rt_appender_concat(Worker* worker, AppenderState* into, AppenderState* partials,
                                  std::int64_t stride_bytes, std::int64_t num_partials,
                                  std::int64_t element_bytes) noexcept;

/// A copy of `length` elements in a new block, in parallel when large: the start of a vecmerger.
ErrorCode weld_rt_copy_vector(Worker* worker, const std::byte* data, std::int64_t length,
                              std::int64_t element_bytes, VecView* result) noexcept;

// --- sort.h. All are stable, give a new vector, and leave the input alone. They give the first `limit`
// elements of the sorted vector, all of them where the limit is no less than the length; it is at least 0. A
// small limit costs a pass over the vector and memory for a few times that many elements.

/// Sorts elements by a comparator.
ErrorCode weld_rt_sort(Worker* worker, const std::byte* data, std::int64_t length, std::int64_t element_bytes,
                       SortComparator comparator, void* captures, std::int64_t limit,
                       VecView* result) noexcept;

/// Sorts elements by scalar keys, `key_stride` bytes apart: ascending, −0 = +0, NaN last. `scalar_kind` is an
/// ir::ScalarKind. `keys` may be `data` itself, or a member of its elements.
ErrorCode weld_rt_sort_by_scalar(Worker* worker, const std::byte* data, std::int64_t length,
                                 std::int64_t element_bytes, const std::byte* keys, std::int64_t key_stride,
                                 std::uint32_t scalar_kind, std::int64_t limit, VecView* result) noexcept;

/// The same by keys that are vec[i8] (`is_signed` not 0) or vec[u8].
ErrorCode weld_rt_sort_by_string(Worker* worker, const std::byte* data, std::int64_t length,
                                 std::int64_t element_bytes, const std::byte* keys, std::int64_t key_stride,
                                 std::uint32_t is_signed, std::int64_t limit, VecView* result) noexcept;

/// Sorts elements by keys of any type, an array beside them, that `comparator` compares without fail. `words`
/// writes `num_words` (at least 1) for each; `words_decide` not 0 says that equal ones mean equal keys.
ErrorCode weld_rt_sort_by_key(Worker* worker, const std::byte* data, std::int64_t length,
                              std::int64_t element_bytes, const std::byte* keys, std::int64_t key_bytes,
                              SortWords words, std::int64_t num_words, std::uint32_t words_decide,
                              SortComparator comparator, void* captures, std::int64_t limit,
                              VecView* result) noexcept;

/// A new array of keys in `worker->scope`. `write(worker, captures, begin, end, keys)` writes those of the
/// elements [begin, end) to `keys`; `flags` are kLoopAllocates and kLoopKeepsMemory. In parallel when large.
ErrorCode weld_rt_make_keys(Worker* worker, std::int64_t length, std::int64_t key_bytes, LoopBody write,
                            void* captures, std::uint32_t flags, std::byte** keys) noexcept;

/// A word in the order of strings, vec[i8] (`is_signed` not 0) or vec[u8], as far as eight bytes go.
std::uint64_t weld_rt_string_word(const std::byte* data, std::int64_t length,
                                  std::uint32_t is_signed) noexcept;

// --- serialize.h

/// The bytes of `value` (LANGUAGE.md §1.4) as a new vec[u8].
ErrorCode weld_rt_serialize(Worker* worker, std::uint32_t layout, const void* value,
                            VecView* result) noexcept;

/// Reads a value back. `inserts[i]` inserts into the i-th dictionary type of the layout, depth first, a
/// dictionary before its key and its key before its value; may be null where there is none. Everything but
/// exactly the bytes of one value is kDeserializationError; memory is bounded by a small multiple of
/// `length`.
ErrorCode weld_rt_deserialize(Worker* worker, std::uint32_t layout, const std::byte* data,
                              std::int64_t length, const DictInsert* inserts, void* result) noexcept;

// --- nditer.cpp

/// Checks an nditer over a vector of `length` elements: kBadIteratorLength unless the stride is 1 and end −
/// start = product(shape), kArrayOutOfBounds if the walk leaves the vector.
ErrorCode weld_rt_check_nditer(std::int64_t start, std::int64_t end, std::int64_t stride,
                               const std::int64_t* shape, std::int64_t num_extents,
                               const std::int64_t* strides, std::int64_t num_strides,
                               std::int64_t length) noexcept;

// --- hash.h

/// The hash of a byte string.
std::uint64_t weld_rt_hash_bytes(const std::byte* data, std::int64_t length, std::uint64_t seed) noexcept;

}  // extern "C"

}  // namespace weld::runtime
