#pragma once

#include <filesystem>

#include "bench/tpch/generator.h"
#include "bench/tpch/tables.h"

namespace weld::bench::tpch {

/// Reads `<folder>/<table>.tbl` of every table with selected columns. The tables equal those of
/// `generate_database` when the files are the generator's; words that it does not know extend the column's
/// list.
///
/// Throws DataError, for a malformed line `file:line: message` of the first one in the file, when a field is
/// missing or superfluous, is no number or date, does not fit its column's type, or a column has more than
/// 256 words.
Database read_database(const std::filesystem::path& folder, const FillOptions& options = {});

/// One table from any file.
Table read_table(TableId table, const std::filesystem::path& file, const FillOptions& options = {});

}  // namespace weld::bench::tpch
