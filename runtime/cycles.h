#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace weld::runtime {

/// The processor's counter of time, which ticks at a constant rate: what costs are measured in. About 10 ns.
inline std::uint64_t cycles_now() noexcept {
#if defined(__x86_64__)
  return __rdtsc();
#elif defined(__aarch64__)
  std::uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  return __builtin_readcyclecounter();
#endif
}

}  // namespace weld::runtime
