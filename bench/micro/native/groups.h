#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "bench/micro/native/partitions.h"
#include "bench/micro/native/sum_table.h"

namespace weld::bench::micro::native {

/// Sums by key, or the distinct keys; the author knows about how many there are. Results and memory live
/// until the next run.
template <class Row>
class GroupSums {
 public:
  explicit GroupSums(std::int64_t expected_keys);
  ~GroupSums();

  /// `keys` of numbers or strings, `values` not read for distinct keys.
  template <class Key>
  void run(std::int64_t length, const Key* keys, const double* values, int threads);

  std::span<const Row> rows() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The values of each key, in their order: a contiguous array of all, and where each key's begin.
class ValueGroups {
 public:
  struct Group {
    std::int64_t key;
    const double* values;
    std::int64_t length;
  };

  explicit ValueGroups(std::int64_t expected_keys);
  ~ValueGroups();

  void run(std::int64_t length, const std::int64_t* keys, const double* values, int threads);
  std::span<const Group> groups() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weld::bench::micro::native
