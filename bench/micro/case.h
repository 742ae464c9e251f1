#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/micro/digest.h"
#include "bench/peers/plain_table.h"
#include "codegen/engine.h"

namespace weld::bench::micro {

/// What the times of a case should be, as ratios; 0: nothing is asked for.
struct Targets {
  double peer = 0;    ///< the best peer's time to ours, at least
  double native = 0;  ///< that of code by hand to ours, at least
  double fixed = 0;   ///< our time to the best forced variant's, at most
};

/// A case with its data.
struct Prepared {
  std::int64_t num_rows = 0;
  std::int64_t num_bytes = 0;        ///< that have to be read or written at least
  std::string program;               ///< for us
  std::vector<std::byte> arguments;  ///< of the program: one C struct
  std::function<Digest(const codegen::Result&)> read;
  std::function<void(int threads)> run_native;
  std::function<Digest()> read_native;
  /// Programs that do the same in one of the ways between which ours may choose, by name.
  std::vector<std::pair<std::string, std::string>> fixed_variants;

  RowOrder order = RowOrder::kAny;
  std::vector<peers::PlainTable> tables;
  std::string sql;        ///< for DuckDB; empty: it cannot
  std::string check_sql;  ///< for what is compared, where that is not the result of `sql`
  std::string operation;  ///< in the libraries of bench/peers/{python,node}; empty: they cannot
  std::shared_ptr<void> data;
};

/// One operation on one kind of data, which several systems do.
struct Case {
  std::string name;
  std::string summary;
  Targets targets;
  /// `scale` multiplies the numbers of rows, and bounds those of keys.
  std::function<Prepared(double scale)> prepare;
};

/// All there are, in the order of the issues that they show.
std::vector<Case> all_cases();

// The cases of each file.

std::vector<Case> group_cases();
std::vector<Case> join_cases();
std::vector<Case> sort_cases();
std::vector<Case> filter_cases();
std::vector<Case> update_cases();

/// Appends an argument: a scalar, or a vector.
void add_argument(Prepared& prepared, std::int64_t value);
void add_argument(Prepared& prepared, double value);
void add_argument(Prepared& prepared, const peers::ColumnView& column);

}  // namespace weld::bench::micro
