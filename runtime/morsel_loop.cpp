#include "runtime/morsel_loop.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>

#include "ir/reduction_order.h"
#include "runtime/calls.h"
#include "runtime/cycles.h"
#include "runtime/run_context.h"

namespace weld::runtime {
namespace {

constexpr std::int64_t kMaxPartials = 65'536;

// What a worker does with one morsel of a loop (or one partial, which may be several morsels).
using RunUnit = ErrorCode (*)(WorkerState& worker, std::int64_t unit, void* data);

// A loop's units on their way through the workers.
struct UnitLoop {
  RunContext& run;
  WorkerState& caller;
  std::int64_t num_units;
  RunUnit run_unit;
  void* data;
  bool may_fork;  // inside of the units

  std::atomic<std::int64_t> next_unit{0};
  std::atomic<std::int64_t> first_failed{std::numeric_limits<std::int64_t>::max()};
  std::atomic<std::int64_t> num_morsels{0};
  std::atomic<std::int64_t> allocated_bytes{0};
  std::mutex mutex = {};  // the failure
  ErrorCode failed_code = ErrorCode::kSuccess;
  std::uint32_t failed_span = kNoSpan;

  void work(WorkerState& worker) noexcept {
    for (;;) {
      const std::int64_t unit = next_unit.fetch_add(1, std::memory_order_relaxed);
      if (unit >= num_units || unit > first_failed.load(std::memory_order_relaxed)) return;
      const ErrorCode code = run_unit(worker, unit, data);
      if (code != ErrorCode::kSuccess) fail(worker, unit, code);
    }
  }

  void fail(WorkerState& worker, std::int64_t unit, ErrorCode code) noexcept {
    {
      const std::lock_guard lock(mutex);
      if (unit < first_failed.load(std::memory_order_relaxed)) {
        first_failed.store(unit, std::memory_order_relaxed);
        failed_code = code;
        failed_span = worker.failed_span;
      }
    }
    weld_rt_forget_failure(&worker);
  }

  // What each participating thread calls.
  static void take_part(void* self) noexcept {
    auto& loop = *static_cast<UnitLoop*>(self);
    // The caller's own thread comes here too, with the caller's worker: it is not in use by any other.
    if (!loop.caller_taken.exchange(true, std::memory_order_relaxed)) {
      loop.caller.may_fork = loop.may_fork;
      const CurrentWorker current(&loop.caller);
      return loop.work(loop.caller);
    }
    if (loop.next_unit.load(std::memory_order_relaxed) >= loop.num_units) return;
    WorkerState* worker = loop.run.lease_worker();
    if (!worker) return;
    worker->may_fork = loop.may_fork;
    const std::int64_t allocated_before = worker->allocated_bytes();
    worker->num_morsels = 0;
    {
      const CurrentWorker current(worker);
      loop.work(*worker);
    }
    loop.num_morsels.fetch_add(worker->num_morsels, std::memory_order_relaxed);
    loop.allocated_bytes.fetch_add(worker->allocated_bytes() - allocated_before, std::memory_order_relaxed);
    loop.run.return_worker(*worker);
  }

  // Any one participant may use the caller's worker, as the caller waits in this loop.
  std::atomic<bool> caller_taken{false};
};

int threads_for(const WorkerState& caller, std::int64_t num_units) {
  return caller.may_fork ? static_cast<int>(std::min<std::int64_t>(caller.run->settings().threads, num_units))
                         : 1;
}

// Runs all units; the first failure in their order is the caller's.
ErrorCode run_units(WorkerState& caller, std::int64_t num_units, RunUnit run_unit, void* data) noexcept {
  const int threads = threads_for(caller, num_units);
  Executor* executor = threads > 1 ? caller.run->executor() : nullptr;
  if (!executor) {
    for (std::int64_t unit = 0; unit < num_units; ++unit) {
      const ErrorCode code = run_unit(caller, unit, data);
      if (code != ErrorCode::kSuccess) return code;
    }
    return ErrorCode::kSuccess;
  }

  Scope* const scope = caller.scope;
  const std::uint8_t may_fork = caller.may_fork;
  UnitLoop loop{.run = *caller.run,
                .caller = caller,
                .num_units = num_units,
                .run_unit = run_unit,
                .data = data,
                .may_fork = num_units < caller.run->settings().threads};
  executor->run(threads, UnitLoop::take_part, &loop);
  caller.scope = scope;
  caller.may_fork = may_fork;
  caller.num_morsels += loop.num_morsels.load(std::memory_order_relaxed);
  caller.loop_allocated_bytes += loop.allocated_bytes.load(std::memory_order_relaxed);
  if (loop.failed_code != ErrorCode::kSuccess) {
    caller.failed_code = loop.failed_code;
    caller.failed_span = loop.failed_span;
  }
  return loop.failed_code;
}

// The body on one morsel, in a scope of its own inside `parent`, which is freed or moved to `kept`.
ErrorCode run_morsel(WorkerState& worker, LoopBody body, void* captures, std::int64_t begin, std::int64_t end,
                     void* partial, Scope* parent, BlockLink* kept) noexcept {
  if (must_poll(worker)) {
    const ErrorCode code = worker.run->poll();
    if (code != ErrorCode::kSuccess) return code;
  }
  ++worker.num_morsels;
  Scope scope;
  scope.parent = parent;
  begin_list(scope.blocks);
  worker.scope = &scope;
  const ErrorCode code = body(&worker, captures, begin, end, partial);
  worker.scope = parent;
  if (scope.empty()) return code;
  if (kept && code == ErrorCode::kSuccess) {
    splice_last(*kept, scope.blocks);
  } else {
    worker.heap.free_all(scope.blocks);
  }
  return code;
}

struct PlainLoop {
  std::int64_t num_elements;
  std::int64_t morsel_elements;
  LoopBody body;
  void* captures;
  Scope* parent;

  static ErrorCode run_unit(WorkerState& worker, std::int64_t unit, void* data) {
    const auto& loop = *static_cast<const PlainLoop*>(data);
    const std::int64_t begin = unit * loop.morsel_elements;
    const std::int64_t end = begin + std::min(loop.morsel_elements, loop.num_elements - begin);
    return run_morsel(worker, loop.body, loop.captures, begin, end, nullptr, loop.parent, nullptr);
  }
};

// The memory of one partial of a generated loop.
struct PartialMemory {
  Scope init;                                      // of its state
  BlockLink kept;                                  // made by its morsels, to be kept
  std::atomic<const WorkerState*> owner{nullptr};  // with kLoopAnyOrder
};

// Tells of the morsels of a loop that run on a worker, where somebody asks.
class TimedLoop {
 public:
  TimedLoop(WorkerState& worker, std::uint32_t site) : worker_(worker), outer_site_(worker.loop_site) {
    if (!worker.tallies) return;
    worker.loop_site = site;
    morsels_before_ = worker.num_morsels;
    started_ = cycles_now();
  }
  ~TimedLoop() {
    if (!worker_.tallies) return;
    LoopTally& tally = worker_.tallies[worker_.loop_site];
    tally.cycles += static_cast<std::int64_t>(cycles_now() - started_);
    tally.morsels += worker_.num_morsels - morsels_before_;
    worker_.loop_site = outer_site_;
  }
  TimedLoop(const TimedLoop&) = delete;
  TimedLoop& operator=(const TimedLoop&) = delete;

 private:
  WorkerState& worker_;
  std::uint32_t outer_site_;
  std::int64_t morsels_before_ = 0;
  std::uint64_t started_ = 0;
};

struct GeneratedLoop {
  const LoopDescriptor& descriptor;
  void* captures;
  std::int64_t num_iterations;
  std::int64_t morsel_iterations;   // whole blocks, or all
  std::int64_t partial_iterations;  // whole blocks, or all
  std::int64_t num_partials;
  std::byte* partials;
  PartialMemory* memory;
  std::atomic<std::int64_t> num_owned = 0;  // partials, with kLoopAnyOrder

  void* state_of_partial(std::int64_t partial) const {
    return descriptor.partial_bytes > 0 ? partials + partial * descriptor.partial_bytes : nullptr;
  }

  // A unit is a partial.
  static ErrorCode run_partial(WorkerState& worker, std::int64_t unit, void* data) {
    const auto& loop = *static_cast<const GeneratedLoop*>(data);
    const std::int64_t begin = unit * loop.partial_iterations;
    const std::int64_t end = begin + std::min(loop.partial_iterations, loop.num_iterations - begin);
    worker.scope = &loop.memory[unit].init;
    const ErrorCode code = loop.init(worker, begin, end, unit);
    return code == ErrorCode::kSuccess ? loop.run(worker, begin, end, unit) : code;
  }

  // A unit is a morsel, which goes to the partial of the worker.
  static ErrorCode run_unordered(WorkerState& worker, std::int64_t unit, void* data) {
    auto& loop = *static_cast<GeneratedLoop*>(data);
    const std::int64_t begin = unit * loop.morsel_iterations;
    const std::int64_t end = begin + std::min(loop.morsel_iterations, loop.num_iterations - begin);
    const std::int64_t owned = loop.num_owned.load(std::memory_order_relaxed);
    std::int64_t partial = 0;
    while (partial < owned && loop.memory[partial].owner.load(std::memory_order_relaxed) != &worker)
      ++partial;
    const bool is_new = partial == owned;
    if (is_new) partial = loop.num_owned.fetch_add(1, std::memory_order_relaxed);
    worker.scope = &loop.memory[partial].init;
    if (is_new) {
      loop.memory[partial].owner.store(&worker, std::memory_order_relaxed);
      const ErrorCode code = loop.init(worker, 0, loop.num_iterations, partial);
      if (code != ErrorCode::kSuccess) return code;
    }
    return loop.run(worker, begin, end, partial);
  }

  ErrorCode init(WorkerState& worker, std::int64_t begin, std::int64_t end, std::int64_t partial) const {
    return descriptor.init ? descriptor.init(&worker, captures, begin, end, state_of_partial(partial))
                           : ErrorCode::kSuccess;
  }

  ErrorCode run(WorkerState& worker, std::int64_t begin, std::int64_t end, std::int64_t index) const {
    PartialMemory& own = memory[index];
    void* partial = state_of_partial(index);
    const bool has_scopes = descriptor.flags & (kLoopAllocates | kLoopKeepsMemory);
    const TimedLoop timed(worker, descriptor.site);
    while (begin < end) {
      const std::int64_t stop = begin + std::min(morsel_iterations, end - begin);
      ErrorCode code;
      if (has_scopes) {
        code = run_morsel(worker, descriptor.body, captures, begin, stop, partial, &own.init,
                          descriptor.flags & kLoopKeepsMemory ? &own.kept : nullptr);
      } else {
        code = must_poll(worker) ? worker.run->poll() : ErrorCode::kSuccess;
        ++worker.num_morsels;
        if (code == ErrorCode::kSuccess) code = descriptor.body(&worker, captures, begin, stop, partial);
      }
      if (code != ErrorCode::kSuccess) return code;
      begin = stop;
    }
    return ErrorCode::kSuccess;
  }
};

std::int64_t ceil_divide(std::int64_t value, std::int64_t divisor) {
  return value / divisor + (value % divisor != 0);
}

}  // namespace

ErrorCode for_each_morsel(Worker& worker, std::int64_t num_elements, std::int64_t morsel_elements,
                          LoopBody body, void* captures) noexcept {
  if (num_elements < 0 || morsel_elements < 1) return ErrorCode::kUnknown;
  WorkerState& caller = state_of(worker);
  Scope* const scope = caller.scope;
  PlainLoop loop{num_elements, morsel_elements, body, captures, scope};
  const ErrorCode code =
      run_units(caller, ceil_divide(num_elements, morsel_elements), PlainLoop::run_unit, &loop);
  caller.scope = scope;
  return code;
}

ErrorCode run_loop(Worker& worker, const LoopDescriptor& descriptor, void* captures,
                   std::int64_t num_iterations, std::int64_t max_ranges) noexcept {
  if (num_iterations < 0 || descriptor.block_iterations < 1) return ErrorCode::kUnknown;
  if (num_iterations == 0) return ErrorCode::kSuccess;
  WorkerState& caller = state_of(worker);
  if (caller.tallies) ++caller.tallies[descriptor.site].parallel_executions;
  Scope* const scope = caller.scope;

  const std::int64_t num_blocks = ceil_divide(num_iterations, descriptor.block_iterations);
  const std::int64_t wanted_blocks = std::max<std::int64_t>(
      ceil_divide(std::max<std::int64_t>(descriptor.morsel_iterations, 1), descriptor.block_iterations), 1);
  const std::int64_t morsel_blocks = std::max(wanted_blocks, ceil_divide(num_blocks, kMaxPartials));
  std::int64_t num_morsels = ceil_divide(num_blocks, morsel_blocks);
  const std::int64_t morsel_iterations =
      num_morsels == 1 ? num_iterations : morsel_blocks * descriptor.block_iterations;

  GeneratedLoop loop{.descriptor = descriptor,
                     .captures = captures,
                     .num_iterations = num_iterations,
                     .morsel_iterations = morsel_iterations,
                     .partial_iterations = morsel_iterations,
                     .num_partials = num_morsels,
                     .partials = nullptr,
                     .memory = nullptr};
  bool is_unordered = false;
  if (descriptor.flags & kLoopRanges) {
    const ir::Ranges ranges = ir::cut_ranges(num_iterations, descriptor.block_iterations,
                                             std::min<std::int64_t>(max_ranges, descriptor.max_ranges));
    loop.num_partials = ranges.num_ranges;
    loop.partial_iterations = ranges.range_iterations;
  } else if (const int threads = threads_for(caller, num_morsels); threads == 1) {
    loop.num_partials = 1;
    loop.partial_iterations = num_iterations;
  } else if (descriptor.flags & kLoopAnyOrder) {
    is_unordered = true;
    loop.num_partials = threads;
  }

  const std::int64_t partials_bytes = loop.num_partials * descriptor.partial_bytes;
  const std::int64_t memory_bytes = loop.num_partials * static_cast<std::int64_t>(sizeof(PartialMemory));
  Block* states = caller.heap.allocate(partials_bytes + memory_bytes);
  if (!states) return ErrorCode::kOutOfMemory;
  loop.partials = states->payload();
  std::memset(loop.partials, 0, static_cast<std::size_t>(partials_bytes));
  loop.memory = reinterpret_cast<PartialMemory*>(loop.partials + partials_bytes);
  for (std::int64_t i = 0; i < loop.num_partials; ++i) {
    new (&loop.memory[i]) PartialMemory;
    loop.memory[i].init.parent = scope;
    begin_list(loop.memory[i].init.blocks);
    begin_list(loop.memory[i].kept);
  }

  ErrorCode code = is_unordered ? run_units(caller, num_morsels, GeneratedLoop::run_unordered, &loop)
                                : run_units(caller, loop.num_partials, GeneratedLoop::run_partial, &loop);
  if (is_unordered) loop.num_partials = loop.num_owned.load(std::memory_order_relaxed);
  caller.scope = scope;
  for (std::int64_t i = 0; i < loop.num_partials; ++i) {
    if (code == ErrorCode::kSuccess) {
      splice_last(scope->blocks, loop.memory[i].kept);
    } else {
      caller.heap.free_all(loop.memory[i].kept);
    }
  }
  if (code == ErrorCode::kSuccess && descriptor.combine)
    code = descriptor.combine(&worker, captures, loop.partials, loop.num_partials);
  for (std::int64_t i = 0; i < loop.num_partials; ++i) caller.heap.free_all(loop.memory[i].init.blocks);
  caller.heap.free(states);
  return code;
}

extern "C" ErrorCode weld_rt_run_loop(Worker* worker, const LoopDescriptor* loop, void* captures,
                                      std::int64_t num_iterations) noexcept {
  return run_loop(*worker, *loop, captures, num_iterations, loop->max_ranges);
}

extern "C" ErrorCode weld_rt_run_ranges(Worker* worker, const LoopDescriptor* loop, void* captures,
                                        std::int64_t num_iterations, std::int64_t max_ranges) noexcept {
  return run_loop(*worker, *loop, captures, num_iterations, max_ranges);
}

extern "C" ErrorCode weld_rt_for_each_morsel(Worker* worker, std::int64_t num_elements,
                                             std::int64_t morsel_elements, LoopBody body,
                                             void* captures) noexcept {
  return for_each_morsel(*worker, num_elements, morsel_elements, body, captures);
}

}  // namespace weld::runtime
