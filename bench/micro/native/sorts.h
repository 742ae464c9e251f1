#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bench/workloads/native/strings.h"

namespace weld::bench::micro::native {

/// A key and what goes with it.
struct KeyedRow {
  std::uint64_t key;
  std::uint64_t value;
};

/// Sorts into memory that lives from run to run: partitions by the leading bits that differ, each of which
/// then is sorted in the cache.
class Sort {
 public:
  Sort();
  ~Sort();

  void numbers(std::int64_t length, const std::int64_t* values, std::int64_t* result, int threads);
  /// No NaN.
  void floats(std::int64_t length, const double* values, double* result, int threads);
  void pairs(std::int64_t length, const std::int64_t* keys, const double* values, std::int64_t* result_keys,
             double* result_values, int threads);
  void strings(std::int64_t length, const workloads::native::String* values,
               workloads::native::String* result, int threads);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The `count` least values, in order. No NaN.
std::vector<double> least(std::int64_t length, const double* values, std::int64_t count, int threads);

}  // namespace weld::bench::micro::native
