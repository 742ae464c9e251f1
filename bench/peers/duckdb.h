#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "bench/peers/plain_table.h"
#include "bench/tpch/tables.h"

namespace weld::bench::peers {

class DuckDbError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// DuckDB's library where `install.sh` puts it, or the file that the environment variable WELD_DUCKDB names;
/// null when there is none.
std::optional<std::filesystem::path> find_duckdb();

/// A DuckDB in memory, in this process. Used by one thread at a time. Functions throw DuckDbError.
class DuckDb {
 public:
  explicit DuckDb(const std::filesystem::path& library);
  DuckDb(DuckDb&&) noexcept;
  ~DuckDb();

  std::string version() const;
  void set_threads(int threads);

  /// Runs a statement and takes its result; the rows as text, fields joined by `|`.
  std::vector<std::string> query(std::string_view sql);

  /// Runs a statement and drops the result, which is what is to be timed.
  void execute(std::string_view sql);

  /// Makes a table of a table in memory: all of its columns but those of text. Keys become INTEGER, money and
  /// other hundredths DECIMAL(15,2), quantities too, dates DATE, words VARCHAR.
  void load(const tpch::Table& table);
  /// Makes a table of BIGINT, DOUBLE and VARCHAR.
  void load(const PlainTable& table);

  /// Runs a statement whose columns are BIGINT, DOUBLE and VARCHAR without nulls; what it gives.
  std::vector<ResultColumn> fetch(std::string_view sql);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The text of a TPC-H query with the validation parameters.
std::string_view duckdb_query(int number);

}  // namespace weld::bench::peers
