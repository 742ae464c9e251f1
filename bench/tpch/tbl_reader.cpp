#include "bench/tpch/tbl_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "bench/tpch/dates.h"
#include "bench/tpch/error.h"
#include "bench/tpch/table_builder.h"

namespace weld::bench::tpch {
namespace {

constexpr std::int64_t kMorselBytes = std::int64_t{1} << 20;
constexpr std::size_t kMaxWords = 256;

// A whole file, mapped.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path) : path_(path) {
    const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) fail("open");
    struct stat status{};
    if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)) {
      num_bytes_ = static_cast<std::size_t>(status.st_size);
      if (num_bytes_ != 0) mapping_ = mmap(nullptr, num_bytes_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    } else {
      errno = EINVAL;
      mapping_ = MAP_FAILED;
    }
    const int reason = errno;
    close(descriptor);
    errno = reason;
    if (mapping_ == MAP_FAILED) fail("read");
    if (mapping_) madvise(mapping_, num_bytes_, MADV_SEQUENTIAL);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() {
    if (mapping_) munmap(mapping_, num_bytes_);
  }

  std::string_view text() const { return {static_cast<const char*>(mapping_), num_bytes_}; }
  std::string name() const { return path_.string(); }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    const int reason = errno;
    throw DataError(fmt::format("cannot {} {}: {}", what, path_.string(), std::strerror(reason)));
  }

  std::filesystem::path path_;
  void* mapping_ = nullptr;
  std::size_t num_bytes_ = 0;
};

// Why a field was refused.
struct FieldError {
  std::string message;
};

FieldError unexpected(std::string_view expected, std::string_view found) {
  constexpr std::size_t kMaxShown = 40;
  return {fmt::format("expected {}, found \"{}{}\"", expected, found.substr(0, kMaxShown),
                      found.size() > kMaxShown ? "..." : "")};
}

std::uint64_t first_bytes(std::string_view text) {
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, text.data(), std::min<std::size_t>(text.size(), 8));
  return bytes;
}

// One worker's numbering of a column's words: the known ones by their codes, then others as they come.
class WordCoder {
 public:
  WordCoder() = default;
  explicit WordCoder(std::span<const std::string> known) {
    for (const std::string& word : known) add(word, slot_of(word));
  }

  // Throws FieldError when there are too many words.
  std::uint8_t code_of(std::string_view word) {
    std::size_t slot = slot_of(word);
    for (; slots_[slot] != 0; slot = (slot + 1) % slots_.size()) {
      const std::size_t code = slots_[slot] - std::size_t{1};
      if (words_[code] == word) return static_cast<std::uint8_t>(code);
    }
    if (words_.size() == kMaxWords)
      throw unexpected(fmt::format("at most {} distinct words", kMaxWords), word);
    return add(word, slot);
  }

  const std::vector<std::string>& words() const { return words_; }

 private:
  std::size_t slot_of(std::string_view word) const {
    const std::string_view tail = word.substr(word.size() - std::min<std::size_t>(word.size(), 8));
    const std::uint64_t mixed =
        (first_bytes(word) * 31 + first_bytes(tail) + word.size()) * 0x9E3779B97F4A7C15;
    return mixed >> 54;
  }

  std::uint8_t add(std::string_view word, std::size_t slot) {
    while (slots_[slot] != 0) slot = (slot + 1) % slots_.size();
    words_.emplace_back(word);
    slots_[slot] = static_cast<std::uint16_t>(words_.size());
    return static_cast<std::uint8_t>(words_.size() - 1);
  }

  std::array<std::uint16_t, 1024> slots_{};  // code + 1, or 0
  std::vector<std::string> words_;
};

template <typename T>
T checked(std::int64_t value, std::string_view text) {
  constexpr std::int64_t kMin = std::numeric_limits<T>::min();
  constexpr std::int64_t kMax = std::numeric_limits<T>::max();
  if (value < kMin || value > kMax) throw unexpected(fmt::format("{} to {}", kMin, kMax), text);
  return static_cast<T>(value);
}

// The digits at `position`, which moves past them; at most 18 fit.
std::int64_t read_digits(const char*& position, const char* end) {
  std::int64_t value = 0;
  const char* const limit = end - position > 18 ? position + 18 : end;
  for (; position != limit; ++position) {
    const unsigned digit = static_cast<unsigned char>(*position) - unsigned{'0'};
    if (digit > 9) break;
    value = 10 * value + digit;
  }
  return value;
}

std::int64_t parse_whole(std::string_view text) {
  const char* position = text.data();
  const char* const end = position + text.size();
  const bool negative = position != end && *position == '-';
  const char* const digits = position += negative;
  const std::int64_t value = read_digits(position, end);
  if (position == digits || position != end) throw unexpected("a whole number", text);
  return negative ? -value : value;
}

// Up to two decimals.
std::int64_t parse_hundredths(std::string_view text) {
  constexpr std::string_view kExpected = "a number with at most two decimals";
  const char* position = text.data();
  const char* const end = position + text.size();
  const bool negative = position != end && *position == '-';
  const char* const digits = position += negative;
  const std::int64_t whole = read_digits(position, end);
  if (position == digits || position - digits > 15) throw unexpected(kExpected, text);
  std::int64_t hundredths = 0;
  if (position != end && *position == '.') {
    const char* const decimals = ++position;
    hundredths = read_digits(position, end);
    if (position == decimals || position - decimals > 2) throw unexpected(kExpected, text);
    if (position - decimals == 1) hundredths *= 10;
  }
  if (position != end) throw unexpected(kExpected, text);
  const std::int64_t value = 100 * whole + hundredths;
  return negative ? -value : value;
}

// Fields are read into the rows' own types.
template <typename T>
void parse_field(std::string_view text, Whole<T>& field, WordCoder&) {
  field.value = checked<T>(parse_whole(text), text);
}

template <typename T>
void parse_field(std::string_view text, Hundredths<T>& field, WordCoder&) {
  const std::int64_t value = parse_hundredths(text);
  if (value != static_cast<T>(value)) {
    throw unexpected(fmt::format("an amount of at most {}", std::numeric_limits<T>::max() / 100), text);
  }
  field.value = value;
}

void parse_field(std::string_view text, Date& field, WordCoder&) {
  const std::optional<std::int32_t> day = parse_date(text);
  if (!day) throw unexpected("a date YYYY-MM-DD", text);
  field.value = *day;
}

template <WordListId kList>
void parse_field(std::string_view text, Word<kList>& field, WordCoder& coder) {
  field.value = coder.code_of(text);
}

template <int kMax>
void parse_field(std::string_view text, Text<kMax>& field, WordCoder&) {
  field.value = text;
}

// One worker's state.
template <typename Row>
struct Worker {
  explicit Worker(const ColumnSelection& selection) : rows(selection) {
    Row row{};
    for_each_field(row, [&]<typename Field>(Field&, std::size_t column) {
      if constexpr (Field::kKind == ColumnKind::kWord) {
        coders[column] = WordCoder(Vocabulary::official().list(Field::kList).words);
      }
    });
  }

  RowBuffer<Row> rows;
  std::array<WordCoder, Row::kColumns.size()> coders;
};

template <typename Row>
class TableReader {
 public:
  TableReader(const MappedFile& file, const FillOptions& options)
      : file_(file),
        text_(file.text()),
        options_(options),
        // Every field takes at least its bar; a row that ends early is refused.
        builder_(options.columns, std::ssize(text_) / static_cast<std::int64_t>(kNumFields) + 1,
                 std::ssize(text_)) {}

  Table read() {
    std::vector<Worker<Row>> workers;
    for (int worker = 0; worker < options_.num_threads; ++worker) workers.emplace_back(options_.columns);
    const std::int64_t num_morsels = (std::ssize(text_) + kMorselBytes - 1) / kMorselBytes;
    shares_.resize(static_cast<std::size_t>(num_morsels));
    for_each_morsel(num_morsels, options_.num_threads, [&](int index, Turn& turn) {
      Worker<Row>& worker = workers[static_cast<std::size_t>(index)];
      worker.rows.clear();
      const std::size_t end = line_start(turn.morsel() + 1);
      for (std::size_t begin = line_start(turn.morsel()); begin < end;) {
        const std::size_t line_end = std::min(text_.find('\n', begin), text_.size());
        parse_line(begin, line_end, worker);
        begin = line_end + 1;
      }
      turn.wait();
      const auto place = builder_.reserve(worker.rows);
      if (options_.progress) {
        options_.progress(Row::kTable,
                          static_cast<double>(turn.morsel() + 1) / static_cast<double>(num_morsels));
      }
      turn.pass();
      shares_[static_cast<std::size_t>(turn.morsel())] = {index, place.row,
                                                          static_cast<std::int64_t>(worker.rows.num_rows())};
      builder_.store(worker.rows, place);
    });
    merge_words(workers);
    return builder_.finish();
  }

 private:
  static constexpr std::size_t kNumFields = Row::kColumns.size();

  // The rows that a worker's morsel became.
  struct Share {
    int worker;
    std::int64_t first_row;
    std::int64_t num_rows;
  };

  // Where the first line begins that starts in this morsel or later.
  std::size_t line_start(std::int64_t morsel) const {
    if (morsel == 0) return 0;
    const std::size_t newline = text_.find('\n', static_cast<std::size_t>(morsel * kMorselBytes) - 1);
    return newline == std::string_view::npos ? text_.size() : newline + 1;
  }

  void parse_line(std::size_t begin, std::size_t end, Worker<Row>& worker) const {
    Row row;
    std::size_t column_at_fault = 0;
    try {
      std::string_view rest = text_.substr(begin, end - begin);
      for_each_field(row, [&](auto& field, std::size_t column) {
        column_at_fault = column;
        const std::size_t num_bytes = rest.find('|');
        if (num_bytes == std::string_view::npos) refuse_count(begin, end);
        if (options_.columns.contains(Row::kTable, column)) {
          parse_field(rest.substr(0, num_bytes), field, worker.coders[column]);
        }
        rest.remove_prefix(num_bytes + 1);
      });
      if (!rest.empty()) refuse_count(begin, end);
    } catch (const FieldError& error) {
      refuse(begin, fmt::format("{}: {}", Row::kColumns[column_at_fault], error.message));
    }
    worker.rows.append(row);
  }

  [[noreturn]] void refuse_count(std::size_t begin, std::size_t end) const {
    const std::string_view line = text_.substr(begin, end - begin);
    const auto num_bars = std::ranges::count(line, '|');
    const std::string_view tail = line.substr(line.rfind('|') + 1);
    refuse(begin, fmt::format("expected {} fields, each followed by '|', found {}{}", kNumFields, num_bars,
                              tail.empty() ? "" : " and more text"));
  }

  [[noreturn]] void refuse(std::size_t begin, std::string_view message) const {
    const auto line = 1 + std::ranges::count(text_.substr(0, begin), '\n');
    throw DataError(fmt::format("{}:{}: {}", file_.name(), line, message));
  }

  // Numbers the words anew when workers met new ones: each numbered them on its own, and not by their order.
  void merge_words(std::span<const Worker<Row>> workers) {
    for (std::size_t column = 0; column < kNumFields; ++column) {
      if (schema_of(Row::kTable).columns[column].kind != ColumnKind::kWord) continue;
      if (!options_.columns.contains(Row::kTable, column)) continue;
      std::map<std::string, std::uint8_t> codes;
      for (const Worker<Row>& worker : workers) {
        for (const std::string& word : worker.coders[column].words()) codes.emplace(word, 0);
      }
      if (codes.size() > kMaxWords) {
        throw DataError(fmt::format("{}: {} has {} distinct words, more than {}", file_.name(),
                                    Row::kColumns[column], codes.size(), kMaxWords));
      }
      const auto stored = builder_.codes(column);
      if (codes.size() == stored.words.size()) continue;  // nothing new

      stored.words.clear();
      for (auto& [word, code] : codes) {
        code = static_cast<std::uint8_t>(stored.words.size());
        stored.words.push_back(word);
      }
      std::vector<std::vector<std::uint8_t>> renumbered;
      for (const Worker<Row>& worker : workers) {
        std::vector<std::uint8_t>& table = renumbered.emplace_back();
        for (const std::string& word : worker.coders[column].words()) table.push_back(codes.at(word));
      }
      for (const Share& share : shares_) {
        const std::vector<std::uint8_t>& table = renumbered[static_cast<std::size_t>(share.worker)];
        const std::span rows(stored.codes + share.first_row, static_cast<std::size_t>(share.num_rows));
        for (std::uint8_t& code : rows) code = table[code];
      }
    }
  }

  const MappedFile& file_;
  std::string_view text_;
  const FillOptions& options_;
  TableBuilder<Row> builder_;
  std::vector<Share> shares_;  // by morsel
};

}  // namespace

Table read_table(TableId table, const std::filesystem::path& path, const FillOptions& options) {
  const MappedFile file(path);
  return with_row_type(table, [&]<typename Row>(Row) { return TableReader<Row>(file, options).read(); });
}

Database read_database(const std::filesystem::path& folder, const FillOptions& options) {
  Database database;
  for (const TableId table : kAllTables) {
    if (!options.columns.contains_any(table)) continue;
    database.replace(read_table(table, folder / fmt::format("{}.tbl", schema_of(table).name), options));
  }
  return database;
}

}  // namespace weld::bench::tpch
