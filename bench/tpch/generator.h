#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>

#include "bench/tpch/make_rows.h"
#include "bench/tpch/morsels.h"
#include "bench/tpch/scale.h"
#include "bench/tpch/tables.h"

namespace weld::bench::tpch {

/// The units of a table: its rows, but parts for partsupp and orders for lineitem.
UnitRange all_units(TableId table, const Scale& scale);

/// Takes the text of consecutive rows; calls come one at a time and in order, on any of the threads.
using TextSink = std::function<void(std::string_view)>;

/// Makes the lines of some units of a table as its `.tbl` file holds them, on `num_threads` (at least 1).
/// Throws DataError when `units` reaches past the table; exceptions of the sink end the work and are thrown
/// on.
void generate_text(const Scale& scale, TableId table, UnitRange units, int num_threads, const TextSink& sink);

struct WriteProgress {
  TableId table;
  double fraction;         ///< of this table's rows
  std::int64_t num_bytes;  ///< of this table so far
};
/// Called now and then, one call at a time. To give up, throw.
using ProgressListener = std::function<void(const WriteProgress&)>;

/// Writes `<folder>/<table>.tbl` and returns its size. The file appears under this name only when it is
/// complete; after an error (DataError, or what `progress` throws) nothing of it is left. Makes the folder if
/// need be.
std::int64_t write_tbl_file(const Scale& scale, TableId table, const std::filesystem::path& folder,
                            int num_threads, const ProgressListener& progress = {});

/// Called now and then while columns are filled, one call at a time, with the part of the table's rows that
/// is done. To give up, throw.
using FillListener = std::function<void(TableId table, double fraction)>;

struct FillOptions {
  int num_threads = default_num_threads();  ///< at least 1
  ColumnSelection columns = ColumnSelection::all();
  FillListener progress = {};
};

/// Makes the selected columns in memory. Throws DataError when keys would not fit 32 bits (from scale factor
/// 358 on, with some 300 GB of data) or the system refuses memory.
Database generate_database(const Scale& scale, const FillOptions& options = {});

}  // namespace weld::bench::tpch
