#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/abi.h"

namespace weld::runtime {

class Context;

/// Before each payload. Payloads are aligned to 64 bytes, so blocks begin 32 bytes after such a boundary.
struct Block : BlockLink {
  std::int64_t requested_bytes;
  std::uint16_t size_class;
  std::uint16_t stagger;  ///< large blocks: cache lines between the allocation's begin and the block's
  std::atomic<std::uint32_t> marks;  ///< reach.cpp; kGatheredMark

  std::byte* payload() { return reinterpret_cast<std::byte*>(this + 1); }
  static Block* of(std::byte* payload) { return reinterpret_cast<Block*>(payload) - 1; }
};
static_assert(sizeof(Block) == 32);
/// The block is filled with small vectors, one after the other (appender.cpp).
inline constexpr std::uint32_t kGatheredMark = 8;

/// Sizes are rounded up to four classes an octave. Small classes are cut from slabs of one class each; larger
/// ones are allocations of their own.
inline constexpr std::int64_t kSlabBytes = 64 * 1024;  ///< and its alignment
inline constexpr std::int64_t kSlabHeaderBytes = 32;
inline constexpr int kNumSmallClasses = 24;  ///< up to 8 KiB
inline constexpr int kNumSizeClasses = 160;
/// Bytes of a class, block header included; a multiple of 64.
std::int64_t class_bytes(int size_class);
/// The smallest class with room for a payload, or -1 if it is larger than memory could be.
int size_class_for(std::int64_t payload_bytes);

/// In front of every slab; its blocks follow without gaps.
struct alignas(32) Slab {
  std::uint32_t size_class;
};
static_assert(sizeof(Slab) == kSlabHeaderBytes);

/// Blocks that belong together and to nobody else, e.g. to a value. Freed with the object; the context must
/// live then.
class OwnedBlocks {
 public:
  OwnedBlocks() { reset(); }
  OwnedBlocks(OwnedBlocks&& other) noexcept;
  OwnedBlocks& operator=(OwnedBlocks&& other) noexcept;
  ~OwnedBlocks() { release(); }

  /// Takes all blocks of the list.
  void take(Context& context, BlockLink& list) noexcept;
  /// Moves all blocks to the end of the list. Nothing is owned then.
  void give(BlockLink& list) noexcept;
  void release() noexcept;

  bool empty() const { return blocks_.next == &blocks_; }
  std::int64_t requested_bytes() const;

 private:
  void reset() { blocks_.next = blocks_.previous = &blocks_; }

  Context* context_ = nullptr;
  BlockLink blocks_;
};

struct ContextOptions {
  std::int64_t memory_limit = 0;  ///< bytes, by requested sizes; 0: default_memory_limit()
  std::int64_t cache_bytes = -1;  ///< of freed memory kept for reuse; -1: a quarter of the limit
  // For tests; 0: none, 1: the first.
  std::int64_t fail_allocation_at = 0;  ///< the n-th allocation of a block fails, on whatever worker
  std::int64_t fail_system_at = 0;      ///< the system refuses the n-th piece of memory that it is asked for
};

/// One worker's small free blocks, and its credit: bytes taken from the context's limit in advance, so that
/// allocating writes nothing shared. Used by one thread at a time.
class WorkerHeap {
 public:
  explicit WorkerHeap(Context& context);
  ~WorkerHeap();
  WorkerHeap(const WorkerHeap&) = delete;
  WorkerHeap& operator=(const WorkerHeap&) = delete;

  /// A block in no list, or null. `*zeroed`, where given, says that the payload is known to be clear.
  Block* allocate(std::int64_t bytes, bool* zeroed = nullptr) noexcept;
  void free(Block* block) noexcept;
  /// Frees all blocks of a list and empties it.
  void free_all(BlockLink& list) noexcept;
  /// Changes the size of a block where it stands; false when it has no room or the limit forbids it.
  bool resize(Block* block, std::int64_t bytes) noexcept;
  /// Whether `remap` is the way to make the block larger: there are never two of it.
  static bool can_remap(const Block* block) noexcept;
  /// Makes such a block larger, of which that many bytes are used. It moves, and keeps its place in its list;
  /// null when out of memory. Its pages are moved by the system, or copied where a cached block has room,
  /// since fresh pages take longer.
  Block* remap(Block* block, std::int64_t used_bytes, std::int64_t bytes) noexcept;

  /// Bytes ever allocated here.
  std::int64_t allocated_bytes() const { return allocated_bytes_; }
  Context& context() const { return context_; }

 private:
  friend class Context;
  struct FreeList {
    BlockLink* first = nullptr;  // linked by `next`
    std::int64_t num_blocks = 0;
    std::byte* fresh = nullptr;  // the part of a slab that was never used
    std::byte* fresh_end = nullptr;
  };

  bool charge(std::int64_t bytes) noexcept;
  void refund(std::int64_t bytes) noexcept;
  void recycle(Block* block) noexcept;

  Context& context_;
  std::atomic<std::int64_t> credit_{0};
  std::int64_t allocated_bytes_ = 0;
  std::array<FreeList, kNumSmallClasses> free_;
  WorkerHeap* next_ = nullptr;  // the context's list of heaps
  WorkerHeap* previous_ = nullptr;
};

class RunContext;

/// Memory that runs and values share, with a limit; and run contexts to use again.
///
/// Threads  safe from all threads
/// Memory   counts the requested bytes of blocks in use, exactly when idle; refuses exactly what would pass
///          the limit (but for what other workers allocate in the same moment, at most their credit of
///          64 KiB). Freed memory is cached up to a bound, large blocks never so that they and the used bytes
///          together pass the limit. Blocks of 2 MiB and more are mapped with advice for huge pages, their
///          bases staggered by some cache lines.
/// Life     must outlive its runs, and the values that they return.
class Context {
 public:
  explicit Context(const ContextOptions& options = {});
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  std::int64_t memory_limit() const { return limit_; }
  /// Requested bytes of the blocks in use. Exact when nothing runs.
  std::int64_t bytes_in_use() const noexcept;
  /// The most that were in use at a time, at most 64 KiB a worker too high.
  std::int64_t peak_bytes() const noexcept { return peak_bytes_.load(std::memory_order_relaxed); }
  /// Makes the present use the peak.
  void reset_peak() noexcept;
  /// How often the system was asked for memory: for slabs of small blocks, and for large blocks that no
  /// cached one would do for.
  std::int64_t num_system_allocations() const noexcept {
    return num_system_allocations_.load(std::memory_order_relaxed);
  }
  /// Less than an eighth of the limit is left.
  bool is_nearly_full() const noexcept;

  /// Gives cached memory back to the system: large blocks always, small ones when no block is in use and
  /// nothing runs.
  void trim() noexcept;

  /// Frees blocks from any thread.
  void release(BlockLink& list) noexcept;

 private:
  friend class WorkerHeap;
  friend class RunContext;
  struct SlabChunk;

  bool take_credit(WorkerHeap& heap, std::int64_t bytes) noexcept;
  void return_credit(std::int64_t bytes) noexcept { charged_.fetch_sub(bytes, std::memory_order_relaxed); }
  bool try_charge(std::int64_t bytes, std::int64_t unused = 0) noexcept;
  Block* allocate_large(int size_class, bool* zeroed) noexcept;
  /// A cached block of the first size class that has one, up to the last; null if none has.
  Block* take_cached(int size_class, int last) noexcept;
  void free_large(Block* block) noexcept;
  void evict(std::int64_t most_bytes) noexcept;
  bool refill(WorkerHeap::FreeList& list, int size_class) noexcept;
  Slab* take_slab() noexcept;
  bool may_ask_system() noexcept;
  void take_back(WorkerHeap::FreeList& list, int size_class, std::int64_t num_blocks) noexcept;
  void take_back_all(WorkerHeap& heap) noexcept;
  void free_slabs() noexcept;
  void add(WorkerHeap& heap) noexcept;
  void remove(WorkerHeap& heap) noexcept;
  void drop_idle_runs() noexcept;

  std::int64_t limit_;
  std::int64_t cache_limit_;
  std::int64_t fail_at_;
  std::int64_t fail_system_at_;
  std::int64_t credit_batch_;
  std::atomic<std::int64_t> num_allocations_{0};
  std::atomic<std::int64_t> num_system_allocations_{0};
  alignas(64) std::atomic<std::int64_t> charged_{0};  // used bytes and all credits
  std::atomic<std::int64_t> peak_bytes_{0};
  std::atomic<std::int64_t> cached_bytes_{0};
  std::atomic<bool> is_exact_{false};  // near the limit: credits are not used
  std::atomic<std::uint32_t> next_stagger_{0};
  std::atomic<std::int64_t> slab_bytes_{0};

  mutable std::mutex mutex_;  // everything below
  WorkerHeap* heaps_ = nullptr;
  std::array<WorkerHeap::FreeList, kNumSmallClasses> free_;
  std::array<BlockLink*, kNumSizeClasses> cached_{};  // linked by `next`
  SlabChunk* chunks_ = nullptr;
  std::byte* next_slab_ = nullptr;
  std::byte* slabs_end_ = nullptr;

  // Idle run contexts, for run_context.cpp. A slot is taken by an exchange with null.
  static constexpr int kPooledRuns = 16;
  std::array<std::atomic<RunContext*>, kPooledRuns> pooled_runs_{};
};

// Lists.

inline void begin_list(BlockLink& list) {
  list.next = list.previous = &list;
}

inline void link_last(BlockLink& list, BlockLink* block) {
  block->next = &list;
  block->previous = list.previous;
  list.previous->next = block;
  list.previous = block;
}

/// Into the list where `place` is.
inline void link_beside(BlockLink* place, BlockLink* block) {
  link_last(*place, block);
}

inline void unlink(BlockLink* block) {
  block->previous->next = block->next;
  block->next->previous = block->previous;
}

/// Moves all blocks of `from` to the end of `list`, in constant time.
inline void splice_last(BlockLink& list, BlockLink& from) {
  if (from.next == &from) return;
  list.previous->next = from.next;
  from.next->previous = list.previous;
  from.previous->next = &list;
  list.previous = from.previous;
  begin_list(from);
}

}  // namespace weld::runtime
