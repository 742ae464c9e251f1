#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/tpch/decimals.h"
#include "bench/tpch/result_table.h"

namespace weld::bench::tpch {

/// Reads an answer file of the official validation run: a line of names, then rows of padded fields joined by
/// `|`. Trailing blanks of text do not count. Throws DataError, `name:line: message`, when it does not suit
/// the query.
ResultTable parse_answer(const QuerySchema& query, std::string_view text, std::string_view name);

/// The official answer of the validation run (scale factor 1, validation parameters).
ResultTable official_answer(const QuerySchema& query);

/// A value of the validation run to more digits than the answer file shows.
struct FinerValue {
  int query;
  std::size_t row;  ///< from 0
  std::string column;
  Decimal value;
};

/// Of all queries. Sums of money are exact in all their digits; averages are rounded.
const std::vector<FinerValue>& finer_values();

enum class Strictness : std::uint8_t {
  kOfficial,  ///< what the specification accepts
  kExact,     ///< what exact arithmetic meets: sums to the last digit, averages to 1e-9 of their value
};

/// Where `result` first departs from `answer`, row by row, as a message; null when it is right. Compares the
/// number of rows, their order, and each value by its column's class. A finer value takes the place of the
/// answer's under kExact, where an exact sum that shows as many digits must equal it.
std::optional<std::string> find_mismatch(const ResultTable& result, const ResultTable& answer,
                                         Strictness strictness,
                                         std::span<const FinerValue> finer = finer_values());

}  // namespace weld::bench::tpch
