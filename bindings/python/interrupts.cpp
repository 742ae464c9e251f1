#include "bindings/python/interrupts.h"

#include <unistd.h>

#include <atomic>

namespace weld::python {
namespace {

// The switch of the run on the main thread, and what is to be called besides. Another thread may be inside
// the handler when the run ends, so the switch is freed when nobody is.
std::atomic<weld_cancel_t> current_cancel{nullptr};
std::atomic<void (*)(int)> next_handler{nullptr};
std::atomic<int> num_in_handler{0};

void on_interrupt(int signal) {
  num_in_handler.fetch_add(1);
  if (weld_cancel_t cancel = current_cancel.load()) weld_cancel_trigger(cancel);
  if (auto* next = next_handler.load()) next(signal);
  num_in_handler.fetch_sub(1);
}

bool on_main_thread() {
  return gettid() == getpid();
}

}  // namespace

CancelOnInterrupt::CancelOnInterrupt() {
  // A run inside a run (a foreign function that calls Python) is cancelled with the outer one.
  if (!on_main_thread() || current_cancel.load()) return;
  if (sigaction(SIGINT, nullptr, &previous_) != 0) return;
  const bool plain = (previous_.sa_flags & SA_SIGINFO) == 0;
  if (!plain || previous_.sa_handler == SIG_DFL || previous_.sa_handler == SIG_IGN) return;
  cancel_ = weld_cancel_new();
  if (!cancel_) return;
  next_handler.store(previous_.sa_handler);
  current_cancel.store(cancel_);
  struct sigaction ours = previous_;
  ours.sa_handler = on_interrupt;
  sigaction(SIGINT, &ours, nullptr);
}

CancelOnInterrupt::~CancelOnInterrupt() {
  if (!cancel_) return;
  sigaction(SIGINT, &previous_, nullptr);
  current_cancel.store(nullptr);
  while (num_in_handler.load() != 0) usleep(10);
  weld_cancel_free(cancel_);
}

}  // namespace weld::python
