#include "bench/tpch/words.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/tpch/dists.h"
#include "bench/tpch/error.h"

namespace weld::bench::tpch {
namespace {

// Numbers the words; those of weight 0 or less, and so all without weights, are never picked.
WordList word_list(std::span<const DistEntry> entries) {
  WordList list;
  for (const DistEntry& entry : entries) list.words.push_back(entry.token);
  std::ranges::sort(list.words);
  for (const std::string& word : list.words) {
    PaddedWord& padded = list.padded.emplace_back();
    if (word.size() >= padded.bytes.size())
      throw DataError(fmt::format("dists.dss: \"{}\" is too long", word));
    *std::ranges::copy(word, padded.bytes.begin()).out = '|';
    padded.num_bytes = word.size() + 1;
  }
  std::vector<std::uint8_t> slots;
  for (const DistEntry& entry : entries) {
    const std::uint8_t code = *list.code_of(entry.token);
    list.listed.push_back(code);
    slots.insert(slots.end(), static_cast<std::size_t>(std::max(entry.weight, 0)), code);
  }
  list.picks = PickTable<std::uint8_t>(slots);
  return list;
}

WordList unpicked(std::span<const std::string> words) {
  std::vector<DistEntry> entries;
  for (const std::string& word : words) entries.push_back({word, 0});
  return word_list(entries);
}

std::vector<std::string> brands() {
  std::vector<std::string> names;
  for (int manufacturer = 1; manufacturer <= 5; ++manufacturer) {
    for (int brand = 1; brand <= 5; ++brand) names.push_back(fmt::format("Brand#{}{}", manufacturer, brand));
  }
  return names;
}

std::vector<std::string> manufacturers() {
  std::vector<std::string> names;
  for (int manufacturer = 1; manufacturer <= 5; ++manufacturer) {
    names.push_back(fmt::format("Manufacturer#{}", manufacturer));
  }
  return names;
}

// Lines that were not received yet are flagged N, which is never picked.
WordList return_flags(const Dists& dists) {
  const auto picked = dists.list("rflag");
  std::vector<DistEntry> entries(picked.begin(), picked.end());
  entries.push_back({"N", 0});
  return word_list(entries);
}

}  // namespace

std::optional<std::uint8_t> WordList::code_of(std::string_view word) const {
  const auto found = std::ranges::lower_bound(words, word);
  if (found == words.end() || *found != word) return std::nullopt;
  return static_cast<std::uint8_t>(found - words.begin());
}

Vocabulary::Vocabulary() {
  const Dists& dists = Dists::official();
  const auto set = [&](WordListId id, WordList list) {
    lists_[static_cast<std::size_t>(id)] = std::move(list);
  };
  set(WordListId::kBrands, unpicked(brands()));
  set(WordListId::kContainers, word_list(dists.list("p_cntr")));
  set(WordListId::kInstructions, word_list(dists.list("instruct")));
  set(WordListId::kLineStatuses, unpicked(std::array<std::string, 2>{"F", "O"}));
  set(WordListId::kManufacturers, unpicked(manufacturers()));
  set(WordListId::kModes, word_list(dists.list("smode")));
  set(WordListId::kNations, word_list(dists.list("nations")));
  set(WordListId::kOrderStatuses, unpicked(std::array<std::string, 3>{"F", "O", "P"}));
  set(WordListId::kPriorities, word_list(dists.list("o_oprio")));
  set(WordListId::kRegions, word_list(dists.list("regions")));
  set(WordListId::kReturnFlags, return_flags(dists));
  set(WordListId::kSegments, word_list(dists.list("msegmnt")));
  set(WordListId::kTypes, word_list(dists.list("p_types")));

  for (const DistEntry& colour : dists.list("colors")) colours_.push_back(colour.token);
  int region = 0;  // the weights of the nations are steps from one region key to the next
  for (const DistEntry& nation : dists.list("nations")) {
    nation_regions_.push_back(static_cast<std::int8_t>(region += nation.weight));
  }
}

const Vocabulary& Vocabulary::official() {
  static const Vocabulary vocabulary;
  return vocabulary;
}

}  // namespace weld::bench::tpch
