#pragma once

#include <cstddef>
#include <cstdint>

namespace weld::differential {

/// A stream of random numbers that is the same everywhere (splitmix64).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  /// In [0, bound).
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(bits() % bound); }
  bool chance(int percent) { return below(100) < static_cast<std::size_t>(percent); }
  template <class Range>
  const auto& pick(const Range& range) {
    return range[below(std::size(range))];
  }

 private:
  std::uint64_t state_;
};

}  // namespace weld::differential
