#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace weld::bench::workloads::native {

// Vectors of f64 as wide as the machine's, and SLEEF's functions on them.

#if defined(__AVX512F__)
inline constexpr int kLanes = 8;
#define WELD_SLEEF_FORM(name, ulp) Sleef_finz_##name##d8_##ulp##avx512f
#elif defined(__AVX2__) && defined(__FMA__)
inline constexpr int kLanes = 4;
#define WELD_SLEEF_FORM(name, ulp) Sleef_finz_##name##d4_##ulp##avx2
#else
inline constexpr int kLanes = 2;
#endif

using Vector = double __attribute__((vector_size(kLanes * sizeof(double))));
using Mask = std::int64_t __attribute__((vector_size(kLanes * sizeof(double))));
/// Of as many elements, at any address.
using UnalignedVector = double __attribute__((vector_size(kLanes * sizeof(double)), aligned(8)));

extern "C" {
#if defined(WELD_SLEEF_FORM)
#define WELD_DECLARE(name, ulp) Vector WELD_SLEEF_FORM(name, ulp)(Vector);
#else
#define WELD_DECLARE(name, ulp) double Sleef_cinz_##name##d1_##ulp##purec(double);
#endif
WELD_DECLARE(exp, u10)
WELD_DECLARE(log, u10)
WELD_DECLARE(erf, u10)
WELD_DECLARE(sin, u10)
WELD_DECLARE(cos, u10)
WELD_DECLARE(asin, u10)
#undef WELD_DECLARE
}

#if defined(WELD_SLEEF_FORM)
#define WELD_DEFINE(name, ulp)            \
  inline Vector name##_of(Vector x) {     \
    return WELD_SLEEF_FORM(name, ulp)(x); \
  }
#else
#define WELD_DEFINE(name, ulp)                                                        \
  inline Vector name##_of(Vector x) {                                                 \
    for (int i = 0; i < kLanes; ++i) x[i] = Sleef_cinz_##name##d1_##ulp##purec(x[i]); \
    return x;                                                                         \
  }
#endif
WELD_DEFINE(exp, u10)
WELD_DEFINE(log, u10)
WELD_DEFINE(erf, u10)
WELD_DEFINE(sin, u10)
WELD_DEFINE(cos, u10)
WELD_DEFINE(asin, u10)
#undef WELD_DEFINE

inline Vector sqrt_of(Vector x) {
  return __builtin_elementwise_sqrt(x);
}
inline Vector abs_of(Vector x) {
  return __builtin_elementwise_abs(x);
}

inline Vector load(const double* address) {
  return *reinterpret_cast<const UnalignedVector*>(address);
}
/// The same of a stream: asks for what is a KiB ahead, which the processor's prefetching alone does not fetch
/// in time.
inline Vector load_ahead(const double* from) {
  __builtin_prefetch(reinterpret_cast<const char*>(from) + 1024);
  return load(from);
}
inline void store(double* address, Vector value) {
  *reinterpret_cast<UnalignedVector*>(address) = value;
}
/// To an aligned address, past the caches.
inline void stream(double* address, Vector value) {
  __builtin_nontemporal_store(value, reinterpret_cast<Vector*>(address));
}
/// Streaming stores of this thread are seen by others after it.
inline void end_streaming() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

inline Vector broadcast(double value) {
  return value - Vector{};
}
inline double sum_lanes(Vector value) {
  double sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += value[i];
  return sum;
}

/// The first `count` elements, the others as `otherwise`.
inline Vector load_first(const double* address, std::int64_t count, double otherwise) {
  Vector value = broadcast(otherwise);
  std::memcpy(&value, address, static_cast<std::size_t>(count) * sizeof(double));
  return value;
}
inline void store_first(double* address, Vector value, std::int64_t count) {
  std::memcpy(address, &value, static_cast<std::size_t>(count) * sizeof(double));
}

/// Elements of a part that stays in the first caches, a multiple of every vector's length.
inline constexpr std::int64_t kPart = 16 * 1024;

}  // namespace weld::bench::workloads::native
