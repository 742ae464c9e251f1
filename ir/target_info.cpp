#include "ir/target_info.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

namespace weld::ir {
namespace {

std::int64_t cache_bytes(int name, std::int64_t otherwise) {
  const long bytes = sysconf(name);
  return bytes > 0 ? bytes : otherwise;
}

std::int32_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<std::int32_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
}

TargetInfo detect() {
  TargetInfo target;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2")) target.vector_bytes = 32;
  // The first processors with AVX-512 slow down when its wide registers are used; those with bf16 do not.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16")) target.vector_bytes = 64;
  target.has_fma = __builtin_cpu_supports("fma");
#elif defined(__aarch64__)
  target.has_fma = true;
#endif
  target.l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, target.l1_bytes);
  target.l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, target.l2_bytes);
  target.l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE, target.l3_bytes);
  target.cores = usable_cores();
  return target;
}

}  // namespace

const TargetInfo& host_target() {
  static const TargetInfo target = detect();
  return target;
}

}  // namespace weld::ir
