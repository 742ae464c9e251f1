#pragma once

#include <functional>

namespace weld::codegen {

/// Runs `work` on a thread with a stack of 64 MiB and waits for it; what it throws is thrown here. For code
/// that recurses over the nesting of programs, and for LLVM: the caller's stack may be small.
void run_on_big_stack(const std::function<void()>& work);

}  // namespace weld::codegen
