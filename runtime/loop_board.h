#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace weld::runtime {

class RunContext;
struct WorkerState;

/// Brings the loops of a run that have work for more threads, and its threads that have none, together. A
/// loop is posted when a thread is idle, before its first iteration or in the middle of it, and whatever loop
/// it is inside of: so a part of a loop that takes long does not hold up the rest.
///
/// Threads  of the run, `threads` of them at most at a time, the caller's included. A thread that waits for
/// the end
///          of its loop takes part in loops inside of that loop only, which that end waits for anyway:
///          nothing waits in a circle, and no result waits for work that is not its own. Others take part in
///          any. Who finds nothing to do sleeps, or goes back to the executor.
class LoopBoard {
 public:
  /// A loop of units that several threads take.
  class Loop {
   public:
    /// `outer`: the loop that it runs inside of, or null.
    explicit Loop(Loop* outer) : outer_(outer) {}
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    /// False once the last unit is taken. Any thread may ask.
    virtual bool has_units() const noexcept = 0;
    /// Takes units until there are none.
    virtual void take_part(WorkerState& worker) noexcept = 0;

   protected:
    ~Loop() = default;

   private:
    friend class LoopBoard;
    bool is_inside(const Loop& other) const;

    Loop* outer_;
    Loop* next_ = nullptr;  // posted after this one
    bool is_posted_ = false;
    int num_helpers_ = 0;
  };

  explicit LoopBoard(RunContext& run) : run_(run) {}

  /// At the start of a run, when no loop is posted.
  void begin(int threads) noexcept;

  /// Whether a thread of the run could do more. Cheap, and true or false a little late.
  bool has_idle_threads() const { return num_busy_.load(std::memory_order_relaxed) < threads_; }

  /// Lets up to `most_helpers` idle threads take part in the loop. False when there is no executor.
  bool post(Loop& loop, std::int64_t most_helpers) noexcept;
  /// Called by the loop's thread when it has no units left; returns when nobody takes part any more.
  void finish(Loop& loop) noexcept;

 private:
  static void help_run(void* run) noexcept;
  void help() noexcept;
  Loop* find(const Loop* outer) const;
  bool take_part(Loop& loop, std::unique_lock<std::mutex>& lock) noexcept;

  RunContext& run_;
  int threads_ = 1;
  std::atomic<int> num_busy_{1};  // threads that run iterations

  std::mutex mutex_;  // everything below, and the loops' members
  std::condition_variable changed_;
  Loop* first_ = nullptr;
  int num_called_ = 0;   // calls of the executor that have not returned
  int num_waiting_ = 0;  // threads in `finish`
};

}  // namespace weld::runtime
