#pragma once

#include <cstdint>
#include <memory>

namespace weld::bench::micro::native {

/// Joins with a table of distinct numbers, none of them the least one. Memory lives from run to run.
class Join {
 public:
  Join();
  ~Join();

  /// The sum of the products of `values` with the payloads of their keys.
  double sum_products(std::int64_t length, const std::int64_t* keys, const double* values,
                      std::int64_t num_keys, const std::int64_t* table_keys, const double* payloads,
                      int threads);

  /// The sum of the values whose keys are in the table. `few` says that a small part of them is.
  double sum_present(std::int64_t length, const std::int64_t* keys, const double* values,
                     std::int64_t num_keys, const std::int64_t* table_keys, bool few, int threads);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weld::bench::micro::native
