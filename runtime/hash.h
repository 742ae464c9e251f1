#pragma once

#include <cstdint>

// Plain functions for native code and for the bitcode module: the only place that says how keys are hashed.
//
// Scalars of a key are packed into words of 64 bits, in order, as long as they fit; a vector ends a word.
// Words go through hash_word, vectors of integers of up to kShortBytes through hash_short, longer ones
// through weld_rt_hash_bytes, other vectors element by element. The hash of one part is the state of the
// next. Generated code does the same (codegen/comparison.cpp).

namespace weld::runtime {

inline constexpr std::uint64_t kHashMultiplier = 0xe7037ed1a0b428dbull;
inline constexpr std::int64_t kShortBytes = 16;

/// Two multiplications, which vectors of integers have too. The first is by the process's secret, odd, after
/// which equal upper bits are as rare as they can be for any two keys; the second takes what it left in the
/// lower bits up. The upper 32 bits are the ones that are well mixed.
inline std::uint64_t hash_word(std::uint64_t word, std::uint64_t state, std::uint64_t seed) noexcept {
  const std::uint64_t product = (word ^ state) * seed;
  return (product ^ product >> 32) * kHashMultiplier;
}

/// The two halves of the product, folded.
inline std::uint64_t fold_multiply(std::uint64_t a, std::uint64_t b) noexcept {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// Hashes at most kShortBytes bytes: two reads that may overlap, and two rounds as wyhash's. Both factors
/// hold secret bits, so that nobody can make one of them zero.
inline std::uint64_t hash_short(const std::uint8_t* data, std::int64_t num_bytes, std::uint64_t state,
                                std::uint64_t seed) noexcept {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  if (num_bytes >= 8) {
    __builtin_memcpy(&first, data, 8);
    __builtin_memcpy(&last, data + num_bytes - 8, 8);
  } else if (num_bytes >= 4) {
    std::uint32_t low;
    std::uint32_t high;
    __builtin_memcpy(&low, data, 4);
    __builtin_memcpy(&high, data + num_bytes - 4, 4);
    first = low;
    last = high;
  } else if (num_bytes > 0) {
    first = data[0] | static_cast<std::uint64_t>(data[num_bytes / 2]) << 8;
    last = data[num_bytes - 1];
  }
  const std::uint64_t mixed = fold_multiply(first ^ seed, last ^ seed * kHashMultiplier ^ state);
  return fold_multiply(mixed ^ static_cast<std::uint64_t>(num_bytes) ^ seed, kHashMultiplier);
}

/// Packs the scalars of a key into words.
class KeyHasher {
 public:
  explicit KeyHasher(std::uint64_t seed) : seed_(seed) {}

  /// Adds a scalar's bits, zero-extended.
  void add(std::uint64_t bits, int width) noexcept {
    if (used_bits_ + width > 64) end_word();
    word_ |= bits << used_bits_;
    used_bits_ += width;
  }
  void end_word() noexcept {
    if (used_bits_ > 0) state_ = hash_word(word_, state_, seed_);
    word_ = 0;
    used_bits_ = 0;
  }
  std::uint64_t state() const noexcept { return state_; }
  void set_state(std::uint64_t state) noexcept { state_ = state; }

 private:
  std::uint64_t seed_;
  std::uint64_t state_ = 0;
  std::uint64_t word_ = 0;
  int used_bits_ = 0;
};

}  // namespace weld::runtime
