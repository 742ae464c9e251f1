#pragma once

#include <cstdint>

namespace weld::bench::tpch {

/// A scale factor and the numbers that follow from it. From 1 on the factor counts in whole steps (2.7 is 2),
/// below 1 in thousandths.
class Scale {
 public:
  /// Throws DataError unless 0.001 <= scale_factor < 30000 (from there on the official generator draws keys
  /// from another kind of stream).
  explicit Scale(double scale_factor);

  std::int64_t num_parts() const { return count_of(200'000); }
  std::int64_t num_suppliers() const { return count_of(10'000); }
  std::int64_t num_customers() const { return count_of(150'000); }
  std::int64_t num_orders() const { return count_of(1'500'000); }
  std::int64_t num_clerks() const { return 1'000 * whole_; }

 private:
  std::int64_t count_of(std::int64_t base) const;

  std::int64_t whole_ = 1;
  std::int64_t thousandths_ = 1'000;  // of `whole_`
};

}  // namespace weld::bench::tpch
