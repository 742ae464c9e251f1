#include "bench/tpch/generator.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <vector>

#include "bench/tpch/error.h"
#include "bench/tpch/table_builder.h"
#include "bench/tpch/tbl_writer.h"

namespace weld::bench::tpch {
namespace {

// About half a megabyte of text a morsel, so that it stays in a core's cache until it is written.
std::int64_t units_per_morsel(TableId table) {
  return table == TableId::kLineitem || table == TableId::kPartsupp ? 1'024 : 4'096;
}

class Morsels {
 public:
  Morsels(TableId table, UnitRange units) : units_(units), size_(units_per_morsel(table)) {}

  std::int64_t count() const { return (units_.num_units + size_ - 1) / size_; }

  UnitRange operator[](std::int64_t morsel) const {
    const std::int64_t begin = morsel * size_;
    return {units_.first + begin, std::min(size_, units_.num_units - begin)};
  }

 private:
  UnitRange units_;
  std::int64_t size_;
};

// Calls `consume(worker's buffer, turn)` with the text of each morsel.
template <typename Consume>
void for_each_text(const Scale& scale, TableId table, UnitRange units, int num_threads, Consume&& consume) {
  const Vocabulary& words = Vocabulary::official();
  const RowSource source{scale, words, &TextPool::shared(num_threads)};
  const Morsels morsels(table, units);
  with_row_type(table, [&]<typename Row>(Row) {
    std::vector<TblBuffer> buffers;
    for (int worker = 0; worker < num_threads; ++worker) buffers.emplace_back(words);
    for_each_morsel(morsels.count(), num_threads, [&](int worker, Turn& turn) {
      TblBuffer& buffer = buffers[static_cast<std::size_t>(worker)];
      buffer.clear();
      make_rows(OfTable<Row>(), source, morsels[turn.morsel()], [&](const Row& row) { buffer.append(row); });
      consume(buffer.text(), turn);
    });
  });
}

// A file under a temporary name, removed unless it is `kept`.
class PartialFile {
 public:
  explicit PartialFile(std::filesystem::path path)
      : path_(std::move(path)), partial_path_(fmt::format("{}.partial-{}", path_.string(), getpid())) {
    descriptor_ = open(partial_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail("create");
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile() {
    if (descriptor_ >= 0) close(descriptor_);
    if (!kept_) unlink(partial_path_.c_str());
  }

  void write(std::string_view text, std::int64_t offset) const {
    while (!text.empty()) {
      const ssize_t num_written = pwrite(descriptor_, text.data(), text.size(), offset);
      if (num_written < 0) {
        if (errno == EINTR) continue;
        fail("write");
      }
      text.remove_prefix(static_cast<std::size_t>(num_written));
      offset += num_written;
    }
  }

  void keep() {
    // Some file systems report a lack of space only here.
    if (close(std::exchange(descriptor_, -1)) != 0) fail("write");
    if (rename(partial_path_.c_str(), path_.c_str()) != 0) fail("create");
    kept_ = true;
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    const int reason = errno;
    throw DataError(fmt::format("cannot {} {}: {}", what, path_.string(), std::strerror(reason)));
  }

  std::filesystem::path path_;
  std::filesystem::path partial_path_;
  int descriptor_ = -1;
  bool kept_ = false;
};

bool needs_pool(const ColumnSelection& columns) {
  for (const TableId table : kAllTables) {
    // Every table's last column is its comment.
    if (columns.contains(table, schema_of(table).columns.size() - 1)) return true;
  }
  return false;
}

constexpr std::int64_t kMaxLinesOfOrder = 7;
constexpr std::int64_t kSuppliersOfPart = 4;

std::int64_t max_rows(TableId table, std::int64_t num_units) {
  if (table == TableId::kLineitem) return kMaxLinesOfOrder * num_units;
  if (table == TableId::kPartsupp) return kSuppliersOfPart * num_units;
  return num_units;
}

template <typename Row>
Table generate_table(const RowSource& source, const FillOptions& options) {
  const UnitRange units = all_units(Row::kTable, source.scale);
  const Morsels morsels(Row::kTable, units);
  TableBuilder<Row> builder(options.columns, max_rows(Row::kTable, units.num_units), -1);
  std::vector<RowBuffer<Row>> buffers;
  for (int worker = 0; worker < options.num_threads; ++worker) buffers.emplace_back(options.columns);
  const auto num_morsels = static_cast<double>(morsels.count());
  for_each_morsel(morsels.count(), options.num_threads, [&](int worker, Turn& turn) {
    RowBuffer<Row>& buffer = buffers[static_cast<std::size_t>(worker)];
    buffer.clear();
    make_rows(OfTable<Row>(), source, morsels[turn.morsel()], [&](const Row& row) { buffer.append(row); });
    turn.wait();
    const auto place = builder.reserve(buffer);
    if (options.progress) options.progress(Row::kTable, static_cast<double>(turn.morsel() + 1) / num_morsels);
    turn.pass();
    builder.store(buffer, place);
  });
  return builder.finish();
}

}  // namespace

UnitRange all_units(TableId table, const Scale& scale) {
  return {0, num_units(table, scale, Vocabulary::official())};
}

void generate_text(const Scale& scale, TableId table, UnitRange units, int num_threads,
                   const TextSink& sink) {
  const std::int64_t num_units = all_units(table, scale).num_units;
  if (units.first < 0 || units.num_units < 0 || units.first > num_units - units.num_units) {
    throw DataError(fmt::format("{} has {} units, not those from {} to {}", schema_of(table).name, num_units,
                                units.first + 1, units.first + units.num_units));
  }
  for_each_text(scale, table, units, num_threads, [&](std::string_view text, Turn& turn) {
    turn.wait();
    sink(text);
    turn.pass();
  });
}

std::int64_t write_tbl_file(const Scale& scale, TableId table, const std::filesystem::path& folder,
                            int num_threads, const ProgressListener& progress) {
  std::error_code refused;
  std::filesystem::create_directories(folder, refused);
  if (refused) throw DataError(fmt::format("cannot create {}: {}", folder.string(), refused.message()));
  PartialFile file(folder / fmt::format("{}.tbl", schema_of(table).name));
  const UnitRange units = all_units(table, scale);
  const auto num_morsels = static_cast<double>(Morsels(table, units).count());
  std::int64_t num_bytes = 0;
  for_each_text(scale, table, units, num_threads, [&](std::string_view text, Turn& turn) {
    turn.wait();
    const std::int64_t offset = num_bytes;
    num_bytes += std::ssize(text);
    if (progress) progress({table, static_cast<double>(turn.morsel() + 1) / num_morsels, num_bytes});
    turn.pass();
    file.write(text, offset);
  });
  file.keep();
  return num_bytes;
}

Database generate_database(const Scale& scale, const FillOptions& options) {
  const std::int64_t max_key = order_key(scale.num_orders());
  if (max_key > std::numeric_limits<std::int32_t>::max()) {
    throw DataError(
        fmt::format("columns hold keys of 32 bits, but order keys reach {} at this scale factor", max_key));
  }
  const TextPool* pool = needs_pool(options.columns) ? &TextPool::shared(options.num_threads) : nullptr;
  const RowSource source{scale, Vocabulary::official(), pool};
  Database database;
  for (const TableId table : kAllTables) {
    if (!options.columns.contains_any(table)) continue;
    with_row_type(table, [&]<typename Row>(Row) { database.replace(generate_table<Row>(source, options)); });
  }
  return database;
}

}  // namespace weld::bench::tpch
