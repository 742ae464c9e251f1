#pragma once

#include <cstdint>
#include <memory>

namespace weld::bench::micro::native {

/// Writes the values below a limit to `result`, in their order; how many. Eight more may be written over.
std::int64_t filter(std::int64_t length, const double* values, double limit, double* result, int threads);
/// The sum of the values below a limit.
double filter_sum(std::int64_t length, const double* values, double limit, int threads);

/// Counts values in [0, 1) by 256 equal ranges.
void histogram(std::int64_t length, const double* values, std::int64_t* counts, int threads);

/// `result[i]` is `start[i]` and the values whose places are i. Memory lives from run to run.
class Scatter {
 public:
  Scatter();
  ~Scatter();

  void run(std::int64_t length, const std::int64_t* places, const double* values, std::int64_t num_places,
           const double* start, double* result, int threads);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weld::bench::micro::native
