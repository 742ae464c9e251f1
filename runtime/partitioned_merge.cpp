#include "runtime/partitioned_merge.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

#include "ir/reduction_order.h"
#include "ir/target_info.h"
#include "runtime/calls.h"
#include "runtime/loop_statistics.h"
#include "runtime/morsel_loop.h"
#include "runtime/run_context.h"

namespace weld::runtime {
namespace {

constexpr std::int64_t kRangeBytes = 512 * 1024;  // of the vector: half of a second-level cache
constexpr std::int64_t kMaxRanges = 2048;
constexpr std::int64_t kMorselBytes = std::int64_t{512} << 10;  // of records: they stay in the cache
constexpr std::int64_t kWaveBytes = std::int64_t{4} << 20;      // of records, at least
constexpr std::int64_t kLineBytes = 64;
constexpr std::int64_t kMaxCopiesBytes = std::int64_t{64} << 20;  // of all threads, where the caches allow it
// Of the vector for each thread. Recording takes three times as long as merging into a vector in the cache:
// two threads gain from 5 MB on (20 M rows into 1 M sums of f64: 108 ms on one thread, 82 on two; 50 M: 352,
// 233).
constexpr std::int64_t kMinPartitionedBytes = std::int64_t{10} << 20;

std::int64_t ceil_divide(std::int64_t value, std::int64_t divisor) {
  return (value + divisor - 1) / divisor;
}

// Morsels whose records are applied together.
struct Wave {
  const LoopDescriptor& descriptor;
  const VecMergerLoop& loop;
  void* captures;
  VecView vector;
  std::int64_t num_iterations;
  std::int64_t morsel_iterations;
  int range_shift;  // elements of a range, as a power of two
  std::int64_t num_ranges;
  std::byte* records;     // of each morsel, by ranges
  std::uint32_t* begins;  // of each morsel num_ranges + 1: where the records of a range begin
  std::int64_t first_morsel = 0;
  std::int64_t num_morsels = 0;

  std::int64_t morsel_records() const { return morsel_iterations * loop.most_merges; }
  std::byte* records_of(std::int64_t morsel) const {
    return records + morsel * morsel_records() * loop.record_bytes;
  }
  std::uint32_t* begins_of(std::int64_t morsel) const { return begins + morsel * (num_ranges + 1); }

  static ErrorCode record(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& wave = *static_cast<const Wave*>(self);
    for (std::int64_t morsel = begin; morsel < end; ++morsel) {
      const ErrorCode code = wave.record_morsel(*worker, morsel);
      if (code != ErrorCode::kSuccess) return code;
    }
    return ErrorCode::kSuccess;
  }

  ErrorCode record_morsel(Worker& worker, std::int64_t morsel) const {
    std::byte* unsorted = weld_rt_allocate(&worker, morsel_records() * loop.record_bytes);
    if (!unsorted) return ErrorCode::kOutOfMemory;
    MergeRecorder recorder{unsorted, 0};
    VecView state{reinterpret_cast<std::byte*>(&recorder), vector.length};
    const std::int64_t begin = (first_morsel + morsel) * morsel_iterations;
    const std::int64_t end = begin + std::min(morsel_iterations, num_iterations - begin);
    const ErrorCode code = loop.record(&worker, captures, begin, end, &state);
    if (code == ErrorCode::kSuccess) sort(morsel, recorder);
    weld_rt_free(&worker, unsorted);
    return code;
  }

  void sort(std::int64_t morsel, const MergeRecorder& recorder) const {
    std::uint32_t* places = begins_of(morsel);
    std::fill_n(places, num_ranges + 1, 0);
    for (std::int64_t i = 0; i < recorder.count; ++i) ++places[range_of(recorder, i) + 1];
    for (std::int64_t range = 0; range < num_ranges; ++range) places[range + 1] += places[range];
    // Each begin moves to its range's end, which is the next one's begin.
    std::byte* sorted = records_of(morsel);
    if (loop.record_bytes == 16)
      scatter(recorder, sorted, places,
              [](std::byte* to, const std::byte* from, std::int64_t) { std::memcpy(to, from, 16); });
    else
      scatter(recorder, sorted, places, [](std::byte* to, const std::byte* from, std::int64_t bytes) {
        std::memcpy(to, from, static_cast<std::size_t>(bytes));
      });
    std::memmove(places + 1, places, static_cast<std::size_t>(num_ranges) * sizeof *places);
    places[0] = 0;
  }

  template <class Copy>
  void scatter(const MergeRecorder& recorder, std::byte* sorted, std::uint32_t* places, Copy copy) const {
    const std::int64_t bytes = loop.record_bytes;
    for (std::int64_t i = 0; i < recorder.count; ++i) {
      const std::int64_t place = places[range_of(recorder, i)]++;
      copy(sorted + place * bytes, recorder.records + i * bytes, bytes);
    }
  }

  std::int64_t range_of(const MergeRecorder& recorder, std::int64_t i) const {
    std::int64_t index;
    std::memcpy(&index, recorder.records + i * loop.record_bytes, sizeof index);
    return index >> range_shift;
  }

  static ErrorCode apply(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& wave = *static_cast<const Wave*>(self);
    for (std::int64_t range = begin; range < end; ++range) {
      const ErrorCode code = wave.apply_range(*worker, range);
      if (code != ErrorCode::kSuccess) return code;
    }
    return ErrorCode::kSuccess;
  }

  ErrorCode apply_range(Worker& worker, std::int64_t range) const {
    fetch_range(range);
    for (std::int64_t morsel = 0; morsel < num_morsels; ++morsel) {
      fetch_records(morsel + 1, range);
      const std::uint32_t* places = begins_of(morsel) + range;
      if (places[0] == places[1]) continue;
      const ErrorCode code = loop.apply(
          &worker, vector.data, records_of(morsel) + places[0] * loop.record_bytes, places[1] - places[0]);
      if (code != ErrorCode::kSuccess) return code;
    }
    return ErrorCode::kSuccess;
  }

  // One line after the other comes from memory sooner than in the order of the records.
  void fetch_range(std::int64_t range) const {
    const std::int64_t first = range << range_shift;
    const std::int64_t elements = std::min(std::int64_t{1} << range_shift, vector.length - first);
    std::int64_t num_records = 0;
    for (std::int64_t morsel = 0; morsel < num_morsels; ++morsel)
      num_records += begins_of(morsel)[range + 1] - begins_of(morsel)[range];
    const std::int64_t bytes = elements * loop.element_bytes;
    if (num_records * kLineBytes < bytes / 2) return;
    const std::byte* data = vector.data + first * loop.element_bytes;
    for (std::int64_t offset = 0; offset < bytes; offset += kLineBytes)
      __builtin_prefetch(data + offset, 1, 2);
  }

  void fetch_records(std::int64_t morsel, std::int64_t range) const {
    if (morsel >= num_morsels) return;
    const std::uint32_t* places = begins_of(morsel) + range;
    const std::byte* data = records_of(morsel);
    for (std::int64_t offset = places[0] * loop.record_bytes; offset < places[1] * loop.record_bytes;
         offset += kLineBytes)
      __builtin_prefetch(data + offset);
  }
};

struct BlockHolder {
  Worker& worker;
  std::byte* block;
  ~BlockHolder() { weld_rt_free(&worker, block); }
};

const char* name_of(VecMergerStrategy strategy) {
  switch (strategy) {
    case VecMergerStrategy::kDirect:
      return "direct";
    case VecMergerStrategy::kPrivate:
      return "private";
    case VecMergerStrategy::kPartitioned:
      return "partitioned";
  }
  return "";
}

VecMergerStrategy choose(const WorkerState& worker, const VecMergerLoop& loop, bool ordered,
                         std::int64_t num_iterations, std::int64_t num_blocks, std::int64_t length) {
  const ir::TargetInfo& machine = ir::host_target();
  const std::int64_t threads = worker.may_fork ? worker.run->settings().threads : 1;
  const std::int64_t bytes = length * loop.element_bytes;
  const bool can_partition = loop.record != nullptr;
  const VecMergerStrategy partitioned = VecMergerStrategy::kPartitioned;
  const VecMergerForced forced =
      loop.forced == VecMergerForced::kNone ? worker.run->settings().vecmerger : loop.forced;
  if (forced == VecMergerForced::kDirect) return VecMergerStrategy::kDirect;
  if (forced == VecMergerForced::kPartitioned && can_partition) return partitioned;
  const bool copies_are_small = length <= num_blocks * 2 * ir::kVectorElementsPerBlock;
  if (!ordered && threads > 1) {
    if (forced == VecMergerForced::kLocal) return VecMergerStrategy::kPrivate;
    if (copies_are_small && bytes * threads <= std::min(2 * machine.l3_bytes, kMaxCopiesBytes))
      return VecMergerStrategy::kPrivate;
  }
  // Each range has to be worth its way into the cache.
  const bool is_dense = num_iterations >= bytes / kLineBytes;
  if (can_partition && is_dense && threads > 1 && bytes * threads >= kMinPartitionedBytes) return partitioned;
  return !ordered && threads > 1 && copies_are_small ? VecMergerStrategy::kPrivate
                                                     : VecMergerStrategy::kDirect;
}

}  // namespace

VecMergerStrategy choose_vecmerger_strategy(Worker& worker, const VecMergerLoop& loop, bool ordered,
                                            std::int64_t num_iterations, std::int64_t num_blocks,
                                            std::int64_t length) noexcept {
  const VecMergerStrategy strategy =
      choose(state_of(worker), loop, ordered, num_iterations, num_blocks, length);
  note_strategy(worker, StrategyOf::kVecMerger, name_of(strategy));
  return strategy;
}

ErrorCode run_partitioned(Worker& worker, const LoopDescriptor& descriptor, const VecMergerLoop& loop,
                          void* captures, std::int64_t num_iterations, VecView& state) noexcept {
  if (state.length == 0) return descriptor.body(&worker, captures, 0, num_iterations, &state);
  const auto elements =
      static_cast<std::uint64_t>(std::max<std::int64_t>(kRangeBytes / loop.element_bytes, 1));
  int shift = std::bit_width(elements) - 1;
  while (((state.length - 1) >> shift) >= kMaxRanges) ++shift;
  const std::int64_t block = descriptor.block_iterations;
  const std::int64_t wanted = kMorselBytes / (loop.record_bytes * loop.most_merges);
  Wave wave{.descriptor = descriptor,
            .loop = loop,
            .captures = captures,
            .vector = state,
            .num_iterations = num_iterations,
            .morsel_iterations = std::max<std::int64_t>(wanted / block, 1) * block,
            .range_shift = shift,
            .num_ranges = ((state.length - 1) >> shift) + 1,
            .records = nullptr,
            .begins = nullptr};
  const std::int64_t morsel_bytes = wave.morsel_records() * loop.record_bytes;
  const std::int64_t all_morsels = ceil_divide(num_iterations, wave.morsel_iterations);
  const std::int64_t wave_bytes = std::max(kWaveBytes, state.length * loop.element_bytes / 2);
  const std::int64_t wave_morsels = std::min(
      all_morsels, std::max<std::int64_t>(wave_bytes / morsel_bytes, worker.run->settings().threads));
  wave.records = weld_rt_allocate(&worker, wave_morsels * morsel_bytes);
  const BlockHolder records{worker, wave.records};
  wave.begins = reinterpret_cast<std::uint32_t*>(weld_rt_allocate(
      &worker, wave_morsels * (wave.num_ranges + 1) * static_cast<std::int64_t>(sizeof(std::uint32_t))));
  const BlockHolder begins{worker, reinterpret_cast<std::byte*>(wave.begins)};
  if (!wave.records || !wave.begins) return descriptor.body(&worker, captures, 0, num_iterations, &state);

  for (; wave.first_morsel < all_morsels; wave.first_morsel += wave_morsels) {
    wave.num_morsels = std::min(wave_morsels, all_morsels - wave.first_morsel);
    ErrorCode code = for_each_morsel(worker, wave.num_morsels, 1, Wave::record, &wave);
    if (code == ErrorCode::kSuccess) code = for_each_morsel(worker, wave.num_ranges, 1, Wave::apply, &wave);
    if (code != ErrorCode::kSuccess) return code;
  }
  return ErrorCode::kSuccess;
}

extern "C" {

std::uint32_t weld_rt_vecmerger_strategy(Worker* worker, const VecMergerLoop* loop, bool ordered,
                                         std::int64_t num_iterations, std::int64_t num_blocks,
                                         std::int64_t length) noexcept {
  return static_cast<std::uint32_t>(
      choose_vecmerger_strategy(*worker, *loop, ordered, num_iterations, num_blocks, length));
}

ErrorCode weld_rt_run_partitioned(Worker* worker, const LoopDescriptor* descriptor, const VecMergerLoop* loop,
                                  void* captures, std::int64_t num_iterations, VecView* state) noexcept {
  return run_partitioned(*worker, *descriptor, *loop, captures, num_iterations, *state);
}

}  // extern "C"
}  // namespace weld::runtime
