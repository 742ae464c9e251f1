#include "runtime/run_context.h"

#include <time.h>

#include <cstring>
#include <new>

#include "runtime/calls.h"
#include "runtime/reach.h"

namespace weld::runtime {
namespace {

thread_local Worker* thread_worker = nullptr;

// The clock of steady_clock, read from memory and exact to a tick of the kernel (1 to 4 ms).
std::chrono::steady_clock::time_point coarse_now() noexcept {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  return std::chrono::steady_clock::time_point(std::chrono::seconds(time.tv_sec) +
                                               std::chrono::nanoseconds(time.tv_nsec));
}

// Leaves in `scope` what the result reaches.
ErrorCode free_unreached(WorkerHeap& heap, Scope& scope, const TypeLayout& layout,
                         const std::byte* value) noexcept {
  if (scope.empty()) return ErrorCode::kSuccess;
  BlockLink unreached;
  begin_list(unreached);
  if (!layout.contains_pointer) {
    heap.free_all(scope.blocks);
    return ErrorCode::kSuccess;
  }
  const ErrorCode code = split_unreached(scope.blocks, {&layout, value}, unreached);
  heap.free_all(unreached);
  return code;
}

}  // namespace

RunContext* RunContext::acquire(Context& context, const RunSettings& settings) noexcept {
  RunContext* run = nullptr;
  for (std::atomic<RunContext*>& slot : context.pooled_runs_) {
    if (slot.load(std::memory_order_relaxed)) run = slot.exchange(nullptr, std::memory_order_acquire);
    if (run) break;
  }
  if (!run) run = new (std::nothrow) RunContext(context);
  if (run) run->begin(settings);
  return run;
}

void RunContext::release(RunContext* run) noexcept {
  for (std::atomic<RunContext*>& slot : run->context_.pooled_runs_) {
    RunContext* none = nullptr;
    if (slot.load(std::memory_order_relaxed) == nullptr &&
        slot.compare_exchange_strong(none, run, std::memory_order_release, std::memory_order_relaxed))
      return;
  }
  delete run;
}

RunContext::~RunContext() {
  // An executor from before a fork waits for threads that do not exist here; others still come to look for
  // loops.
  if (executor_ && executor_forks_ != num_forks()) static_cast<void>(executor_.release());
  executor_.reset();
  while (idle_workers_) {
    WorkerState* worker = idle_workers_;
    idle_workers_ = worker->next_idle;
    delete worker;
  }
}

void RunContext::begin(const RunSettings& settings) noexcept {
  settings_ = settings;
  // After a fork nobody comes to return what the parent's threads hold.
  if (executor_ && executor_forks_ != num_forks()) std::construct_at(&board_, *this);
  board_.begin(settings.threads);
  caller_.run = this;
  caller_.scope = nullptr;
  caller_.may_fork = settings.threads > 1;
  if (settings.deadline != std::chrono::steady_clock::time_point::max()) {
    caller_.poll_needed = &always_poll_;
  } else {
    caller_.poll_needed = settings.cancel ? settings.cancel->flag() : &never_poll_;
  }
  caller_.failed_code = ErrorCode::kSuccess;
  caller_.failed_span = kNoSpan;
  caller_.num_morsels = 0;
  caller_.tallies = settings.statistics ? settings.statistics->take_tallies() : nullptr;
  caller_.loop_site = kNoLoop;
  caller_.loop = nullptr;
}

ErrorCode RunContext::poll() const noexcept {
  if (settings_.cancel && settings_.cancel->is_cancelled()) return ErrorCode::kCancelled;
  if (settings_.deadline != std::chrono::steady_clock::time_point::max() &&
      coarse_now() >= settings_.deadline)
    return ErrorCode::kDeadlineExceeded;
  return ErrorCode::kSuccess;
}

WorkerState* RunContext::lease_worker() noexcept {
  WorkerState* worker;
  {
    const std::lock_guard lock(mutex_);
    worker = idle_workers_;
    if (worker) idle_workers_ = worker->next_idle;
  }
  if (!worker) worker = new (std::nothrow) WorkerState(context_);
  if (!worker) return nullptr;
  worker->run = this;
  worker->scope = nullptr;
  worker->poll_needed = caller_.poll_needed;
  worker->may_fork = 0;
  worker->loop = nullptr;
  worker->failed_code = ErrorCode::kSuccess;
  worker->failed_span = kNoSpan;
  worker->tallies = settings_.statistics ? settings_.statistics->take_tallies() : nullptr;
  worker->loop_site = kNoLoop;
  return worker;
}

void RunContext::return_worker(WorkerState& worker) noexcept {
  if (worker.tallies) settings_.statistics->give_back(worker.tallies);
  const std::lock_guard lock(mutex_);
  worker.next_idle = idle_workers_;
  idle_workers_ = &worker;
}

Executor* RunContext::executor() noexcept {
  const std::lock_guard lock(mutex_);
  if (executor_ && executor_forks_ != num_forks()) static_cast<void>(executor_.release());
  if (!executor_ || executor_threads_ != settings_.threads || executor_kind_ != settings_.executor) {
    executor_ = Executor::make(settings_.executor, settings_.threads);
    executor_threads_ = settings_.threads;
    executor_kind_ = settings_.executor;
    executor_forks_ = num_forks();
  }
  return executor_.get();
}

RunResult run_program(Context& context, const RunSettings& settings, ProgramMain main, const std::byte* args,
                      const TypeLayout& result_layout, OwnedBlocks consumed) noexcept {
  RunResult result;
  RunContext* run = RunContext::acquire(context, settings);
  if (!run) {
    result.code = ErrorCode::kOutOfMemory;
    return result;
  }
  const auto started = std::chrono::steady_clock::now();
  context.reset_peak();
  WorkerState& worker = run->caller();
  const CurrentWorker current(&worker);
  Scope scope;
  weld_rt_scope_begin(&worker, &scope);
  consumed.give(scope.blocks);

  if (must_poll(worker)) result.code = run->poll();
  Block* data = nullptr;
  if (result.code == ErrorCode::kSuccess) {
    data = worker.heap.allocate(result_layout.size_bytes);
    if (!data) result.code = ErrorCode::kOutOfMemory;
  }
  if (result.code == ErrorCode::kSuccess) {
    std::memset(data->payload(), 0, static_cast<std::size_t>(result_layout.size_bytes));
    result.code = main(&worker, args, data->payload());
    if (result.code != ErrorCode::kSuccess) result.span = worker.failed_span;
  }
  if (result.code == ErrorCode::kSuccess)
    result.code = free_unreached(worker.heap, scope, result_layout, data->payload());
  if (result.code == ErrorCode::kSuccess) {
    result.data = data->payload();
    link_last(scope.blocks, data);
    result.blocks.take(context, scope.blocks);
  } else {
    worker.heap.free_all(scope.blocks);
    if (data) worker.heap.free(data);
  }
  result.statistics.nanoseconds =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - started)
          .count();
  result.statistics.peak_bytes = context.peak_bytes();
  result.statistics.num_morsels = worker.num_morsels;
  RunContext::release(run);
  return result;
}

Worker* current_worker() noexcept {
  return thread_worker;
}

CurrentWorker::CurrentWorker(Worker* worker) noexcept : before_(thread_worker) {
  thread_worker = worker;
}

CurrentWorker::~CurrentWorker() {
  thread_worker = before_;
}

extern "C" {

ErrorCode weld_rt_poll(Worker* worker) noexcept {
  return worker->run->poll();
}

ErrorCode weld_rt_fail(Worker* worker, ErrorCode code, std::uint32_t span) noexcept {
  WorkerState& state = state_of(worker);
  if (state.failed_code == ErrorCode::kSuccess ||
      (state.failed_code == code && state.failed_span == kNoSpan)) {
    state.failed_code = code;
    state.failed_span = span;
  }
  return code;
}

ErrorCode weld_rt_foreign_failure(Worker* worker) noexcept {
  return state_of(worker).failed_code;
}

void weld_rt_forget_failure(Worker* worker) noexcept {
  state_of(worker).failed_code = ErrorCode::kSuccess;
  state_of(worker).failed_span = kNoSpan;
}

}  // extern "C"
}  // namespace weld::runtime
