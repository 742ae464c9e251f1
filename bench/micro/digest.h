#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench/peers/plain_table.h"

namespace weld::bench::micro {

enum class RowOrder { kAny, kAsIs };

/// What is compared of results: a hash of all values, that of their order too where it matters, and what
/// people can read. Values are such that sums are exact, so equal results have equal digests.
struct Digest {
  std::int64_t num_rows = 0;
  std::uint64_t hash = 0;
  std::vector<double> sums;  ///< of the columns of numbers

  friend bool operator==(const Digest& left, const Digest& right) {
    return left.num_rows == right.num_rows && left.hash == right.hash;
  }
};

/// Of columns of equal length.
Digest digest_of(std::span<const peers::ColumnView> columns, RowOrder order);
Digest digest_of(std::span<const peers::ResultColumn> columns, RowOrder order);

std::string to_string(const Digest& digest);

}  // namespace weld::bench::micro
