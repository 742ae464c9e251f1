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

template <class Word>
Word read(const std::uint8_t* data) {
  Word word;
  __builtin_memcpy(&word, data, sizeof word);
  return word;
}

template <class Word>
bool equal_ends(const std::uint8_t* left, const std::uint8_t* right, std::int64_t num_bytes) {
  const std::int64_t last = num_bytes - static_cast<std::int64_t>(sizeof(Word));
  return ((read<Word>(left) ^ read<Word>(right)) | (read<Word>(left + last) ^ read<Word>(right + last))) == 0;
}

}  // namespace

extern "C" {

std::uint64_t weld_bc_hash_short(const std::uint8_t* data, std::int64_t num_bytes, std::uint64_t state,
                                 std::uint64_t seed) noexcept {
  return weld::runtime::hash_short(data, num_bytes, state, seed);
}

std::uint8_t weld_bc_bytes_equal(const std::uint8_t* left, const std::uint8_t* right,
                                 std::int64_t num_bytes) noexcept {
  // Short strings by two reads of each that may overlap: no call.
  if (num_bytes > 16) {
    return read<std::uint64_t>(left) == read<std::uint64_t>(right) &&
           __builtin_memcmp(left + 8, right + 8, static_cast<std::size_t>(num_bytes) - 8) == 0;
  }
  if (num_bytes >= 8) return equal_ends<std::uint64_t>(left, right, num_bytes);
  if (num_bytes >= 4) return equal_ends<std::uint32_t>(left, right, num_bytes);
  for (std::int64_t i = 0; i < num_bytes; ++i)
    if (left[i] != right[i]) return 0;
  return 1;
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
    reinterpret_cast<const void*>(&weld_bc_hash_short),
    reinterpret_cast<const void*>(&weld_bc_bytes_equal),
    reinterpret_cast<const void*>(&weld_bc_compare_i8),
    reinterpret_cast<const void*>(&weld_bc_compare_u8),
    reinterpret_cast<const void*>(&weld_bc_nditer_offset),
#define WELD_RUNTIME_CALL(function) reinterpret_cast<const void*>(&weld::runtime::function),
#include "runtime/calls.def"
#undef WELD_RUNTIME_CALL
};

}  // extern "C"
