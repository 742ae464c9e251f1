#pragma once

#include <csignal>

namespace weld::bench::tpch {

/// While it lives, Ctrl-C and a request to end only set a flag, so that work can stop in good order. One at a
/// time.
class InterruptGuard {
 public:
  InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard();

  /// Throws DataError when the flag is set.
  void throw_if_interrupted() const;

 private:
  struct sigaction old_interrupt_{};
  struct sigaction old_terminate_{};
};

}  // namespace weld::bench::tpch
