#pragma once

#include <cstdint>

#include "runtime/abi.h"

// Dense tables: dictionaries whose keys are integers from a small range, or structs of few such. The index of
// a key's entry is looked up by the key itself, without a hash, a probe or a comparison.
//
// A dictionary begins hashed. When its entries have filled their room, its keys are looked at: those of a
// range with not many more places than there may be entries make it dense. A key outside of the range makes
// the range larger, or the table hashed again when it would be too large. Entries are never moved by that:
// they stand in the order of their first merge in either kind.

namespace weld::runtime {

/// In a key_shape (16 bits a field, from the lowest): where the field is in an entry, how many bytes it has
/// and whether they are signed.
constexpr std::uint64_t key_field(std::uint64_t offset_bytes, std::uint64_t size_bytes, bool is_signed) {
  return std::uint64_t{1} << 13 | std::uint64_t{is_signed} << 12 | size_bytes << 8 | offset_bytes;
}
inline constexpr std::int64_t kKeyFieldBits = 16;
inline constexpr std::uint64_t kMaxKeyFieldOffset = 255;
/// In a key_shape: dense from the first key on, and as long as memory allows.
inline constexpr std::uint64_t kForcedDense = 1 << 14;

inline bool is_dense(const Dict& dict) {
  return dict.num_places != 0;
}

/// The places of a dense table.
struct DenseRange {
  DenseField fields[kMaxDenseFields];
  std::uint64_t num_places;
};

/// Whether the keys of a hashed table are from a range that is small beside `capacity` entries; `range` is
/// then one that holds them.
bool find_range(const Dict& dict, std::int64_t capacity, DenseRange& range) noexcept;
/// Widens `range` so that it has what `other` has, both of keys of that shape; false if it is then too large
/// for `capacity` entries. One without places has no keys.
bool unite_ranges(std::uint64_t key_shape, std::int64_t capacity, const DenseRange& other,
                  DenseRange& range) noexcept;
/// Makes a table that has all of its keys in `range` dense: in parallel when large. On failure it is as
/// before.
ErrorCode make_dense(Worker* worker, Dict& dict, const DenseRange& range) noexcept;
/// Makes a dense table a hashed one. On failure it is as before.
ErrorCode make_hashed(Worker* worker, Dict& dict) noexcept;
/// The hash of an entry's key, as in slots.
std::uint32_t entry_hash(const Dict& dict, const std::byte* entry) noexcept;

/// Whether parts of a loop, all of them tables, are dense and together small enough to be.
bool combine_densely(std::byte* parts, std::int64_t stride_bytes, std::int64_t count,
                     DenseRange& range) noexcept;
/// Adds such parts to the first one, in their order: each in parallel.
ErrorCode combine_dense(Worker* worker, std::byte* parts, std::int64_t stride_bytes, std::int64_t count,
                        const DenseRange& range, const DictMergeOps& ops) noexcept;

}  // namespace weld::runtime
