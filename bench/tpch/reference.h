#pragma once

#include <vector>

#include "bench/tpch/answers.h"
#include "bench/tpch/result_table.h"
#include "bench/tpch/tables.h"

namespace weld::bench::tpch {

/// The result of a query with the validation parameters, computed row by row in the plainest way, to check
/// others against at any scale factor. Exact, averages to 12 decimals. Takes the query's columns from
/// `database`, and throws DataError when one is missing or there is no such query.
ResultTable compute_reference(int query, const Database& database);

/// All decimals of a computed answer, so that `find_mismatch` compares by all of their digits.
std::vector<FinerValue> finer_values_of(const ResultTable& answer);

}  // namespace weld::bench::tpch
