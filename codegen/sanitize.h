#pragma once

#include <cstdint>

namespace llvm {
class Module;
}

namespace weld::codegen {

enum class Sanitizer : std::uint8_t { kNone, kAddress, kThread };

/// What this library was built with (cmake -DWELD_SANITIZE=…). Generated code is then checked in the same
/// way: a race between it and the runtime, or an access outside of the host's memory, is reported as any
/// other.
constexpr Sanitizer host_sanitizer() {
#if __has_feature(address_sanitizer)
  return Sanitizer::kAddress;
#elif __has_feature(thread_sanitizer)
  return Sanitizer::kThread;
#else
  return Sanitizer::kNone;
#endif
}

/// Makes the accesses to memory of all functions known to the host's sanitizer; nothing if there is none.
/// After optimisation, so that only those that are left are checked. The thread sanitizer sees accesses of up
/// to 16 bytes: scalars, and vectors of that size.
void instrument(llvm::Module& module);

}  // namespace weld::codegen
