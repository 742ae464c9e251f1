#pragma once

#include <pthread.h>

#include <exception>
#include <functional>

namespace weld::codegen {

/// A thread with a stack of 64 MiB, for code that recurses over the nesting of programs, and for LLVM: the
/// caller's stack may be small. Throws UserError (OutOfMemory) where the system refuses one.
class BigStackThread {
 public:
  explicit BigStackThread(std::function<void()> work);
  ~BigStackThread();  ///< waits
  BigStackThread(const BigStackThread&) = delete;
  BigStackThread& operator=(const BigStackThread&) = delete;

  /// Waits for the end of the work; what it throws is thrown here.
  void join();

 private:
  static void* run(void* self);

  std::function<void()> work_;
  std::exception_ptr error_;
  pthread_t thread_;
  bool is_joined_ = false;
};

/// Runs `work` on such a thread and waits for it.
void run_on_big_stack(const std::function<void()>& work);

}  // namespace weld::codegen
