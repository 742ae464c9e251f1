#pragma once

#include <memory>

namespace weld::runtime {

enum class ExecutorKind {
  kInline,   ///< the calling thread alone
  kThreads,  ///< std::thread, started for each loop: for thread-sanitizer runs, and in children of fork
  kTbb,      ///< the default
};

/// Where loops get their threads from.
class Executor {
 public:
  virtual ~Executor() = default;

  using Part = void (*)(void* data) noexcept;

  /// Calls `part(data)` on the calling thread and on up to `num_parts` - 1 others, at the same time as far as
  /// threads are free, and returns when every started call has returned. Calls that no thread was free for
  /// run late or not at all, so parts take their work from a shared counter.
  ///
  /// Threads  may be nested, and used by several threads at a time. A thread that waits here runs other parts
  ///          of this call only; nothing spins when there is no work.
  virtual void run(int num_parts, Part part, void* data) noexcept = 0;

  /// Null when out of memory. TBB is replaced by threads in a child of fork, where its workers are gone.
  static std::unique_ptr<Executor> make(ExecutorKind kind, int threads) noexcept;
};

/// How many forks lie between this process and the one that loaded the library.
int num_forks() noexcept;

}  // namespace weld::runtime
