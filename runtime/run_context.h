#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "runtime/abi.h"
#include "runtime/executor.h"
#include "runtime/layout.h"
#include "runtime/loop_board.h"
#include "runtime/loop_statistics.h"
#include "runtime/memory.h"
#include "runtime/variants.h"

namespace weld::runtime {

/// Stops runs, from any thread and from signal handlers. Stays cancelled. Must outlive the runs that it was
/// given to.
class CancelToken {
 public:
  void cancel() noexcept { cancelled_.store(1, std::memory_order_relaxed); }
  bool is_cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed) != 0; }
  /// What generated code looks at.
  const std::uint8_t* flag() const noexcept { return reinterpret_cast<const std::uint8_t*>(&cancelled_); }

 private:
  std::atomic<std::uint8_t> cancelled_{0};
  static_assert(sizeof(std::atomic<std::uint8_t>) == 1);
};

/// What a compiled program brings to its runs besides code.
struct ProgramTables {
  std::span<const TypeLayout* const> layouts;  ///< by the `layout` index that generated code passes
  std::span<const LoopSite> loops;             ///< by the `site` of a loop
  /// Likewise, null for loops without variants; kept from run to run.
  std::span<const std::unique_ptr<VariantSelector>> selectors;
};

struct RunSettings {
  int threads = 1;                             ///< at least 1
  ExecutorKind executor = ExecutorKind::kTbb;  ///< one thread runs inline, whatever this says
  bool deterministic = true;
  bool adaptive = true;  ///< false: of several variants of a loop the first one runs
  VecMergerForced vecmerger = VecMergerForced::kNone;  ///< where a builder's annotation says nothing
  DictForced dictmerger = DictForced::kNone;           ///< likewise
  const CancelToken* cancel = nullptr;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  const ProgramTables* program = nullptr;  ///< borrowed; null: no layouts
  LoopStatistics* statistics = nullptr;    ///< borrowed, of as many sites as the program has; null: none
};

struct RunStatistics {
  std::int64_t nanoseconds = 0;
  std::int64_t peak_bytes = 0;   ///< of the context while this ran (Context::peak_bytes)
  std::int64_t num_morsels = 0;  ///< run by weld_rt_run_loop and the runtime's own parallel routines
};

inline constexpr std::uint32_t kNoSpan = ~std::uint32_t{0};
inline constexpr std::uint32_t kNoLoop = ~std::uint32_t{0};

/// How a run ended.
struct RunResult {
  ErrorCode code = ErrorCode::kSuccess;
  std::uint32_t span = kNoSpan;  ///< index of the node that failed, in the program's table of spans
  std::byte* data = nullptr;     ///< the result in its C layout, in `blocks`; null on failure
  OwnedBlocks blocks;            ///< what the result reaches of the run's memory
  RunStatistics statistics;
};

/// The native part of a worker.
class DictSlices;

struct alignas(64) WorkerState : Worker {
  explicit WorkerState(Context& context) : Worker{}, heap(context) {}

  WorkerHeap heap;
  ErrorCode failed_code = ErrorCode::kSuccess;
  std::uint32_t failed_span = kNoSpan;
  std::int64_t num_morsels = 0;
  LoopTally* tallies = nullptr;           ///< by site; null where nobody asks for them
  std::uint32_t loop_site = kNoLoop;      ///< of the innermost loop that tells of itself
  std::int64_t loop_allocated_bytes = 0;  ///< allocated by the other workers of this one's loops
  LoopBoard::Loop* loop = nullptr;        ///< the innermost loop that it runs a part of
  DictSlices* dict_slices = nullptr;      ///< while a slice's partials are combined: of that loop
  WorkerState* next_idle = nullptr;

  std::int64_t allocated_bytes() const { return heap.allocated_bytes() + loop_allocated_bytes; }
};
/// Whether weld_rt_poll is to be called.
inline bool must_poll(const Worker& worker) {
  return __atomic_load_n(worker.poll_needed, __ATOMIC_RELAXED) != 0;
}

inline WorkerState& state_of(Worker* worker) {
  return *static_cast<WorkerState*>(worker);
}
inline WorkerState& state_of(Worker& worker) {
  return static_cast<WorkerState&>(worker);
}

/// A run in progress: its workers, its conf, how it failed. Kept by the context and used again.
///
/// Threads  one run at a time; workers are leased to the threads of its loops.
class RunContext {
 public:
  /// An idle one of the context, or a new one; null when out of memory.
  static RunContext* acquire(Context& context, const RunSettings& settings) noexcept;
  /// Gives it back to the context.
  static void release(RunContext* run) noexcept;

  explicit RunContext(Context& context) : context_(context), caller_(context), board_(*this) {}
  ~RunContext();

  Context& context() const { return context_; }
  const RunSettings& settings() const { return settings_; }
  /// The worker of the thread that called the program.
  WorkerState& caller() { return caller_; }
  const TypeLayout& layout(std::uint32_t index) const { return *settings_.program->layouts[index]; }

  /// kSuccess, kCancelled or kDeadlineExceeded. Reads the coarse clock only if there is a deadline.
  ErrorCode poll() const noexcept;

  /// A worker that nobody else uses, with `scope` null and nothing failed; null when out of memory.
  WorkerState* lease_worker() noexcept;
  void return_worker(WorkerState& worker) noexcept;

  /// Its loops that several threads may take part in.
  LoopBoard& board() { return board_; }
  /// The executor of this run, kept for the next ones. Made at the first parallel loop; null when that fails.
  Executor* executor() noexcept;

 private:
  void begin(const RunSettings& settings) noexcept;

  Context& context_;
  RunSettings settings_;
  std::uint8_t always_poll_ = 1;
  std::uint8_t never_poll_ = 0;
  WorkerState caller_;
  LoopBoard board_;

  std::mutex mutex_;  // the workers and the executor
  WorkerState* idle_workers_ = nullptr;
  std::unique_ptr<Executor> executor_;
  int executor_threads_ = 0;
  ExecutorKind executor_kind_ = ExecutorKind::kInline;
  int executor_forks_ = 0;
};

/// Runs a compiled program: the way of bindings into generated code.
///
/// \param args      the parameters as one C struct, borrowed, never written
/// \param consumed  blocks that the arguments' builders own; they become the run's, whether it fails or not
///
/// Memory   what the result does not reach is freed when this returns; all of it after an error
/// Threads  any number of runs of one context and one program at a time
/// Cost     less than 200 ns besides the program, once the context has had a run
RunResult run_program(Context& context, const RunSettings& settings, ProgramMain main, const std::byte* args,
                      const TypeLayout& result_layout, OwnedBlocks consumed = {}) noexcept;

/// The worker that runs on this thread, for foreign functions; null outside of runs.
Worker* current_worker() noexcept;

/// Makes `worker` the thread's, until destroyed.
class CurrentWorker {
 public:
  explicit CurrentWorker(Worker* worker) noexcept;
  ~CurrentWorker();
  CurrentWorker(const CurrentWorker&) = delete;
  CurrentWorker& operator=(const CurrentWorker&) = delete;

 private:
  Worker* before_;
};

}  // namespace weld::runtime
