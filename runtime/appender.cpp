#include <algorithm>
#include <cstring>

#include "runtime/calls.h"
#include "runtime/morsel_loop.h"
#include "runtime/parallel_copy.h"
#include "runtime/run_context.h"

namespace weld::runtime {
namespace {

constexpr std::int64_t kMinBytes = 64;
constexpr std::int64_t kTrustedBytes = 1 << 20;
constexpr std::int64_t kMaxBytes = std::int64_t{1} << 46;
constexpr std::int64_t kParallelBytes = 1 << 20;

// Makes room for `capacity` elements.
ErrorCode reserve(Worker* worker, AppenderState& appender, std::int64_t element_bytes,
                  std::int64_t capacity) noexcept {
  if (capacity > kMaxBytes / std::max<std::int64_t>(element_bytes, 1)) return ErrorCode::kOutOfMemory;
  std::byte* data = weld_rt_grow(worker, appender.data, appender.length * element_bytes,
                                 std::max(capacity * element_bytes, kMinBytes));
  if (!data) return ErrorCode::kOutOfMemory;
  appender.data = data;
  appender.capacity = capacity;
  return ErrorCode::kSuccess;
}

// Vectors of up to so many bytes share blocks, the first of a scope's list, which grow to the larger size.
constexpr std::int64_t kMaxGatheredBytes = 512;
constexpr std::int64_t kFirstGatheringBytes = 4 * 1024;
constexpr std::int64_t kGatheringBytes = 64 * 1024;

struct Gathering {
  std::byte* next;
  std::byte* end;
};

// The scope's shared block, if it has room; null otherwise.
Gathering* gathering_of(Scope& scope, std::int64_t bytes, std::int64_t& size) noexcept {
  if (scope.empty()) return nullptr;
  auto* block = static_cast<Block*>(scope.blocks.next);
  if (!(block->marks.load(std::memory_order_relaxed) & kGatheredMark)) return nullptr;
  auto* gathering = reinterpret_cast<Gathering*>(block->payload());
  size = std::min(block->requested_bytes * 2, kGatheringBytes);
  return gathering->end - gathering->next >= bytes ? gathering : nullptr;
}

Gathering* new_gathering(Worker* worker, std::int64_t size) noexcept {
  Block* block = state_of(worker).heap.allocate(size);
  if (!block) return nullptr;
  block->marks.store(kGatheredMark, std::memory_order_relaxed);
  link_last(*worker->scope->blocks.next, block);
  auto* gathering = reinterpret_cast<Gathering*>(block->payload());
  *gathering = {block->payload() + sizeof(Gathering), block->payload() + size};
  return gathering;
}

struct Concat {
  std::byte* to;
  AppenderState* partials;
  std::int64_t stride_bytes;
  std::int64_t element_bytes;
  const std::int64_t* offsets;  // in elements

  AppenderState& partial(std::int64_t index) const {
    return *reinterpret_cast<AppenderState*>(reinterpret_cast<std::byte*>(partials) + index * stride_bytes);
  }

  static ErrorCode run(Worker* worker, void* captures, std::int64_t index, std::int64_t, void*) {
    const auto& concat = *static_cast<const Concat*>(captures);
    AppenderState& partial = concat.partial(index);
    if (partial.length > 0) {
      const ErrorCode code = copy_bytes(*worker, concat.to + concat.offsets[index] * concat.element_bytes,
                                        partial.data, partial.length * concat.element_bytes);
      if (code != ErrorCode::kSuccess) return code;
    }
    weld_rt_free(worker, partial.data);
    partial = {};
    return ErrorCode::kSuccess;
  }
};

}  // namespace

extern "C" {

ErrorCode weld_rt_appender_new(Worker* worker, AppenderState* appender, std::int64_t element_bytes,
                               std::int64_t expected_elements) noexcept {
  const std::int64_t size = std::max<std::int64_t>(element_bytes, 1);
  *appender = {};
  return reserve(worker, *appender, element_bytes,
                 std::clamp(expected_elements, (kMinBytes + size - 1) / size,
                            std::max(kTrustedBytes / size, (kMinBytes + size - 1) / size)));
}

ErrorCode weld_rt_appender_grow(Worker* worker, AppenderState* appender, std::int64_t element_bytes,
                                std::int64_t more) noexcept {
  if (more > INT64_MAX - appender->length) return ErrorCode::kOutOfMemory;
  const std::int64_t wanted = appender->length + more;
  if (wanted <= appender->capacity) return ErrorCode::kSuccess;
  // Doubling, and what is needed at least; only that where the double is refused.
  const std::int64_t doubled = std::max(wanted, std::min(appender->capacity, kMaxBytes) * 2);
  ErrorCode code = reserve(worker, *appender, element_bytes, doubled);
  if (code != ErrorCode::kSuccess && doubled > wanted)
    code = reserve(worker, *appender, element_bytes, wanted);
  return code;
}

std::byte* weld_rt_appender_gather(Worker* worker, std::byte* data, std::int64_t bytes) noexcept {
  std::byte* gathered = nullptr;
  if (bytes > 0) {
    const std::int64_t room = (bytes + 15) / 16 * 16;
    std::int64_t size = kFirstGatheringBytes;
    if (bytes > kMaxGatheredBytes) return data;
    Gathering* gathering = gathering_of(*worker->scope, room, size);
    if (!gathering) gathering = new_gathering(worker, size);
    if (!gathering) return data;
    gathered = gathering->next;
    gathering->next += room;
    std::memcpy(gathered, data, static_cast<std::size_t>(bytes));
  }
  weld_rt_free(worker, data);
  return gathered;
}

ErrorCode weld_rt_appender_concat(Worker* worker, AppenderState* into, AppenderState* partials,
                                  std::int64_t stride_bytes, std::int64_t num_partials,
                                  std::int64_t element_bytes) noexcept {
  Concat concat{nullptr, partials, stride_bytes, element_bytes, nullptr};
  std::int64_t total = into->length;
  std::int64_t num_filled = 0;
  std::int64_t last_filled = 0;
  for (std::int64_t i = 0; i < num_partials; ++i) {
    const std::int64_t length = concat.partial(i).length;
    if (length == 0) continue;
    if (length > INT64_MAX - total) return ErrorCode::kOutOfMemory;
    total += length;
    ++num_filled;
    last_filled = i;
  }
  if (num_filled == 0) return ErrorCode::kSuccess;
  if (num_filled == 1 && into->length == 0) {
    AppenderState& partial = concat.partial(last_filled);
    weld_rt_replace(worker, into->data, partial.data);
    *into = partial;
    partial = {};
    return ErrorCode::kSuccess;
  }

  // What the partials have no elements for goes before there is a second copy of the elements.
  WorkerHeap& heap = state_of(worker).heap;
  for (std::int64_t i = 0; i < num_partials; ++i) {
    AppenderState& partial = concat.partial(i);
    if (partial.capacity > partial.length) weld_rt_trim(worker, partial.data, partial.length * element_bytes);
    partial.capacity = partial.length;
  }
  Block* offsets = heap.allocate(num_partials * 8);
  if (!offsets) return ErrorCode::kOutOfMemory;
  auto* offset = reinterpret_cast<std::int64_t*>(offsets->payload());
  std::int64_t length = into->length;
  for (std::int64_t i = 0; i < num_partials; ++i) {
    offset[i] = length;
    length += concat.partial(i).length;
  }
  ErrorCode code = ErrorCode::kSuccess;
  if (total > into->capacity) code = reserve(worker, *into, element_bytes, total);
  if (code == ErrorCode::kSuccess) {
    concat.to = into->data;
    concat.offsets = offset;
    if ((total - into->length) * element_bytes >= kParallelBytes) {
      code = for_each_morsel(*worker, num_partials, 1, Concat::run, &concat);
    } else {
      for (std::int64_t i = 0; i < num_partials; ++i)
        static_cast<void>(Concat::run(worker, &concat, i, i + 1, nullptr));
    }
  }
  if (code == ErrorCode::kSuccess) into->length = total;
  heap.free(offsets);
  return code;
}

}  // extern "C"
}  // namespace weld::runtime
