#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/tpch/streams.h"

namespace weld::bench::tpch {

/// The kinds of text with few distinct values, which columns store as codes.
enum class WordListId : std::uint8_t {
  kBrands,
  kContainers,
  kInstructions,
  kLineStatuses,
  kManufacturers,
  kModes,
  kNations,
  kOrderStatuses,
  kPriorities,
  kRegions,
  kReturnFlags,
  kSegments,
  kTypes,
};
inline constexpr std::size_t kNumWordLists = 13;

/// A word and the bar after it, to be written by copying the whole array.
struct PaddedWord {
  std::array<char, 32> bytes;
  std::size_t num_bytes;
};

struct WordList {
  std::vector<std::string> words;    ///< sorted; a word's place is its code, so codes compare as the texts do
  std::vector<PaddedWord> padded;    ///< the same, to be printed
  PickTable<std::uint8_t> picks;     ///< codes by weight; of no use for words that are not picked
  std::vector<std::uint8_t> listed;  ///< codes in the order of dists.dss

  std::optional<std::uint8_t> code_of(std::string_view word) const;
};

/// All words that the generator can make, and the names of parts.
class Vocabulary {
 public:
  static const Vocabulary& official();

  const WordList& list(WordListId id) const { return lists_[static_cast<std::size_t>(id)]; }
  const std::vector<std::string>& colours() const { return colours_; }
  /// The region keys of the nations 0 … 24.
  const std::vector<std::int8_t>& nation_regions() const { return nation_regions_; }

 private:
  Vocabulary();

  std::array<WordList, kNumWordLists> lists_;
  std::vector<std::string> colours_;
  std::vector<std::int8_t> nation_regions_;
};

}  // namespace weld::bench::tpch
