#pragma once

#include <cstddef>

namespace weld::bench::tpch {

/// Address space for one column, backed by memory only where it is written, so that the space may be reserved
/// by an upper bound and filled by many threads without ever moving.
///
/// The base is 64-byte aligned; bases differ by a few cache lines modulo 2 MiB, since columns that are read
/// side by side would otherwise compete for the same cache sets. Large reservations ask for huge pages. At
/// least 64 bytes past the capacity (past `num_bytes` after `trim`) can be read.
class ColumnMemory {
 public:
  ColumnMemory() = default;
  /// Throws DataError when the system refuses the space.
  explicit ColumnMemory(std::size_t capacity_bytes);
  ColumnMemory(ColumnMemory&& other) noexcept;
  ColumnMemory& operator=(ColumnMemory&& other) noexcept;
  ~ColumnMemory();

  std::byte* data() const { return base_; }

  /// Gives the space past the first `num_bytes` back.
  void trim(std::size_t num_bytes);

 private:
  std::byte* mapping_ = nullptr;
  std::size_t mapping_bytes_ = 0;
  std::byte* base_ = nullptr;
};

}  // namespace weld::bench::tpch
