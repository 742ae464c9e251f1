#pragma once

#include <memory>

namespace weld::runtime {

enum class ExecutorKind {
  kInline,   ///< the calling thread alone
  kThreads,  ///< std::thread: for thread-sanitizer runs, and in children of fork
  kTbb,      ///< the default
};

/// Where loops get more threads from.
class Executor {
 public:
  virtual ~Executor() = default;

  using Part = void (*)(void* data) noexcept;

  /// Has `part(data)` called `count` times by other threads, each as soon as one is free, and returns at
  /// once. Returns how many calls will be made: fewer when out of memory. At most `threads` - 1 run at a
  /// time, and threads that have no call to make sleep. The destructor returns when all calls have returned;
  /// those that no thread was free for are made there.
  ///
  /// Threads  may be called by several threads at a time, and inside of a part
  virtual int call(int count, Part part, void* data) noexcept = 0;

  /// For runs on `threads` threads. Null when out of memory. TBB is replaced by threads in a child of fork,
  /// where its workers are gone, and in builds with the thread sanitizer, which does not understand it.
  static std::unique_ptr<Executor> make(ExecutorKind kind, int threads) noexcept;
};

/// How many forks lie between this process and the one that loaded the library.
int num_forks() noexcept;

}  // namespace weld::runtime
