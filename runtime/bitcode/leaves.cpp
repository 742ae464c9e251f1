#include "runtime/bitcode/leaves.h"

#include "runtime/calls.h"
#include "runtime/hash.h"

// Compiled to LLVM bitcode, not to objects.

namespace {

template <class T>
std::int32_t compare(const T* left, std::int64_t left_length, const T* right, std::int64_t right_length) {
  const std::int64_t length = left_length < right_length ? left_length : right_length;
  for (std::int64_t i = 0; i < length; ++i)
    if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
  return left_length == right_length ? 0 : left_length < right_length ? -1 : 1;
}

}  // namespace

extern "C" {

std::uint64_t weld_bc_hash_u64(std::uint64_t bits, std::uint64_t seed) noexcept {
  return weld::runtime::hash_u64(bits, seed);
}

std::uint32_t weld_bc_key_bits_f32(float key) noexcept {
  if (key != key) return 0x7fc00000u;
  return key == 0 ? 0u : __builtin_bit_cast(std::uint32_t, key);
}

std::uint64_t weld_bc_key_bits_f64(double key) noexcept {
  if (key != key) return 0x7ff8000000000000u;
  return key == 0 ? 0u : __builtin_bit_cast(std::uint64_t, key);
}

std::uint8_t weld_bc_bytes_equal(const std::uint8_t* left, const std::uint8_t* right,
                                 std::int64_t num_bytes) noexcept {
  return __builtin_memcmp(left, right, static_cast<std::size_t>(num_bytes)) == 0;
}

std::int32_t weld_bc_compare_i8(const std::int8_t* left, std::int64_t left_length, const std::int8_t* right,
                                std::int64_t right_length) noexcept {
  return compare(left, left_length, right, right_length);
}

std::int32_t weld_bc_compare_u8(const std::uint8_t* left, std::int64_t left_length, const std::uint8_t* right,
                                std::int64_t right_length) noexcept {
  return compare(left, left_length, right, right_length);
}

std::int64_t weld_bc_nditer_offset(std::int64_t index, std::int64_t start, const std::int64_t* shape,
                                   const std::int64_t* strides, std::int64_t num_extents) noexcept {
  for (std::int64_t axis = num_extents - 1; axis >= 0; --axis) {
    start += index % shape[axis] * strides[axis];
    index /= shape[axis];
  }
  return start;
}

// Keeps every function above and every declaration of calls.h; their types are read from here.
extern const void* const weld_runtime_declarations[];
[[gnu::used]] const void* const weld_runtime_declarations[] = {
    reinterpret_cast<const void*>(&weld_bc_hash_u64),
    reinterpret_cast<const void*>(&weld_bc_key_bits_f32),
    reinterpret_cast<const void*>(&weld_bc_key_bits_f64),
    reinterpret_cast<const void*>(&weld_bc_bytes_equal),
    reinterpret_cast<const void*>(&weld_bc_compare_i8),
    reinterpret_cast<const void*>(&weld_bc_compare_u8),
    reinterpret_cast<const void*>(&weld_bc_nditer_offset),
#define WELD_RUNTIME_CALL(function) reinterpret_cast<const void*>(&weld::runtime::function),
#include "runtime/calls.def"
#undef WELD_RUNTIME_CALL
};

}  // extern "C"
