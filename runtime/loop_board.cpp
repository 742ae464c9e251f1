#include "runtime/loop_board.h"

#include <algorithm>

#include "runtime/run_context.h"

namespace weld::runtime {

bool LoopBoard::Loop::is_inside(const Loop& other) const {
  for (const Loop* loop = outer_; loop; loop = loop->outer_) {
    if (loop == &other) return true;
  }
  return false;
}

void LoopBoard::begin(int threads) noexcept {
  const std::lock_guard lock(mutex_);
  threads_ = threads;
  num_busy_.store(1, std::memory_order_relaxed);
}

// The first posted of those that have units and are inside of `outer`; any, if that is null.
LoopBoard::Loop* LoopBoard::find(const Loop* outer) const {
  Loop* loop = first_;
  while (loop && (!loop->has_units() || (outer && !loop->is_inside(*outer)))) loop = loop->next_;
  return loop;
}

bool LoopBoard::post(Loop& loop, std::int64_t most_helpers) noexcept {
  Executor* const executor = run_.executor();
  if (!executor) return false;
  int wanted = 0;
  bool someone_waits = false;
  {
    const std::lock_guard lock(mutex_);
    Loop** place = &first_;
    while (*place) place = &(*place)->next_;
    *place = &loop;
    loop.is_posted_ = true;
    someone_waits = num_waiting_ > 0;
    wanted = static_cast<int>(std::min<std::int64_t>(threads_ - 1 - num_called_, most_helpers));
    wanted = std::max(wanted, 0);
    num_called_ += wanted;
  }
  if (someone_waits) changed_.notify_all();
  if (wanted == 0) return true;
  const int made = executor->call(wanted, help_run, &run_);
  if (made < wanted) {
    const std::lock_guard lock(mutex_);
    num_called_ -= wanted - made;
  }
  return true;
}

void LoopBoard::finish(Loop& loop) noexcept {
  if (!loop.is_posted_) return;
  std::unique_lock lock(mutex_);
  Loop** place = &first_;
  while (*place != &loop) place = &(*place)->next_;
  *place = loop.next_;
  if (loop.num_helpers_ == 0) return;
  num_busy_.fetch_sub(1, std::memory_order_relaxed);
  ++num_waiting_;
  while (loop.num_helpers_ > 0) {
    Loop* const inner = find(&loop);
    if (!inner || !take_part(*inner, lock)) changed_.wait(lock);
  }
  --num_waiting_;
  num_busy_.fetch_add(1, std::memory_order_relaxed);
}

void LoopBoard::help_run(void* run) noexcept {
  static_cast<RunContext*>(run)->board().help();
}

void LoopBoard::help() noexcept {
  std::unique_lock lock(mutex_);
  Loop* loop;
  do {
    loop = find(nullptr);
  } while (loop && take_part(*loop, lock));
  --num_called_;
}

// Unlocks meanwhile. False when out of memory.
bool LoopBoard::take_part(Loop& loop, std::unique_lock<std::mutex>& lock) noexcept {
  ++loop.num_helpers_;
  num_busy_.fetch_add(1, std::memory_order_relaxed);
  lock.unlock();
  WorkerState* const worker = run_.lease_worker();
  if (worker) {
    {
      const CurrentWorker current(worker);
      loop.take_part(*worker);
    }
    run_.return_worker(*worker);
  }
  lock.lock();
  num_busy_.fetch_sub(1, std::memory_order_relaxed);
  if (--loop.num_helpers_ == 0) changed_.notify_all();
  return worker != nullptr;
}

}  // namespace weld::runtime
