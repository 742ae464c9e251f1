#pragma once

#include <cstddef>
#include <cstdint>

#include "ir/error.h"

// Layouts shared by generated code, the inlined bitcode and the native runtime. Generated code takes offsets from here.

namespace weld::runtime {

class RunContext;
struct Block;  // memory.h

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

/// Where blocks of memory belong: they are released together. A list with a sentinel, so that a block can be
/// replaced or a whole list moved in constant time. A scope is used by one worker at a time.
struct Scope {
  Scope* parent;
  Block* first;
  Block* last;
};

/// One thread's part of a run. The first fields are read by generated code; the rest is native (run_context.h).
struct Worker {
  RunContext* run;
  Scope* scope;                       ///< new blocks belong here
  const std::uint8_t* poll_needed;    ///< non-zero byte: call weld_rt_poll at the next block
  std::uint8_t may_fork;              ///< loops started here may run in parallel
};

/// An insertion-ordered open-addressing hash table. `slots` holds `hash32 << 32 | entry index + 1`, 0 when empty; probing
/// is linear from `hash32 & slot_mask`. Entries are `{K, V}` in the C layout, in the order of their first merge.
struct Dict {
  std::uint64_t* slots;
  std::uint64_t slot_mask;        ///< slots - 1, a power of two minus one; at most 2^32 - 1
  std::byte* entries;
  std::int64_t num_entries;
  std::int64_t entry_capacity;    ///< never more than half of the slots
  std::int64_t entry_bytes;
  std::uint64_t seed;             ///< of the process, mixed into every hash
};

/// A groupmerger being filled: `keys` has entries `{K, vec[V]}` whose vector's length counts the values so far; the values
/// stand in the order of their merge, `ids` says which entry each belongs to.
struct GroupBuilder {
  Dict keys;
  std::uint32_t* ids;
  std::byte* values;
  std::int64_t num_values;
  std::int64_t value_capacity;
  std::int64_t value_bytes;
};

/// The part [begin, end) of a loop's iterations, whole blocks but for the loop's end. `partial` is this morsel's state.
using LoopBody = ErrorCode (*)(Worker* worker, void* captures, std::int64_t begin, std::int64_t end, void* partial);
/// Makes the state of a morsel, before its body. Belongs to the scope in which it runs.
using LoopInit = ErrorCode (*)(Worker* worker, void* captures, std::int64_t begin, std::int64_t end, void* partial);
/// Adds the states of all morsels, in their order, to the loop's builder in `captures`.
using LoopCombine = ErrorCode (*)(Worker* worker, void* captures, void* partials, std::int64_t num_morsels);

/// What the runtime must know of a loop; a constant in the compiled module.
struct LoopDescriptor {
  LoopBody body;
  LoopInit init;
  LoopCombine combine;
  std::int64_t partial_bytes;        ///< stride of the partials' array, a multiple of 64
  std::int64_t block_iterations;     ///< reduction_order.h
  std::int64_t morsel_iterations;    ///< wanted iterations of a morsel; rounded up to whole blocks
  std::uint32_t flags;               ///< LoopFlags
};

enum LoopFlags : std::uint32_t {
  kLoopRanges = 1,         ///< at most 64 morsels, the ranges of reduction_order.h
  kLoopKeepsMemory = 2,    ///< merged values hold pointers: memory made by a morsel lives as long as the loop's builder
  kLoopAllocates = 4,      ///< the body allocates: give each morsel a scope of its own
};

}  // namespace weld::runtime
