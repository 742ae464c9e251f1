#include "bench/tpch/text_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "bench/tpch/dists.h"
#include "bench/tpch/error.h"
#include "bench/tpch/morsels.h"
#include "bench/tpch/streams.h"

namespace weld::bench::tpch {
namespace {

// The pool is sequential by nature: how many numbers a sentence draws depends on the numbers. So that several
// threads can write it, these are offsets at which sentences start, with the state before their first draw.
struct Checkpoint {
  std::int64_t offset;
  std::uint64_t state;
};
constexpr std::array<Checkpoint, 16> kCheckpoints = {{
    {0, 933588178},
    {19660810, 563391851},
    {39321619, 374858592},
    {58982448, 1037153816},
    {78643223, 123793686},
    {98304011, 181171974},
    {117964817, 1062410537},
    {137625648, 652432975},
    {157286442, 400078567},
    {176947229, 46453828},
    {196608019, 1105413057},
    {216268868, 1956087994},
    {235929648, 1407925218},
    {255590452, 1660456561},
    {275251227, 42055684},
    {294912013, 2013011059},
}};

// A word with the punctuation and the blank after it, written by copying the whole array.
struct PoolWord {
  std::array<char, 20> bytes;
  std::uint32_t num_bytes;
};
using PoolWords = PickTable<PoolWord>;
using Phrase = std::vector<const PoolWords*>;  // a form of a noun or verb phrase: its words in order

constexpr std::size_t kMaxSentenceBytes = 256;  // the longest has 147, and words are copied with slack

// The grammar of the word lists, with forms resolved to the tables that their symbols pick from.
class Grammar {
 public:
  Grammar() : Grammar(Dists::official()) {}

  // Writes one sentence and its blank to `out`, which has room for kMaxSentenceBytes; returns the end.
  char* write_sentence(Draws& draws, char* out) const {
    for (const char symbol : draws.pick(sentences_)) {
      switch (symbol) {
        case 'P':
          out = write_word(draws, *prepositions_, out);
          [[fallthrough]];
        case 'N':
          out = write_phrase(draws, noun_phrases_, out);
          break;
        case 'V':
          out = write_phrase(draws, verb_phrases_, out);
          break;
        default:
          out = write_word(draws, *terminators_, out - 1);  // over the blank of the last word
      }
    }
    return out;
  }

 private:
  explicit Grammar(const Dists& dists) : dists_(dists) {
    prepositions_ = words("prepositions", " the ");
    terminators_ = words("terminators", " ");
    const std::map<char, std::string_view> lists = {
        {'N', "nouns"}, {'V', "verbs"}, {'J', "adjectives"}, {'D', "adverbs"}, {'X', "auxillaries"}};
    noun_phrases_ = phrases("np", lists);
    verb_phrases_ = phrases("vp", lists);
    std::vector<std::string> forms;
    for (const DistEntry& entry : dists.list("grammar")) {
      std::string symbols = entry.token;
      std::erase(symbols, ' ');
      forms.insert(forms.end(), static_cast<std::size_t>(entry.weight), symbols);
    }
    sentences_ = PickTable<std::string>(forms);
  }

  static char* write_word(Draws& draws, const PoolWords& words, char* out) {
    const PoolWord& word = draws.pick(words);
    std::memcpy(out, word.bytes.data(), word.bytes.size());
    return out + word.num_bytes;
  }

  static char* write_phrase(Draws& draws, const PickTable<Phrase>& forms, char* out) {
    for (const PoolWords* words : draws.pick(forms)) out = write_word(draws, *words, out);
    return out;
  }

  const PoolWords* words(std::string_view list, std::string_view suffix) {
    PoolWords& table = tables_[fmt::format("{}{}", list, suffix)];
    if (!table.slots.empty()) return &table;
    std::vector<PoolWord> slots;
    for (const DistEntry& entry : dists_.list(list)) {
      const std::string text = entry.token + std::string(suffix);
      PoolWord word{};
      if (text.size() > word.bytes.size())
        throw DataError(fmt::format("dists.dss: \"{}\" is too long", text));
      std::ranges::copy(text, word.bytes.begin());
      word.num_bytes = static_cast<std::uint32_t>(text.size());
      slots.insert(slots.end(), static_cast<std::size_t>(entry.weight), word);
    }
    table = PoolWords(slots);
    return &table;
  }

  // A form is symbols with blanks between, some with a comma right after.
  PickTable<Phrase> phrases(std::string_view list, const std::map<char, std::string_view>& lists) {
    std::vector<Phrase> slots;
    for (const DistEntry& entry : dists_.list(list)) {
      Phrase phrase;
      std::string_view form = entry.token;
      while (!form.empty()) {
        const std::string_view symbol = form.substr(0, form.find(' '));
        form.remove_prefix(std::min(symbol.size() + 1, form.size()));
        phrase.push_back(words(lists.at(symbol.front()), std::string(symbol.substr(1)) + ' '));
      }
      slots.insert(slots.end(), static_cast<std::size_t>(entry.weight), phrase);
    }
    return PickTable<Phrase>(slots);
  }

  const Dists& dists_;
  std::map<std::string, PoolWords> tables_;  // by list and suffix
  const PoolWords* prepositions_ = nullptr;
  const PoolWords* terminators_ = nullptr;
  PickTable<std::string> sentences_;  // the symbols N, V, P, T
  PickTable<Phrase> noun_phrases_;
  PickTable<Phrase> verb_phrases_;
};

// Fills `out` with sentences, the last one cut where `out` ends, and writes nowhere else.
void write_sentences(const Grammar& grammar, std::uint64_t state, std::span<char> out) {
  Draws draws(state);
  char* position = out.data();
  char* const end = position + out.size();
  while (end - position >= static_cast<std::ptrdiff_t>(kMaxSentenceBytes)) {
    position = grammar.write_sentence(draws, position);
  }
  while (position != end) {
    std::array<char, kMaxSentenceBytes> sentence;
    const std::ptrdiff_t num_bytes = grammar.write_sentence(draws, sentence.data()) - sentence.data();
    position = std::copy_n(sentence.data(), std::min(num_bytes, end - position), position);
  }
}

}  // namespace

TextPool::TextPool(int num_threads) : memory_(kNumBytes) {
  const Grammar grammar;
  char* const text = reinterpret_cast<char*>(memory_.data());
  for_each_morsel(kCheckpoints.size(), num_threads, [&](int, Turn& turn) {
    const auto segment = static_cast<std::size_t>(turn.morsel());
    const auto [offset, state] = kCheckpoints[segment];
    const std::int64_t end = segment + 1 < kCheckpoints.size() ? kCheckpoints[segment + 1].offset : kNumBytes;
    write_sentences(grammar, state, {text + offset, text + end});
  });
}

const TextPool& TextPool::shared(int num_threads) {
  static const TextPool pool(num_threads);
  return pool;
}

}  // namespace weld::bench::tpch
