#pragma once

#include <signal.h>

#include "bindings/c/weld.h"

namespace weld::python {

/// While alive, Ctrl-C (SIGINT) triggers `cancel()` before Python's own handler notes the signal. Only on the
/// main thread, where Python handles signals, and only while Python has a handler; else `cancel()` is null.
class CancelOnInterrupt {
 public:
  CancelOnInterrupt();
  ~CancelOnInterrupt();
  CancelOnInterrupt(const CancelOnInterrupt&) = delete;
  CancelOnInterrupt& operator=(const CancelOnInterrupt&) = delete;

  weld_cancel_t cancel() const { return cancel_; }

 private:
  weld_cancel_t cancel_ = nullptr;
  struct sigaction previous_ = {};
};

}  // namespace weld::python
