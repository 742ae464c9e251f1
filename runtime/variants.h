#pragma once

#include <array>
#include <cstdint>
#include <mutex>

#include "runtime/loop_statistics.h"

namespace weld::runtime {

/// Chooses, morsel by morsel, which of several variants of a loop's body runs: functions that do the same at
/// different cost, which depends on the data (DESIGN.md §7).
///
/// Each variant is tried on a small part of a morsel; the one that took the fewest cycles a row gets the
/// rest. The others are tried again now and then, the more seldom the more they cost, and at once when the
/// cost of the chosen one changes.
///
/// Cost     on steady data within 5 % of always running the best one; 20 morsels after a change the choice is
///          right again. About 100 ns a morsel.
/// Threads  any number at a time; those that work on a loop learn from each other
class VariantSelector {
 public:
  /// \param num_variants  from 1 to kMaxVariants
  explicit VariantSelector(std::uint32_t num_variants = 1) noexcept;

  struct Choice {
    std::uint32_t variant;
    std::int64_t rows;  ///< that it is to run, the first ones of those offered; at least 1
  };
  /// Who is to run the next `rows` (at least 1), or the first of them. A part is a multiple of `step_rows`
  /// (at least 1), or all.
  Choice choose(std::int64_t rows, std::int64_t step_rows) noexcept;
  /// What that took. Rows that failed are not told of.
  void report(Choice choice, std::uint64_t cycles) noexcept;

  /// The variant that is taken for the best.
  std::uint32_t best() const noexcept;

 private:
  struct Variant {
    double cycles_a_row = 0;  // of late
    std::int64_t num_tried = 0;
    std::int64_t num_told = 0;
    std::int64_t tried_at = 0;  // num_morsels_ then
  };

  bool wants_trial(std::uint32_t variant) const noexcept;
  bool choose_best() noexcept;
  bool has_changed() const noexcept;

  mutable std::mutex mutex_;
  std::array<Variant, kMaxVariants> variants_{};
  std::uint32_t num_variants_;
  std::uint32_t best_ = 0;
  std::int64_t num_morsels_ = 0;  // offered, parts not counted
  double settled_cycles_ = 0;     // of the best one a row, when the others were last compared with it
  std::int64_t settled_at_ = 0;
};

}  // namespace weld::runtime
