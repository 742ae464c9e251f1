#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "bench/tpch/decimals.h"

namespace weld::bench::tpch {

enum class ResultType : std::uint8_t {
  kText,
  kFlag,  ///< one byte of text
  kDate,
  kInteger,
  kDecimal,
};

/// How a column is compared with the official answer, after the specification's clause 2.1.3.5.
enum class ComparisonClass : std::uint8_t {
  kSame,     ///< text, dates, keys
  kCount,    ///< counts and sums of 0 and 1
  kStored,   ///< a stored decimal, or a sum of quantities
  kMoney,    ///< a sum of money
  kAverage,  ///< an average
  kRatio,    ///< a quotient of sums
};

struct ResultColumnSchema {
  std::string_view name;
  ResultType type;
  ComparisonClass comparison;
};

/// A query and the columns of its result, in order.
struct QuerySchema {
  int number;
  std::string_view title;
  std::vector<ResultColumnSchema> columns;
};

/// The queries that run, by number.
std::span<const QuerySchema> query_schemas();

/// Throws DataError when there is no such query, listing those that there are.
const QuerySchema& query_schema(int number);

/// Exact numbers: units / 10^scale. Dates are days since 1970-01-01, with scale 0.
struct ExactValues {
  std::vector<std::int64_t> units;
  int scale = 0;
};
using ApproximateValues = std::vector<double>;
using TextValues = std::vector<std::string>;
using ResultValues = std::variant<ExactValues, ApproximateValues, TextValues>;

/// What a query yields.
class ResultTable {
 public:
  struct Column {
    ResultColumnSchema schema;
    ResultValues values;
  };

  /// Text and flags take texts; dates and integers exact values of scale 0; decimals exact or approximate
  /// values. Throws std::logic_error when the values do not suit the columns, or differ in number.
  ResultTable(const QuerySchema& query, std::vector<ResultValues> values);

  int query() const { return query_; }
  std::span<const Column> columns() const { return columns_; }
  std::size_t num_rows() const { return num_rows_; }

  /// A value in print; decimals rounded to `num_decimals`, or with all digits that they have.
  std::string printed(std::size_t column, std::size_t row, std::optional<int> num_decimals = 2) const;

 private:
  int query_;
  std::size_t num_rows_ = 0;
  std::vector<Column> columns_;
};

/// Lines for people: names, a rule, rows; numbers to the right.
std::string render_aligned(const ResultTable& table);

/// Lines for programs: names, then rows, fields joined by `|` without padding.
std::string render_bars(const ResultTable& table);

}  // namespace weld::bench::tpch
