#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "bench/tpch/memory.h"

namespace weld::bench::workloads {

/// Elements in memory of huge pages, as the runtime allocates them; used for inputs, and for outputs of
/// hand-written code, which go to the same memory in every run.
template <class T>
class Column {
 public:
  Column() = default;
  explicit Column(std::int64_t length)
      : memory_(static_cast<std::size_t>(length) * sizeof(T)), length_(length) {}

  std::int64_t size() const { return length_; }
  T* data() const { return reinterpret_cast<T*>(memory_.data()); }
  T* begin() const { return data(); }
  T* end() const { return data() + length_; }
  T& operator[](std::int64_t i) const { return data()[i]; }
  std::span<const T> view() const { return {data(), static_cast<std::size_t>(length_)}; }
  std::int64_t num_bytes() const { return length_ * static_cast<std::int64_t>(sizeof(T)); }

 private:
  tpch::ColumnMemory memory_;
  std::int64_t length_ = 0;
};

/// Pseudo-random numbers by index: the same data whatever the order in which they are made.
class RandomStream {
 public:
  explicit RandomStream(std::uint64_t seed) : seed_(seed * 0x9e3779b97f4a7c15u) {}

  std::uint64_t bits(std::int64_t i) const {
    std::uint64_t x = seed_ + static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;  // splitmix64
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  /// In [0, 1).
  double unit(std::int64_t i) const { return static_cast<double>(bits(i) >> 11) * 0x1p-53; }
  double uniform(std::int64_t i, double low, double high) const { return low + (high - low) * unit(i); }
  std::int64_t below(std::int64_t i, std::int64_t bound) const {
    return static_cast<std::int64_t>(unit(i) * static_cast<double>(bound));
  }

 private:
  std::uint64_t seed_;
};

/// A column whose element i is `make(i)`.
template <class T, class F>
Column<T> make_column(std::int64_t length, F&& make) {
  Column<T> column(length);
  for (std::int64_t i = 0; i < length; ++i) column[i] = static_cast<T>(make(i));
  return column;
}

inline Column<double> uniform_column(std::int64_t length, std::uint64_t seed, double low, double high) {
  const RandomStream random(seed);
  return make_column<double>(length, [&](std::int64_t i) { return random.uniform(i, low, high); });
}

}  // namespace weld::bench::workloads
