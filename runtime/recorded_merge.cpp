#include "runtime/recorded_merge.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <expected>
#include <memory>

#include "ir/reduction_order.h"
#include "ir/target_info.h"
#include "runtime/calls.h"
#include "runtime/cycles.h"
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
// Vectors past a second-level cache are merged into by records whose lines were asked for (20 M rows into
// sums of i64, in ms: 4 M places directly 111, in partitions on two threads 108, atomically 88; 20 M 267,
// 221, 113; 5 M rows into 100 M places 83, 148, 39).
constexpr std::int64_t kMinStagedBytes = std::int64_t{16} << 20;
constexpr std::int64_t kStagedRunBytes = std::int64_t{64} << 10;  // of records: they stay in the cache
constexpr std::int64_t kRunsOfAtomicMorsel = 8;
constexpr std::int64_t kMorselsOfAtomicPart = 4;
// The first blocks merge directly. Where that is cheap, the lines are in the cache or come one after the
// other, and records would only cost more (1.5 M rows in the order of 6 M places of i8: 2 ms directly, 5 in
// partitions on two threads).
constexpr std::int64_t kSampledBlocks = 8;
constexpr double kCheapCycles = 8;        // an iteration
constexpr double kContendedCycles = 150;  // a record takes more only where threads wait for each other

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
  std::int64_t first_iteration;
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
    const std::int64_t begin = first_iteration + (first_morsel + morsel) * morsel_iterations;
    const std::int64_t end = std::min(begin + morsel_iterations, num_iterations);
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

// Iterations whose records are merged as soon as there are a few.
struct StagedPart {
  const LoopDescriptor& descriptor;
  const VecMergerLoop& loop;
  void* captures;
  ErrorCode (*apply)(Worker* worker, std::byte* data, const std::byte* records, std::int64_t count);
  VecView vector;
  std::int64_t first_iteration;
  std::int64_t run_iterations;  // whose records are merged together
  std::atomic<std::int64_t> num_records{0};
  std::atomic<std::uint64_t> cycles{0};  // merging them took

  static ErrorCode merge(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    return static_cast<StagedPart*>(self)->merge_morsel(*worker, begin, end);
  }

  ErrorCode merge_morsel(Worker& worker, std::int64_t begin, std::int64_t end) {
    std::byte* records = weld_rt_allocate(&worker, run_iterations * loop.most_merges * loop.record_bytes);
    if (!records) return ErrorCode::kOutOfMemory;
    ErrorCode code = ErrorCode::kSuccess;
    for (std::int64_t i = begin; i < end && code == ErrorCode::kSuccess; i += run_iterations)
      code = merge_run(worker, i, std::min(i + run_iterations, end), records);
    weld_rt_free(&worker, records);
    return code;
  }

  ErrorCode merge_run(Worker& worker, std::int64_t begin, std::int64_t end, std::byte* records) {
    MergeRecorder recorder{records, 0};
    VecView state{reinterpret_cast<std::byte*>(&recorder), vector.length};
    ErrorCode code = loop.record(&worker, captures, first_iteration + begin, first_iteration + end, &state);
    if (code != ErrorCode::kSuccess || recorder.count == 0) return code;
    const std::uint64_t started = cycles_now();
    code = apply(&worker, vector.data, records, recorder.count);
    cycles.fetch_add(cycles_now() - started, std::memory_order_relaxed);
    num_records.fetch_add(recorder.count, std::memory_order_relaxed);
    return code;
  }

  bool is_contended() const {
    return static_cast<double>(cycles) > kContendedCycles * static_cast<double>(num_records);
  }
};

std::int64_t staged_run_iterations(const LoopDescriptor& descriptor, const VecMergerLoop& loop) {
  const std::int64_t block = descriptor.block_iterations;
  const std::int64_t wanted = kStagedRunBytes / (loop.record_bytes * loop.most_merges);
  return std::max<std::int64_t>(wanted / block, 1) * block;
}

// On this thread.
ErrorCode run_staged(Worker& worker, const LoopDescriptor& descriptor, const VecMergerLoop& loop,
                     void* captures, std::int64_t first_iteration, std::int64_t num_iterations,
                     VecView vector) {
  StagedPart part{.descriptor = descriptor,
                  .loop = loop,
                  .captures = captures,
                  .apply = loop.apply,
                  .vector = vector,
                  .first_iteration = first_iteration,
                  .run_iterations = staged_run_iterations(descriptor, loop)};
  return part.merge_morsel(worker, 0, num_iterations - first_iteration);
}

// Runs iterations from the first one on until threads are in each other's way; where they stopped.
std::expected<std::int64_t, ErrorCode> run_atomically(Worker& worker, const LoopDescriptor& descriptor,
                                                      const VecMergerLoop& loop, void* captures,
                                                      std::int64_t first_iteration,
                                                      std::int64_t num_iterations, VecView vector) {
  const std::int64_t run = staged_run_iterations(descriptor, loop);
  const std::int64_t morsel = kRunsOfAtomicMorsel * run;
  std::int64_t part_iterations = kMorselsOfAtomicPart * state_of(worker).run->settings().threads * morsel;
  std::int64_t done = first_iteration;
  for (; done < num_iterations; part_iterations *= 2) {
    StagedPart part{.descriptor = descriptor,
                    .loop = loop,
                    .captures = captures,
                    .apply = loop.apply_atomically,
                    .vector = vector,
                    .first_iteration = done,
                    .run_iterations = run};
    const std::int64_t count = std::min(part_iterations, num_iterations - done);
    const ErrorCode code = for_each_morsel(worker, count, morsel, StagedPart::merge, &part);
    if (code != ErrorCode::kSuccess) return std::unexpected(code);
    done += count;
    if (part.is_contended()) break;
  }
  return done;
}

struct BlockHolder {
  Worker& worker;
  std::byte* block;
  ~BlockHolder() { weld_rt_free(&worker, block); }
};

bool is_recorded(VecMergerStrategy strategy) {
  return strategy != VecMergerStrategy::kDirect && strategy != VecMergerStrategy::kPrivate;
}

const char* name_of(VecMergerStrategy strategy) {
  switch (strategy) {
    case VecMergerStrategy::kDirect:
      return "direct";
    case VecMergerStrategy::kPrivate:
      return "private";
    case VecMergerStrategy::kStaged:
      return "staged";
    case VecMergerStrategy::kAtomic:
      return "atomic";
    case VecMergerStrategy::kPartitioned:
      return "partitioned";
  }
  return "";
}

VecMergerForced forced_strategy(const WorkerState& worker, const VecMergerLoop& loop) {
  return loop.forced == VecMergerForced::kNone ? worker.run->settings().vecmerger : loop.forced;
}

VecMergerStrategy choose(const WorkerState& worker, const VecMergerLoop& loop, bool ordered,
                         std::int64_t num_iterations, std::int64_t num_blocks, std::int64_t length) {
  const ir::TargetInfo& machine = ir::host_target();
  const std::int64_t threads = worker.may_fork ? worker.run->settings().threads : 1;
  const std::int64_t bytes = length * loop.element_bytes;
  const bool may_record = loop.record != nullptr;
  const bool can_merge_atomically = may_record && loop.apply_atomically && !ordered && threads > 1;
  const VecMergerForced forced = forced_strategy(worker, loop);
  using enum VecMergerStrategy;
  if (forced == VecMergerForced::kDirect) return kDirect;
  if (forced == VecMergerForced::kPartitioned && may_record) return kPartitioned;
  if (forced == VecMergerForced::kGlobal && can_merge_atomically) return kAtomic;
  if (forced == VecMergerForced::kLocal && !ordered && threads > 1) return kPrivate;

  const bool is_large = bytes >= kMinStagedBytes;
  if (can_merge_atomically && is_large) return kAtomic;
  const bool copies_are_small = length <= num_blocks * 2 * ir::kVectorElementsPerBlock;
  const bool may_copy = !ordered && threads > 1 && copies_are_small;
  if (may_copy && bytes * threads <= std::min(2 * machine.l3_bytes, kMaxCopiesBytes)) return kPrivate;
  // Each range has to be worth its way into the cache.
  const bool is_dense = num_iterations >= bytes / kLineBytes;
  if (may_record && is_dense && threads > 1 && bytes * threads >= kMinPartitionedBytes) return kPartitioned;
  if (may_copy) return kPrivate;
  return may_record && is_large ? kStaged : kDirect;
}

// The iterations from the first one on.
ErrorCode run_partitioned(Worker& worker, const LoopDescriptor& descriptor, const VecMergerLoop& loop,
                          void* captures, std::int64_t first_iteration, std::int64_t num_iterations,
                          VecView& state) {
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
            .first_iteration = first_iteration,
            .range_shift = shift,
            .num_ranges = ((state.length - 1) >> shift) + 1,
            .records = nullptr,
            .begins = nullptr};
  const std::int64_t morsel_bytes = wave.morsel_records() * loop.record_bytes;
  const std::int64_t all_morsels = ceil_divide(num_iterations - first_iteration, wave.morsel_iterations);
  const std::int64_t wave_bytes = std::max(kWaveBytes, state.length * loop.element_bytes / 2);
  const std::int64_t wave_morsels = std::min(
      all_morsels, std::max<std::int64_t>(wave_bytes / morsel_bytes, worker.run->settings().threads));
  wave.records = weld_rt_allocate(&worker, wave_morsels * morsel_bytes);
  const BlockHolder records{worker, wave.records};
  wave.begins = reinterpret_cast<std::uint32_t*>(weld_rt_allocate(
      &worker, wave_morsels * (wave.num_ranges + 1) * static_cast<std::int64_t>(sizeof(std::uint32_t))));
  const BlockHolder begins{worker, reinterpret_cast<std::byte*>(wave.begins)};
  if (!wave.records || !wave.begins)
    return descriptor.body(&worker, captures, first_iteration, num_iterations, &state);

  for (; wave.first_morsel < all_morsels; wave.first_morsel += wave_morsels) {
    wave.num_morsels = std::min(wave_morsels, all_morsels - wave.first_morsel);
    ErrorCode code = for_each_morsel(worker, wave.num_morsels, 1, Wave::record, &wave);
    if (code == ErrorCode::kSuccess) code = for_each_morsel(worker, wave.num_ranges, 1, Wave::apply, &wave);
    if (code != ErrorCode::kSuccess) return code;
  }
  return ErrorCode::kSuccess;
}

}  // namespace

VecMergerStrategy choose_vecmerger_strategy(Worker& worker, const VecMergerLoop& loop, bool ordered,
                                            std::int64_t num_iterations, std::int64_t num_blocks,
                                            std::int64_t length) noexcept {
  const VecMergerStrategy strategy =
      choose(state_of(worker), loop, ordered, num_iterations, num_blocks, length);
  if (!is_recorded(strategy)) note_strategy(worker, StrategyOf::kVecMerger, name_of(strategy));
  return strategy;
}

ErrorCode run_recorded(Worker& worker, const LoopDescriptor& descriptor, const VecMergerLoop& loop,
                       VecMergerStrategy strategy, void* captures, std::int64_t num_iterations,
                       VecView& state) noexcept {
  const auto note = [&](VecMergerStrategy taken) {
    note_strategy(worker, StrategyOf::kVecMerger, name_of(taken));
  };
  const auto run_directly = [&](std::int64_t begin, std::int64_t end) {
    return descriptor.body(&worker, captures, begin, end, &state);
  };
  if (state.length == 0) return run_directly(0, num_iterations);
  std::int64_t done = 0;
  const std::int64_t sampled = kSampledBlocks * descriptor.block_iterations;
  if (forced_strategy(state_of(worker), loop) == VecMergerForced::kNone && num_iterations > sampled) {
    const std::uint64_t started = cycles_now();
    if (const ErrorCode code = run_directly(0, sampled); code != ErrorCode::kSuccess) return code;
    done = sampled;
    if (static_cast<double>(cycles_now() - started) < kCheapCycles * static_cast<double>(sampled)) {
      note(VecMergerStrategy::kDirect);
      return run_directly(done, num_iterations);
    }
  }
  note(strategy);
  if (strategy == VecMergerStrategy::kStaged)
    return run_staged(worker, descriptor, loop, captures, done, num_iterations, state);
  if (strategy == VecMergerStrategy::kAtomic) {
    const auto merged = run_atomically(worker, descriptor, loop, captures, done, num_iterations, state);
    if (!merged) return merged.error();
    done = *merged;
    if (done == num_iterations) return ErrorCode::kSuccess;
    note(VecMergerStrategy::kPartitioned);
  }
  return run_partitioned(worker, descriptor, loop, captures, done, num_iterations, state);
}

extern "C" {

std::uint32_t weld_rt_vecmerger_strategy(Worker* worker, const VecMergerLoop* loop, bool ordered,
                                         std::int64_t num_iterations, std::int64_t num_blocks,
                                         std::int64_t length) noexcept {
  return static_cast<std::uint32_t>(
      choose_vecmerger_strategy(*worker, *loop, ordered, num_iterations, num_blocks, length));
}

ErrorCode weld_rt_run_recorded(Worker* worker, const LoopDescriptor* descriptor, const VecMergerLoop* loop,
                               std::uint32_t strategy, void* captures, std::int64_t num_iterations,
                               VecView* state) noexcept {
  return run_recorded(*worker, *descriptor, *loop, static_cast<VecMergerStrategy>(strategy), captures,
                      num_iterations, *state);
}

}  // extern "C"
}  // namespace weld::runtime
