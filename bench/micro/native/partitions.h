#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bench/workloads/column.h"
#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::micro::native {

using workloads::Column;
using workloads::native::for_each_part;

/// The rows of one thread out of several: a run of them, so that the threads' rows in turn are all in order.
struct Share {
  std::int64_t begin;
  std::int64_t end;
};
inline Share share_of(std::int64_t length, int threads, int thread) {
  return {length * thread / threads, length * (thread + 1) / threads};
}

/// Calls `body(thread, share)` once for each of `threads` shares of [0, length).
void for_each_share(std::int64_t length, int threads, auto&& body) {
  for_each_part(threads, 1, threads, [&](std::int64_t begin, std::int64_t /*end*/, int /*thread*/) {
    const int share = static_cast<int>(begin);
    body(share, share_of(length, threads, share));
  });
}

/// Rows of 8, 16, 32 or 64 bytes, brought together by a number of each: written through a line of buffer a
/// partition and past the caches. Memory lives from call to call.
template <class Row>
class Partitions {
 public:
  /// `part_of(i)` is below `num_partitions`, `row_of(i)` the row; i goes through [0, length).
  void make(std::int64_t length, std::int64_t num_partitions, int threads, auto&& part_of, auto&& row_of) {
    num_partitions_ = num_partitions;
    threads_ = threads;
    const std::size_t num_parts = static_cast<std::size_t>(num_partitions * threads);
    places_.assign(num_parts + 1, 0);
    counts_.assign(num_parts, 0);
    const std::int64_t capacity = length + static_cast<std::int64_t>(num_parts) * kLine;
    if (rows_.size() < capacity) rows_ = Column<Row>(capacity);
    for_each_share(length, threads, [&](int share, Share rows) {
      std::vector<std::int64_t> counts(static_cast<std::size_t>(num_partitions));
      for (std::int64_t i = rows.begin; i < rows.end; ++i) ++counts[part_of(i)];
      for (std::int64_t p = 0; p < num_partitions; ++p) counts_[index(p, share)] = counts[p];
    });
    // Each begins at a line of its own.
    for (std::size_t i = 0; i < num_parts; ++i)
      places_[i + 1] = places_[i] + (counts_[i] + kLine - 1) / kLine * kLine;
    for_each_share(length, threads, [&](int share, Share rows) { write(share, rows, part_of, row_of); });
  }

  std::int64_t num_partitions() const { return num_partitions_; }
  int num_shares() const { return threads_; }
  /// Rows of a partition that one thread had.
  std::span<Row> rows(std::int64_t partition, int share) const {
    const std::size_t i = index(partition, share);
    return {rows_.data() + places_[i], static_cast<std::size_t>(counts_[i])};
  }
  std::int64_t size(std::int64_t partition) const {
    std::int64_t size = 0;
    for (int share = 0; share < threads_; ++share) size += counts_[index(partition, share)];
    return size;
  }

 private:
  static constexpr std::int64_t kLine = 64 / sizeof(Row);
  using LineVector = std::uint64_t __attribute__((vector_size(64)));
  struct alignas(64) Line {
    Row rows[kLine];
  };

  std::size_t index(std::int64_t partition, int share) const {
    return static_cast<std::size_t>(partition * threads_ + share);
  }

  void write(int share, Share rows, auto&& part_of, auto&& row_of) {
    std::vector<Line> lines(static_cast<std::size_t>(num_partitions_));
    std::vector<std::int64_t> next(static_cast<std::size_t>(num_partitions_));
    for (std::int64_t p = 0; p < num_partitions_; ++p) next[p] = places_[index(p, share)];
    for (std::int64_t i = rows.begin; i < rows.end; ++i) {
      const auto p = static_cast<std::size_t>(part_of(i));
      const std::int64_t place = next[p]++;
      Line& line = lines[p];
      line.rows[place % kLine] = row_of(i);
      if (place % kLine != kLine - 1) continue;
      __builtin_nontemporal_store(*reinterpret_cast<const LineVector*>(&line),
                                  reinterpret_cast<LineVector*>(rows_.data() + place + 1 - kLine));
    }
    for (std::size_t p = 0; p < lines.size(); ++p) {
      const std::int64_t first = next[p] / kLine * kLine;
      for (std::int64_t place = first; place < next[p]; ++place) rows_[place] = lines[p].rows[place % kLine];
    }
    workloads::native::end_streaming();
  }

  Column<Row> rows_;
  std::vector<std::int64_t> places_;
  std::vector<std::int64_t> counts_;
  std::int64_t num_partitions_ = 0;
  int threads_ = 0;
};

}  // namespace weld::bench::micro::native
