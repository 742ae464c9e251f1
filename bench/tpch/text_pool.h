#pragma once

#include <cstdint>
#include <string_view>

#include "bench/tpch/memory.h"

namespace weld::bench::tpch {

/// The text of which every comment is a slice: 300 MiB of sentences, the same for every scale factor.
class TextPool {
 public:
  static constexpr std::int64_t kNumBytes = 314'572'800;

  /// The pool of this process, written at the first call. Later calls ignore `num_threads`.
  static const TextPool& shared(int num_threads);

  explicit TextPool(int num_threads);

  std::string_view slice(std::int64_t offset, std::int64_t num_bytes) const {
    return {reinterpret_cast<const char*>(memory_.data()) + offset, static_cast<std::size_t>(num_bytes)};
  }

 private:
  ColumnMemory memory_;
};

}  // namespace weld::bench::tpch
