#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "ir/types.h"
#include "ir/value.h"

namespace weld::builders {

/// A type of keys, and how long its strings are.
struct KeyKind {
  std::string_view name;
  std::string_view type;      ///< as programs write it
  bool long_strings = false;  ///< more than fit beside a hash, with the same beginnings
};

/// Integers of all widths, floats, bool, structs and strings.
std::span<const KeyKind> key_kinds();

/// Which keys the rows have.
enum class Distribution {
  kFew,        ///< 300 keys alike
  kMany,       ///< half as many keys as rows, alike
  kZipf,       ///< after Zipf's law with 1.2
  kOneKey,     ///< one for all
  kDistinct,   ///< one for each
  kSorted,     ///< in order, three rows each
  kColliding,  ///< numbers whose low 40 bits are equal, where the type holds them
  kRange,      ///< 2,000 neighbours around 0, every third of them left out
  kGrowing,    ///< a range that grows down and up, and now and then a key far outside of it
  kExtremes,   ///< the least and the greatest ones of the type
};
inline constexpr Distribution kDistributions[] = {
    Distribution::kFew,      Distribution::kMany,    Distribution::kZipf,      Distribution::kOneKey,
    Distribution::kDistinct, Distribution::kSorted,  Distribution::kColliding, Distribution::kRange,
    Distribution::kGrowing,  Distribution::kExtremes};
/// Some of them, that differ most.
inline constexpr Distribution kSomeDistributions[] = {Distribution::kMany, Distribution::kZipf,
                                                      Distribution::kColliding, Distribution::kRange,
                                                      Distribution::kGrowing};
std::string_view name_of(Distribution distribution);

/// The number of each row's key.
std::vector<std::int64_t> key_numbers(Distribution distribution, std::int64_t length);

/// The key with a number: different numbers give different keys as far as the type has so many, and those of
/// floats NaN, infinity and both zeros.
ir::Value key_of(const KeyKind& kind, ir::Type type, std::int64_t number);

/// A vector of such keys; `type` is theirs.
ir::Value key_column(const KeyKind& kind, ir::Type type, std::span<const std::int64_t> numbers);

/// Small whole numbers as f64, i64 or whatever `type` is, so that products neither overflow nor vanish: sums
/// show every value that is missing.
ir::Value value_column(ir::Type type, std::int64_t length);

}  // namespace weld::builders
