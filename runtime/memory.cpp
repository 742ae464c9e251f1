#include "runtime/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

#include "runtime/limits.h"
#include "runtime/run_context.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define WELD_POISON(begin, bytes) ASAN_POISON_MEMORY_REGION(begin, bytes)
#define WELD_UNPOISON(begin, bytes) ASAN_UNPOISON_MEMORY_REGION(begin, bytes)
#endif
#endif
#ifndef WELD_POISON
#define WELD_POISON(begin, bytes) static_cast<void>(0)
#define WELD_UNPOISON(begin, bytes) static_cast<void>(0)
#endif

namespace weld::runtime {
namespace {

constexpr std::int64_t kHugePageBytes = 2 << 20;
constexpr std::int64_t kCacheLineBytes = 64;
constexpr std::uint32_t kStaggerLines = 32;
// A large allocation's bytes beyond its class: the way to the first block boundary, and the stagger.
constexpr std::int64_t kLargeSlackBytes = kStaggerLines * kCacheLineBytes + sizeof(Block);
constexpr std::int64_t kCreditBatchBytes = 64 * 1024;
// A block that grows takes a cached one up to four times as large as it must be.
constexpr int kClassesOfCachedGrowth = 8;
constexpr std::int64_t kMaxPayloadBytes = std::int64_t{1} << 46;

std::int64_t large_allocation_bytes(int size_class) {
  return class_bytes(size_class) + kLargeSlackBytes;
}
bool is_mapped(int size_class) {
  return class_bytes(size_class) >= kHugePageBytes;
}

std::byte* map_aligned(std::int64_t bytes, std::int64_t alignment) {
  const auto size = static_cast<std::size_t>(bytes);
  const auto align = static_cast<std::size_t>(alignment);
  void* mapped = mmap(nullptr, size + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* begin = static_cast<std::byte*>(mapped);
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  const std::size_t before = (align - address % align) % align;
  if (before != 0) munmap(begin, before);
  constexpr std::size_t kPage = 4096;
  const std::size_t kept = (size + kPage - 1) / kPage * kPage;
  if (before + kept < size + align) munmap(begin + before + kept, size + align - before - kept);
  if (bytes >= kHugePageBytes) madvise(begin + before, kept, MADV_HUGEPAGE);
  return begin + before;
}

std::byte* large_base(Block* block) {
  return reinterpret_cast<std::byte*>(block) - sizeof(Block) - block->stagger * kCacheLineBytes;
}

void free_to_system(Block* block) {
  const int size_class = block->size_class;
  std::byte* base = large_base(block);
  WELD_UNPOISON(base, static_cast<std::size_t>(large_allocation_bytes(size_class)));
  if (is_mapped(size_class)) {
    munmap(base, static_cast<std::size_t>(large_allocation_bytes(size_class)));
  } else {
    std::free(base);
  }
}

// Blocks that move between a worker and the context at once.
std::int64_t batch_blocks(int size_class) {
  return std::clamp<std::int64_t>(16 * 1024 / class_bytes(size_class), 2, 64);
}

Block* as_block(BlockLink* link) {
  return static_cast<Block*>(link);
}

std::int64_t counted(std::int64_t bytes) {
  return std::max<std::int64_t>(bytes, 1);
}

}  // namespace

std::int64_t class_bytes(int size_class) {
  if (size_class < 4) return 64 * (size_class + 1);
  const int octave = (size_class - 4) / 4;
  return (std::int64_t{256} << octave) + ((size_class - 4) % 4 + 1) * (std::int64_t{64} << octave);
}

int size_class_for(std::int64_t payload_bytes) {
  if (payload_bytes < 0 || payload_bytes > kMaxPayloadBytes) return -1;
  const auto bytes = static_cast<std::uint64_t>(payload_bytes) + sizeof(Block);
  if (bytes <= 256) return static_cast<int>((bytes + 63) / 64) - 1;
  const int octave = std::bit_width(bytes - 1) - 9;
  return 4 + octave * 4 + static_cast<int>((bytes - 1 - (std::uint64_t{256} << octave)) >> (octave + 6));
}

struct Context::SlabChunk {
  std::byte* base;
  std::int64_t bytes;
  SlabChunk* next;
};

// --- OwnedBlocks

OwnedBlocks::OwnedBlocks(OwnedBlocks&& other) noexcept : context_(other.context_) {
  reset();
  splice_last(blocks_, other.blocks_);
}

OwnedBlocks& OwnedBlocks::operator=(OwnedBlocks&& other) noexcept {
  if (this != &other) {
    release();
    context_ = other.context_;
    splice_last(blocks_, other.blocks_);
  }
  return *this;
}

void OwnedBlocks::take(Context& context, BlockLink& list) noexcept {
  context_ = &context;
  splice_last(blocks_, list);
}

void OwnedBlocks::give(BlockLink& list) noexcept {
  splice_last(list, blocks_);
}

void OwnedBlocks::release() noexcept {
  if (!empty()) context_->release(blocks_);
}

std::int64_t OwnedBlocks::requested_bytes() const {
  std::int64_t bytes = 0;
  for (const BlockLink* link = blocks_.next; link != &blocks_; link = link->next)
    bytes += static_cast<const Block*>(link)->requested_bytes;
  return bytes;
}

// --- WorkerHeap

WorkerHeap::WorkerHeap(Context& context) : context_(context) {
  context.add(*this);
}

WorkerHeap::~WorkerHeap() {
  context_.remove(*this);
}

// Only the owner writes the credit, so that it needs no read-modify-write (which would take as long as the
// rest of an allocation); others read it near the limit.
bool WorkerHeap::charge(std::int64_t bytes) noexcept {
  const std::int64_t credit = credit_.load(std::memory_order_relaxed);
  if (credit < bytes || context_.is_exact_.load(std::memory_order_relaxed))
    return context_.take_credit(*this, bytes);
  credit_.store(credit - bytes, std::memory_order_relaxed);
  return true;
}

void WorkerHeap::refund(std::int64_t bytes) noexcept {
  const std::int64_t credit = credit_.load(std::memory_order_relaxed) + bytes;
  std::int64_t kept = credit;
  if (context_.is_exact_.load(std::memory_order_relaxed)) {
    kept = 0;
  } else if (credit > 2 * context_.credit_batch_) {
    kept = context_.credit_batch_;
  }
  credit_.store(kept, std::memory_order_relaxed);
  if (kept != credit) context_.return_credit(credit - kept);
}

Block* WorkerHeap::allocate(std::int64_t bytes, bool* zeroed) noexcept {
  if (zeroed) *zeroed = false;
  const int size_class = size_class_for(bytes);
  if (size_class < 0 || !charge(counted(bytes))) return nullptr;
  Block* block;
  if (size_class < kNumSmallClasses) {
    FreeList& list = free_[static_cast<std::size_t>(size_class)];
    if (!list.first && list.fresh == list.fresh_end && !context_.refill(list, size_class)) {
      refund(counted(bytes));
      return nullptr;
    }
    if (list.first) {
      block = as_block(list.first);
      list.first = block->next;
      --list.num_blocks;
    } else {
      block = new (list.fresh) Block;
      block->size_class = static_cast<std::uint16_t>(size_class);
      list.fresh += class_bytes(size_class);
    }
  } else {
    block = context_.allocate_large(size_class, zeroed);
    if (!block) {
      refund(counted(bytes));
      return nullptr;
    }
  }
  block->requested_bytes = bytes;
  block->marks.store(0, std::memory_order_relaxed);
  allocated_bytes_ += bytes;
  WELD_UNPOISON(block->payload(), static_cast<std::size_t>(bytes));
  return block;
}

bool WorkerHeap::resize(Block* block, std::int64_t bytes) noexcept {
  const auto room = class_bytes(block->size_class) - static_cast<std::int64_t>(sizeof(Block));
  if (bytes < 0 || bytes > room) return false;
  const std::int64_t more = counted(bytes) - counted(block->requested_bytes);
  if (more > 0 && !charge(more)) return false;
  if (more < 0) refund(-more);
  allocated_bytes_ += std::max<std::int64_t>(more, 0);
  block->requested_bytes = bytes;
  WELD_POISON(block->payload(), static_cast<std::size_t>(room));
  WELD_UNPOISON(block->payload(), static_cast<std::size_t>(bytes));
  return true;
}

bool WorkerHeap::can_remap(const Block* block) noexcept {
  return is_mapped(block->size_class);
}

Block* WorkerHeap::remap(Block* block, std::int64_t used_bytes, std::int64_t bytes) noexcept {
  const int size_class = size_class_for(bytes);
  const std::int64_t more = bytes - block->requested_bytes;
  if (size_class < block->size_class || more <= 0 || !charge(more)) return nullptr;
  if (Block* cached = context_.take_cached(size_class, size_class + kClassesOfCachedGrowth)) {
    WELD_UNPOISON(cached->payload(), static_cast<std::size_t>(bytes));
    std::memcpy(cached->payload(), block->payload(), static_cast<std::size_t>(used_bytes));
    cached->requested_bytes = bytes;
    cached->marks.store(block->marks.load(std::memory_order_relaxed), std::memory_order_relaxed);
    link_beside(block, cached);
    unlink(block);
    recycle(block);
    allocated_bytes_ += more;
    return cached;
  }
  const std::int64_t old_bytes = large_allocation_bytes(block->size_class);
  const std::int64_t new_bytes = large_allocation_bytes(size_class);
  std::byte* old_base = large_base(block);
  std::byte* new_base = map_aligned(new_bytes, kHugePageBytes);
  WELD_UNPOISON(old_base, static_cast<std::size_t>(old_bytes));
  if (!new_base || mremap(old_base, static_cast<std::size_t>(old_bytes), static_cast<std::size_t>(new_bytes),
                          MREMAP_MAYMOVE | MREMAP_FIXED, new_base) == MAP_FAILED) {
    if (new_base) munmap(new_base, static_cast<std::size_t>(new_bytes));
    refund(more);
    return nullptr;
  }
  auto* moved = reinterpret_cast<Block*>(new_base + (reinterpret_cast<std::byte*>(block) - old_base));
  moved->size_class = static_cast<std::uint16_t>(size_class);
  moved->requested_bytes = bytes;
  moved->next->previous = moved;
  moved->previous->next = moved;
  allocated_bytes_ += more;
  return moved;
}

void WorkerHeap::recycle(Block* block) noexcept {
  const int size_class = block->size_class;
  if (size_class >= kNumSmallClasses) return context_.free_large(block);
  WELD_POISON(block->payload(), static_cast<std::size_t>(class_bytes(size_class)) - sizeof(Block));
  FreeList& list = free_[static_cast<std::size_t>(size_class)];
  block->next = list.first;
  list.first = block;
  if (++list.num_blocks > 2 * batch_blocks(size_class))
    context_.take_back(list, size_class, batch_blocks(size_class));
}

void WorkerHeap::free(Block* block) noexcept {
  const std::int64_t bytes = counted(block->requested_bytes);
  recycle(block);
  refund(bytes);
}

void WorkerHeap::free_all(BlockLink& list) noexcept {
  std::int64_t bytes = 0;
  for (BlockLink* link = list.next; link != &list;) {
    Block* block = as_block(link);
    link = link->next;
    bytes += counted(block->requested_bytes);
    recycle(block);
  }
  begin_list(list);
  if (bytes != 0) refund(bytes);
}

// --- Context

Context::Context(const ContextOptions& options)
    : limit_(options.memory_limit > 0 ? options.memory_limit : default_memory_limit()),
      cache_limit_(options.cache_bytes >= 0 ? options.cache_bytes : limit_ / 4),
      fail_at_(options.fail_allocation_at),
      fail_system_at_(options.fail_system_at),
      // Without credit every allocation comes to take_credit, where it can be counted.
      credit_batch_(fail_at_ > 0 ? 0 : std::min(kCreditBatchBytes, limit_ / 256)) {}

Context::~Context() {
  drop_idle_runs();
  evict(0);
  free_slabs();
}

std::int64_t Context::bytes_in_use() const noexcept {
  const std::lock_guard lock(mutex_);
  std::int64_t bytes = charged_.load(std::memory_order_relaxed);
  for (const WorkerHeap* heap = heaps_; heap; heap = heap->next_)
    bytes -= heap->credit_.load(std::memory_order_relaxed);
  return bytes;
}

void Context::reset_peak() noexcept {
  peak_bytes_.store(charged_.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

bool Context::is_nearly_full() const noexcept {
  return charged_.load(std::memory_order_relaxed) > limit_ - limit_ / 8;
}

// Charges bytes if they fit, `unused` ones of what is charged being free.
bool Context::try_charge(std::int64_t bytes, std::int64_t unused) noexcept {
  std::int64_t charged = charged_.load(std::memory_order_relaxed);
  do {
    if (bytes > limit_ - charged + unused) return false;
  } while (!charged_.compare_exchange_weak(charged, charged + bytes, std::memory_order_relaxed));
  charged += bytes;
  std::int64_t peak = peak_bytes_.load(std::memory_order_relaxed);
  while (charged > peak && !peak_bytes_.compare_exchange_weak(peak, charged, std::memory_order_relaxed)) {
  }
  return true;
}

bool Context::take_credit(WorkerHeap& heap, std::int64_t bytes) noexcept {
  if (fail_at_ > 0 && num_allocations_.fetch_add(1, std::memory_order_relaxed) + 1 == fail_at_) return false;
  const std::int64_t credit = heap.credit_.load(std::memory_order_relaxed);
  if (!is_exact_.load(std::memory_order_relaxed)) {
    if (bytes < credit_batch_ && try_charge(bytes + credit_batch_)) {
      heap.credit_.store(credit + credit_batch_, std::memory_order_relaxed);
      return true;
    }
    if (try_charge(bytes)) return true;
  }
  // Near the limit no credit is given or used, and what others still hold counts as free, so that only what
  // truly does not fit is refused.
  const std::lock_guard lock(mutex_);
  is_exact_.store(true, std::memory_order_relaxed);
  heap.credit_.store(0, std::memory_order_relaxed);
  return_credit(credit);
  std::int64_t unused = 0;
  std::int64_t num_heaps = 0;
  for (const WorkerHeap* other = heaps_; other; other = other->next_) {
    unused += other->credit_.load(std::memory_order_relaxed);
    ++num_heaps;
  }
  if (!try_charge(bytes, unused)) return false;
  const std::int64_t left = limit_ - charged_.load(std::memory_order_relaxed);
  if (left > limit_ / 8 + 4 * num_heaps * credit_batch_) is_exact_.store(false, std::memory_order_relaxed);
  return true;
}

Block* Context::take_cached(int size_class, int last) noexcept {
  const std::lock_guard lock(mutex_);
  last = std::min(last, kNumSizeClasses - 1);
  for (int candidate = size_class; candidate <= last; ++candidate) {
    BlockLink*& first = cached_[static_cast<std::size_t>(candidate)];
    if (!first) continue;
    Block* block = as_block(first);
    first = block->next;
    cached_bytes_.fetch_sub(class_bytes(candidate), std::memory_order_relaxed);
    return block;
  }
  return nullptr;
}

Block* Context::allocate_large(int size_class, bool* zeroed) noexcept {
  if (Block* block = take_cached(size_class, size_class + 1)) return block;
  const std::int64_t uncached = limit_ - charged_.load(std::memory_order_relaxed);
  if (cached_bytes_.load(std::memory_order_relaxed) > uncached) evict(std::max<std::int64_t>(uncached, 0));

  const std::int64_t bytes = large_allocation_bytes(size_class);
  std::byte* base = nullptr;
  if (may_ask_system())
    base = is_mapped(size_class) ? map_aligned(bytes, kHugePageBytes)
                                 : static_cast<std::byte*>(std::aligned_alloc(
                                       kCacheLineBytes, static_cast<std::size_t>((bytes + 63) / 64 * 64)));
  if (!base) {
    evict(0);
    return nullptr;
  }
  // Columns whose bases agree modulo 4 KiB fight for the same cache sets (up to 30 % on scans of several).
  const std::uint32_t stagger =
      next_stagger_.fetch_add(1, std::memory_order_relaxed) * 5 % (kStaggerLines - 1);
  auto* block = new (base + sizeof(Block) + stagger * kCacheLineBytes) Block;
  block->size_class = static_cast<std::uint16_t>(size_class);
  block->stagger = static_cast<std::uint16_t>(stagger);
  if (zeroed) *zeroed = is_mapped(size_class);
  WELD_POISON(block->payload(), static_cast<std::size_t>(class_bytes(size_class)) - sizeof(Block));
  return block;
}

void Context::free_large(Block* block) noexcept {
  const std::int64_t bytes = class_bytes(block->size_class);
  if (cached_bytes_.load(std::memory_order_relaxed) + bytes > cache_limit_) return free_to_system(block);
  WELD_POISON(block->payload(), static_cast<std::size_t>(bytes) - sizeof(Block));
  const std::lock_guard lock(mutex_);
  BlockLink*& first = cached_[block->size_class];
  block->next = first;
  first = block;
  cached_bytes_.fetch_add(bytes, std::memory_order_relaxed);
}

// Frees cached large blocks, the largest first, until at most that many bytes are cached.
void Context::evict(std::int64_t most_bytes) noexcept {
  BlockLink* evicted = nullptr;
  {
    const std::lock_guard lock(mutex_);
    std::int64_t bytes = cached_bytes_.load(std::memory_order_relaxed);
    for (int size_class = kNumSizeClasses - 1; size_class >= 0; --size_class) {
      BlockLink*& first = cached_[static_cast<std::size_t>(size_class)];
      while (first && bytes > most_bytes) {
        BlockLink* link = first;
        first = link->next;
        link->next = evicted;
        evicted = link;
        bytes -= class_bytes(size_class);
      }
    }
    cached_bytes_.store(bytes, std::memory_order_relaxed);
  }
  while (evicted) {
    Block* block = as_block(evicted);
    evicted = evicted->next;
    free_to_system(block);
  }
}

bool Context::may_ask_system() noexcept {
  return num_system_allocations_.fetch_add(1, std::memory_order_relaxed) + 1 != fail_system_at_;
}

Slab* Context::take_slab() noexcept {
  if (next_slab_ == slabs_end_) {
    // Chunks grow from 256 KiB to 4 MiB, where they come in huge pages.
    constexpr std::int64_t kFirstChunkBytes = 256 * 1024;
    const std::int64_t bytes =
        chunks_ ? std::min<std::int64_t>(chunks_->bytes * 2, 4 << 20) : kFirstChunkBytes;
    auto* chunk = may_ask_system() ? new (std::nothrow) SlabChunk : nullptr;
    std::byte* base =
        chunk ? map_aligned(bytes, bytes >= kHugePageBytes ? kHugePageBytes : kSlabBytes) : nullptr;
    if (!base) {
      delete chunk;
      return nullptr;
    }
    *chunk = {base, bytes, chunks_};
    chunks_ = chunk;
    next_slab_ = base;
    slabs_end_ = base + bytes;
    slab_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }
  auto* slab = new (next_slab_) Slab;
  next_slab_ += kSlabBytes;
  return slab;
}

bool Context::refill(WorkerHeap::FreeList& list, int size_class) noexcept {
  const std::lock_guard lock(mutex_);
  WorkerHeap::FreeList& ours = free_[static_cast<std::size_t>(size_class)];
  for (std::int64_t i = batch_blocks(size_class); i > 0 && ours.first; --i) {
    BlockLink* block = ours.first;
    ours.first = block->next;
    --ours.num_blocks;
    block->next = list.first;
    list.first = block;
    ++list.num_blocks;
  }
  if (list.first) return true;
  Slab* slab = take_slab();
  if (!slab) return false;
  slab->size_class = static_cast<std::uint32_t>(size_class);
  const std::int64_t bytes = class_bytes(size_class);
  list.fresh = reinterpret_cast<std::byte*>(slab) + kSlabHeaderBytes;
  list.fresh_end = list.fresh + (kSlabBytes - kSlabHeaderBytes) / bytes * bytes;
  return true;
}

void Context::take_back(WorkerHeap::FreeList& list, int size_class, std::int64_t num_blocks) noexcept {
  BlockLink* first = list.first;
  BlockLink* last = first;
  for (std::int64_t i = 1; i < num_blocks; ++i) last = last->next;
  list.first = last->next;
  list.num_blocks -= num_blocks;
  const std::lock_guard lock(mutex_);
  WorkerHeap::FreeList& ours = free_[static_cast<std::size_t>(size_class)];
  last->next = ours.first;
  ours.first = first;
  ours.num_blocks += num_blocks;
}

void Context::take_back_all(WorkerHeap& heap) noexcept {
  for (int size_class = 0; size_class < kNumSmallClasses; ++size_class) {
    WorkerHeap::FreeList& list = heap.free_[static_cast<std::size_t>(size_class)];
    for (; list.fresh != list.fresh_end; list.fresh += class_bytes(size_class)) {
      auto* block = new (list.fresh) Block;
      block->size_class = static_cast<std::uint16_t>(size_class);
      block->marks.store(0, std::memory_order_relaxed);
      WELD_POISON(block->payload(), static_cast<std::size_t>(class_bytes(size_class)) - sizeof(Block));
      block->next = list.first;
      list.first = block;
      ++list.num_blocks;
    }
    if (list.num_blocks > 0) take_back(list, size_class, list.num_blocks);
  }
}

void Context::add(WorkerHeap& heap) noexcept {
  const std::lock_guard lock(mutex_);
  heap.next_ = heaps_;
  if (heaps_) heaps_->previous_ = &heap;
  heaps_ = &heap;
}

void Context::remove(WorkerHeap& heap) noexcept {
  take_back_all(heap);
  const std::lock_guard lock(mutex_);
  return_credit(heap.credit_.load(std::memory_order_relaxed));
  (heap.previous_ ? heap.previous_->next_ : heaps_) = heap.next_;
  if (heap.next_) heap.next_->previous_ = heap.previous_;
}

void Context::release(BlockLink& list) noexcept {
  BlockLink large;
  begin_list(large);
  bool is_idle = false;
  {
    const std::lock_guard lock(mutex_);
    std::int64_t bytes = 0;
    for (BlockLink* link = list.next; link != &list;) {
      Block* block = as_block(link);
      link = link->next;
      bytes += counted(block->requested_bytes);
      const int size_class = block->size_class;
      if (size_class >= kNumSmallClasses) {
        link_last(large, block);
        continue;
      }
      WELD_POISON(block->payload(), static_cast<std::size_t>(class_bytes(size_class)) - sizeof(Block));
      WorkerHeap::FreeList& ours = free_[static_cast<std::size_t>(size_class)];
      block->next = ours.first;
      ours.first = block;
      ++ours.num_blocks;
    }
    begin_list(list);
    return_credit(bytes);
    if (slab_bytes_.load(std::memory_order_relaxed) > cache_limit_) {
      std::int64_t used = charged_.load(std::memory_order_relaxed);
      for (const WorkerHeap* heap = heaps_; heap; heap = heap->next_)
        used -= heap->credit_.load(std::memory_order_relaxed);
      is_idle = used == 0;
    }
  }
  for (BlockLink* link = large.next; link != &large;) {
    Block* block = as_block(link);
    link = link->next;
    free_large(block);
  }
  if (is_idle) {
    drop_idle_runs();
    free_slabs();
  }
}

// The slabs go only when nobody has a heap, and so nobody runs, and no block is in use.
void Context::free_slabs() noexcept {
  const std::lock_guard lock(mutex_);
  if (heaps_ || charged_.load(std::memory_order_relaxed) != 0) return;
  while (chunks_) {
    SlabChunk* chunk = chunks_;
    chunks_ = chunk->next;
    WELD_UNPOISON(chunk->base, static_cast<std::size_t>(chunk->bytes));
    munmap(chunk->base, static_cast<std::size_t>(chunk->bytes));
    delete chunk;
  }
  next_slab_ = slabs_end_ = nullptr;
  slab_bytes_.store(0, std::memory_order_relaxed);
  free_.fill({});
}

void Context::trim() noexcept {
  drop_idle_runs();
  evict(0);
  free_slabs();
}

void Context::drop_idle_runs() noexcept {
  for (std::atomic<RunContext*>& slot : pooled_runs_)
    delete slot.exchange(nullptr, std::memory_order_acquire);
}

}  // namespace weld::runtime
