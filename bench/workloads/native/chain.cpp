#include "bench/workloads/native/native.h"
#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {

void chain(std::int64_t length, const double* x, std::int64_t rounds, const double* factors,
           const double* offsets, double* result, int threads) {
  constexpr int kVectors = 8;  // independent, to hide the latency of the operations
  const auto evaluate = [&](const Vector(&input)[kVectors], Vector(&value)[kVectors]) {
    for (int k = 0; k < kVectors; ++k) value[k] = input[k];
    for (std::int64_t round = 0; round < rounds; ++round) {
      const double factor = factors[round];
      const double offset = offsets[round];
      for (int k = 0; k < kVectors; ++k) {
        value[k] = abs_of(value[k] * factor);
        value[k] = value[k] + input[k];
        value[k] = value[k] - offset;
      }
    }
  };
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
    Vector input[kVectors];
    Vector value[kVectors];
    std::int64_t i = begin;
    for (; i + kVectors * kLanes <= end; i += kVectors * kLanes) {
      for (int k = 0; k < kVectors; ++k) input[k] = load_ahead(x + i + k * kLanes);
      evaluate(input, value);
      for (int k = 0; k < kVectors; ++k) stream(result + i + k * kLanes, value[k]);
    }
    end_streaming();
    for (; i < end; i += kLanes) {
      const std::int64_t count = end - i < kLanes ? end - i : kLanes;
      for (int k = 0; k < kVectors; ++k) input[k] = load_first(x + i, count, 0.0);
      evaluate(input, value);
      store_first(result + i, value[0], count);
    }
  });
}

}  // namespace weld::bench::workloads::native
