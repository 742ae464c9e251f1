#include "codegen/big_stack.h"

#include <utility>

#include "ir/error.h"

namespace weld::codegen {

BigStackThread::BigStackThread(std::function<void()> work) : work_(std::move(work)) {
  constexpr std::size_t kStackBytes = std::size_t{64} << 20;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  const int failed = pthread_create(&thread_, &attributes, run, this);
  pthread_attr_destroy(&attributes);
  if (failed) throw ir::UserError("the system refuses a thread to compile on", {}, ErrorCode::kOutOfMemory);
}

BigStackThread::~BigStackThread() {
  if (!is_joined_) pthread_join(thread_, nullptr);
}

void BigStackThread::join() {
  pthread_join(thread_, nullptr);
  is_joined_ = true;
  if (error_) std::rethrow_exception(error_);
}

void* BigStackThread::run(void* self) {
  auto& thread = *static_cast<BigStackThread*>(self);
  try {
    thread.work_();
  } catch (...) {
    thread.error_ = std::current_exception();
  }
  return nullptr;
}

void run_on_big_stack(const std::function<void()>& work) {
  BigStackThread(work).join();
}

}  // namespace weld::codegen
