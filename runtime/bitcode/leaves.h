#pragma once

#include <cstdint>

// Functions that generated code inlines: scalars and pointers in, scalars out; no allocation, no globals, no
// calls out.

extern "C" {

/// runtime/hash.h: hash_short.
std::uint64_t weld_bc_hash_short(const std::uint8_t* data, std::int64_t num_bytes, std::uint64_t state,
                                 std::uint64_t seed) noexcept;

/// 1 if the `num_bytes` (at least 0) are equal, else 0. Not for elements with floats.
std::uint8_t weld_bc_bytes_equal(const std::uint8_t* left, const std::uint8_t* right,
                                 std::int64_t num_bytes) noexcept;

/// Compares vec[i8] and vec[u8] by element, then by length: -1, 0 or 1.
std::int32_t weld_bc_compare_i8(const std::int8_t* left, std::int64_t left_length, const std::int8_t* right,
                                std::int64_t right_length) noexcept;
std::int32_t weld_bc_compare_u8(const std::uint8_t* left, std::int64_t left_length, const std::uint8_t* right,
                                std::int64_t right_length) noexcept;

/// The place of iteration `index` of an nditer: start + dot(counter, strides), the counter row-major over
/// shape.
std::int64_t weld_bc_nditer_offset(std::int64_t index, std::int64_t start, const std::int64_t* shape,
                                   const std::int64_t* strides, std::int64_t num_extents) noexcept;

}  // extern "C"
