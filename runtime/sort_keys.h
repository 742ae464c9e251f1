#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "runtime/abi.h"

// Keys, and the unsigned numbers of the same order that they are sorted by.

namespace weld::runtime {

/// Sorts indices of elements, stably, by a comparator of indices. In parallel when there are many.
ErrorCode merge_sort(Worker& worker, std::uint64_t* indices, std::int64_t length, SortComparator comparator,
                     void* captures) noexcept;

/// Whether finding the first `limit` of `length` elements is better than sorting them all.
bool selects_first(std::int64_t length, std::int64_t limit) noexcept;
/// Writes the first `limit` of the indices 0 to `length` - 1, in the order of the comparator.
ErrorCode first_indices(Worker& worker, std::uint64_t* indices, std::int64_t length, std::int64_t limit,
                        SortComparator comparator, void* captures) noexcept;

/// A key of type bool: any byte but 0 is true.
enum class BoolByte : std::uint8_t {};

template <class T>
struct UnsignedOf : std::make_unsigned<T> {};
template <>
struct UnsignedOf<float> {
  using type = std::uint32_t;
};
template <>
struct UnsignedOf<double> {
  using type = std::uint64_t;
};
template <>
struct UnsignedOf<BoolByte> {
  using type = std::uint8_t;
};
template <class T>
using Unsigned = typename UnsignedOf<T>::type;

template <class T>
inline constexpr Unsigned<T> kSignBit = static_cast<Unsigned<T>>(Unsigned<T>{1} << (sizeof(T) * 8 - 1));

/// A number with the order of the key: −0 = +0, all NaNs equal and last.
template <class T>
[[gnu::always_inline]] inline Unsigned<T> ordered_bits(T key) {
  using Bits = Unsigned<T>;
  if constexpr (std::is_same_v<T, BoolByte>) {
    return key != BoolByte{0};
  } else if constexpr (std::is_floating_point_v<T>) {
    // Without branches, so that loops over keys become vectors.
    const auto bits = std::bit_cast<Bits>(key);
    const auto sign = static_cast<Bits>(static_cast<std::make_signed_t<Bits>>(bits) >> (sizeof(T) * 8 - 1));
    const Bits ordered = key == T{0} ? kSignBit<T> : static_cast<Bits>(bits ^ (sign | kSignBit<T>));
    return key != key ? std::numeric_limits<Bits>::max() : ordered;
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<Bits>(static_cast<Bits>(key) ^ kSignBit<T>);
  } else {
    return key;
  }
}

/// The key of that number; +0 and one NaN where several have it.
template <class T>
[[gnu::always_inline]] inline T key_of(Unsigned<T> ordered) {
  using Bits = Unsigned<T>;
  if constexpr (std::is_floating_point_v<T>) {
    const Bits bits = ordered & kSignBit<T> ? ordered ^ kSignBit<T> : static_cast<Bits>(~ordered);
    return ordered == std::numeric_limits<Bits>::max() ? std::numeric_limits<T>::quiet_NaN()
                                                       : std::bit_cast<T>(bits);
  } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    return static_cast<T>(ordered ^ kSignBit<T>);
  } else {
    return static_cast<T>(ordered);
  }
}

/// Scalar keys, `kStride` bytes apart (0: `stride`).
template <class T, std::int64_t kStride = 0>
struct ScalarKeys {
  using Key = T;
  static constexpr bool kOneWord = true;

  const std::byte* keys;
  std::int64_t stride;

  [[gnu::always_inline]] T key(std::int64_t index) const {
    T key;
    std::memcpy(&key, keys + index * (kStride ? kStride : stride), sizeof(T));
    return key;
  }
  /// The number that the keys are sorted by.
  [[gnu::always_inline]] std::uint64_t word(std::int64_t index, std::int64_t) const {
    return ordered_bits(key(index));
  }
  bool is_exact(std::int64_t) const { return true; }
  bool is_after(Worker&, std::int64_t left, std::int64_t right) const {
    return word(left, 0) > word(right, 0);
  }
};

/// Keys that are strings: vec[i8] or vec[u8], compared by element.
template <bool kSigned>
struct StringKeys {
  static constexpr bool kOneWord = false;
  /// In the place of a depth: what is left to be compared are the lengths.
  static constexpr std::int64_t kLengths = -1;

  const std::byte* keys;
  std::int64_t stride;

  VecView key(std::int64_t index) const {
    VecView view;
    std::memcpy(&view, keys + index * stride, sizeof view);
    return view;
  }
  std::uint64_t word(std::int64_t index, std::int64_t depth) const { return word_of(key(index), depth); }
  /// Eight bytes from `depth` on, with the smallest ones after the end.
  static std::uint64_t word_of(const VecView& view, std::int64_t depth) {
    if (depth == kLengths) return static_cast<std::uint64_t>(view.length);
    const std::int64_t left = view.length - depth;
    std::uint64_t word = 0;
    if (left >= 8) {
      std::memcpy(&word, view.data + depth, 8);
    } else if (left > 0) {
      word = tail(view.data + depth, left);
    }
    // Where bytes are signed, those after the end are −128, and equal words say nothing of lengths.
    if constexpr (kSigned) {
      constexpr std::uint64_t kSigns = 0x8080808080808080;
      const std::uint64_t present = left >= 8  ? ~std::uint64_t{0}
                                    : left > 0 ? (std::uint64_t{1} << (8 * left)) - 1
                                               : 0;
      word ^= kSigns & present;
    }
    return std::byteswap(word);
  }
  bool is_exact(std::int64_t depth) const { return depth == kLengths; }
  bool is_last(std::int64_t depth) const { return depth == kLengths; }

  bool is_after(Worker&, std::int64_t left_index, std::int64_t right_index) const {
    const VecView left = key(left_index);
    const VecView right = key(right_index);
    const std::int64_t shared = std::min(left.length, right.length);
    for (std::int64_t depth = 0; depth < shared; depth += 8) {
      const std::uint64_t left_word = word_of(left, depth);
      const std::uint64_t right_word = word_of(right, depth);
      if (left_word != right_word) return left_word > right_word;
    }
    return left.length > right.length;
  }

  ErrorCode sort(Worker& worker, std::uint64_t* indices, std::int64_t length) const noexcept {
    return merge_sort(worker, indices, length, compare, const_cast<StringKeys*>(this));
  }

  /// A comparator of indices (SortComparator); `self` are the keys.
  static std::int32_t compare(Worker* worker, void* self, const void* left, const void* right, ErrorCode*) {
    std::int64_t left_index;
    std::int64_t right_index;
    std::memcpy(&left_index, left, 8);
    std::memcpy(&right_index, right, 8);
    return static_cast<const StringKeys*>(self)->is_after(*worker, left_index, right_index);
  }

  /// The depth after `depth`, for strings that all have the same word there.
  std::int64_t next_depth(const std::uint64_t* indices, std::int64_t length, std::int64_t depth) const {
    for (std::int64_t i = 0; i < length; ++i) {
      if (key(static_cast<std::int64_t>(indices[i])).length > depth + 8) return depth + 8;
    }
    return kLengths;
  }

 private:
  // Up to seven bytes, without reading others.
  static std::uint64_t tail(const std::byte* data, std::int64_t left) {
    if (left >= 4) {
      std::uint32_t low;
      std::uint32_t high;
      std::memcpy(&low, data, 4);
      std::memcpy(&high, data + left - 4, 4);
      return low | std::uint64_t{high} << (8 * (left - 4));
    }
    std::uint64_t word = 0;
    for (std::int64_t i = 0; i < left; ++i) word |= static_cast<std::uint64_t>(data[i]) << (8 * i);
    return word;
  }
};

/// An element of 16 bytes with its key, of 8, in it.
template <class T, std::int64_t kKeyOffset>
struct KeyedRow {
  using Keys = ScalarKeys<T, 16>;

  std::uint64_t words[2];

  static Keys keys_of(const std::byte* rows) { return {rows + kKeyOffset, 16}; }
  friend std::uint64_t number_of(const KeyedRow& row) {
    return ordered_bits(std::bit_cast<T>(row.words[kKeyOffset / 8]));
  }
};

/// A string.
template <bool kSigned>
struct StringRow {
  using Keys = StringKeys<kSigned>;

  VecView view;

  static Keys keys_of(const std::byte* rows) { return {rows, 16}; }
  friend std::uint64_t number_of(const StringRow& row) { return Keys::word_of(row.view, 0); }
};

/// Keys of any type, an array of them, with words that order them as far as these go.
struct ComparedKeys {
  static constexpr bool kOneWord = false;

  const std::uint64_t* words;
  std::int64_t num_words;  // of each key
  bool words_decide;       // equal words mean equal keys
  const std::byte* keys;
  std::int64_t key_bytes;
  SortComparator comparator;
  void* captures;

  std::uint64_t word(std::int64_t index, std::int64_t depth) const {
    return words[index * num_words + depth];
  }
  bool is_exact(std::int64_t depth) const { return words_decide && is_last(depth); }
  bool is_last(std::int64_t depth) const { return depth == num_words - 1; }
  std::int64_t next_depth(const std::uint64_t*, std::int64_t, std::int64_t depth) const { return depth + 1; }
  bool is_after(Worker& worker, std::int64_t left, std::int64_t right) const {
    ErrorCode code = ErrorCode::kSuccess;  // comparing keys does not fail
    return comparator(&worker, captures, keys + left * key_bytes, keys + right * key_bytes, &code) > 0;
  }
  ErrorCode sort(Worker& worker, std::uint64_t* indices, std::int64_t length) const noexcept {
    return merge_sort(worker, indices, length, compare, const_cast<ComparedKeys*>(this));
  }
  /// A comparator of indices (SortComparator); `self` are the keys.
  static std::int32_t compare(Worker* worker, void* self, const void* left, const void* right, ErrorCode*) {
    std::int64_t left_index;
    std::int64_t right_index;
    std::memcpy(&left_index, left, 8);
    std::memcpy(&right_index, right, 8);
    return static_cast<const ComparedKeys*>(self)->is_after(*worker, left_index, right_index);
  }
};

}  // namespace weld::runtime
