#include <algorithm>
#include <vector>

#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/tables.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {
namespace {

inline Vector index_of(const Cities& cities, std::int64_t i) {
  return exp_of((load_ahead(cities.inhabitants + i) * 1e-7 + load_ahead(cities.adults + i) * 2e-7) -
                load_ahead(cities.robberies + i) * 2e-4);
}
inline Vector index_of_first(const Cities& cities, std::int64_t i, std::int64_t count) {
  return exp_of((load_first(cities.inhabitants + i, count, 0.0) * 1e-7 +
                 load_first(cities.adults + i, count, 0.0) * 2e-7) -
                load_first(cities.robberies + i, count, 0.0) * 2e-4);
}

// Calls `body(place, index)` for each large city of the part.
template <class F>
inline void for_each_large(const Cities& cities, std::int64_t begin, std::int64_t end, F&& body) {
  for (std::int64_t i = begin; i < end; i += kLanes) {
    const std::int64_t count = std::min<std::int64_t>(kLanes, end - i);
    const Vector index = count == kLanes ? index_of(cities, i) : index_of_first(cities, i, count);
    for (std::int64_t k = 0; k < count; ++k)
      if (cities.inhabitants[i + k] > 500'000.0) body(i + k, index[k]);
  }
}

}  // namespace

// The largest index first, then, with the indices computed again, the sums.
void crime_index(const Cities& cities, int threads) {
  PerThread<double> largest;
  for_each_part(cities.length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    Vector largest_lanes = {};
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      const Vector index = load_ahead(cities.inhabitants + i) > 500'000.0 ? index_of(cities, i) : Vector{};
      largest_lanes = index > largest_lanes ? index : largest_lanes;
    }
    double value = largest[thread];
    for (int lane = 0; lane < kLanes; ++lane) value = std::max(value, largest_lanes[lane]);
    for_each_large(cities, i, end, [&](std::int64_t, double index) { value = std::max(value, index); });
    largest[thread] = value;
  });
  double all = 0;
  for (int thread = 0; thread < threads; ++thread) all = std::max(all, largest[thread]);

  struct Groups {
    double sums[kStates];
    std::int64_t counts[kStates];
  };
  PerThread<Groups> groups;
  for_each_part(cities.length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    Groups& of_thread = groups[thread];
    for_each_large(cities, begin, end, [&](std::int64_t i, double index) {
      double value = index / all * 0.05;
      value = value >= 0.02 ? 0.032 : value;
      value = value < 0.01 ? 0.005 : value;
      of_thread.sums[cities.states[i]] += value;
      of_thread.counts[cities.states[i]] += 1;
    });
  });
  for (std::int64_t state = 0; state < kStates; ++state) {
    cities.sums[state] = 0;
    cities.counts[state] = 0;
    for (int thread = 0; thread < threads; ++thread) {
      cities.sums[state] += groups[thread].sums[state];
      cities.counts[state] += groups[thread].counts[state];
    }
  }
}

}  // namespace weld::bench::workloads::native
