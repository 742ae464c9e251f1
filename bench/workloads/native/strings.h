#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace weld::bench::workloads::native {

/// A string in a text that can be read 16 bytes past its end.
struct String {
  const std::uint8_t* data;
  std::int64_t length;

  std::string_view view() const {
    return {reinterpret_cast<const char*>(data), static_cast<std::size_t>(length)};
  }
};

/// The first 8 bytes of a string, zeros after its end.
inline std::uint64_t first_bytes(String string) {
  std::uint64_t bytes;
  std::memcpy(&bytes, string.data, sizeof bytes);
  return string.length >= 8 ? bytes : bytes & ((std::uint64_t{1} << (8 * string.length)) - 1);
}

}  // namespace weld::bench::workloads::native
