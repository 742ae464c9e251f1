#include "runtime/hash.h"

#include <xxhash.h>

#include "runtime/calls.h"

namespace weld::runtime {

extern "C" std::uint64_t weld_rt_hash_bytes(const std::byte* data, std::int64_t length,
                                            std::uint64_t seed) noexcept {
  return XXH3_64bits_withSeed(data, static_cast<std::size_t>(length), seed);
}

}  // namespace weld::runtime
