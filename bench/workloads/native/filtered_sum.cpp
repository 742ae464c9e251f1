#include "bench/workloads/native/native.h"
#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {

double filtered_sum(std::int64_t length, const double* x, const double* y, double limit, int threads) {
  PerThread<double> sums;
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    constexpr int kSums = 4;
    Vector parts[kSums] = {};
    std::int64_t i = begin;
    for (; i + kSums * kLanes <= end; i += kSums * kLanes) {
      for (int k = 0; k < kSums; ++k) {
        const Vector left = load_ahead(x + i + k * kLanes);
        const Vector product = left * load_ahead(y + i + k * kLanes);
        parts[k] += left < limit ? product : Vector{};
      }
    }
    double sum = sum_lanes((parts[0] + parts[1]) + (parts[2] + parts[3]));
    for (; i < end; ++i) sum += x[i] < limit ? x[i] * y[i] : 0.0;
    sums[thread] += sum;
  });
  double total = 0;
  for (int thread = 0; thread < threads; ++thread) total += sums[thread];
  return total;
}

}  // namespace weld::bench::workloads::native
