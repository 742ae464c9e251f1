#pragma once

#include <cstdint>

// Plain functions for native code and for the bitcode module: the only place that says how keys are hashed.

namespace weld::runtime {

inline constexpr std::uint64_t kHashSecret0 = 0xa0761d6478bd642full;
inline constexpr std::uint64_t kHashSecret1 = 0xe7037ed1a0b428dbull;

/// The two halves of the product, folded.
inline std::uint64_t fold_multiply(std::uint64_t a, std::uint64_t b) noexcept {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// Hashes a scalar's bits, zero- or sign-extended. All 64 bits are well mixed (wyhash's two rounds). Keys of
/// several parts: the hash of one part is the seed of the next.
inline std::uint64_t hash_u64(std::uint64_t bits, std::uint64_t seed) noexcept {
  const std::uint64_t a = bits ^ kHashSecret0;
  const std::uint64_t b = seed ^ kHashSecret1;
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return fold_multiply(static_cast<std::uint64_t>(product) ^ kHashSecret0,
                       static_cast<std::uint64_t>(product >> 64) ^ kHashSecret1);
}

}  // namespace weld::runtime
