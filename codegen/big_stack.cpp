#include "codegen/big_stack.h"

#include <pthread.h>

#include <exception>

#include "ir/error.h"

namespace weld::codegen {
namespace {

struct Work {
  const std::function<void()>& run;
  std::exception_ptr error;
};

void* run_work(void* argument) {
  auto& work = *static_cast<Work*>(argument);
  try {
    work.run();
  } catch (...) {
    work.error = std::current_exception();
  }
  return nullptr;
}

}  // namespace

void run_on_big_stack(const std::function<void()>& run) {
  constexpr std::size_t kStackBytes = std::size_t{64} << 20;
  Work work{run, nullptr};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_t thread;
  const int failed = pthread_create(&thread, &attributes, run_work, &work);
  pthread_attr_destroy(&attributes);
  if (failed) throw ir::UserError("the system refuses a thread to compile on", {}, ErrorCode::kOutOfMemory);
  pthread_join(thread, nullptr);
  if (work.error) std::rethrow_exception(work.error);
}

}  // namespace weld::codegen
