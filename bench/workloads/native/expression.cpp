#include "bench/workloads/native/native.h"
#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {
namespace {

inline Vector evaluate(Vector x, Vector y) {
  return ((x * x + 2.0 * x) - y) * (x - 0.5) + abs_of(y - x);
}

}  // namespace

void expression(std::int64_t length, const double* x, const double* y, double* result, int threads) {
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) stream(result + i, evaluate(load_ahead(x + i), load_ahead(y + i)));
    if (i < end) {
      const Vector rest = evaluate(load_first(x + i, end - i, 0.0), load_first(y + i, end - i, 0.0));
      store_first(result + i, rest, end - i);
    }
    end_streaming();
  });
}

double expression_sum(std::int64_t length, const double* x, const double* y, int threads) {
  PerThread<double> sums;
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    constexpr int kSums = 4;  // independent, to hide the latency of addition
    Vector parts[kSums] = {};
    std::int64_t i = begin;
    for (; i + kSums * kLanes <= end; i += kSums * kLanes) {
      for (int k = 0; k < kSums; ++k)
        parts[k] += evaluate(load_ahead(x + i + k * kLanes), load_ahead(y + i + k * kLanes));
    }
    double sum = sum_lanes((parts[0] + parts[1]) + (parts[2] + parts[3]));
    for (; i < end; ++i) sum += evaluate(broadcast(x[i]), broadcast(y[i]))[0];
    sums[thread] += sum;
  });
  double total = 0;
  for (int thread = 0; thread < threads; ++thread) total += sums[thread];
  return total;
}

}  // namespace weld::bench::workloads::native
