#include "bench/tpch/result_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "bench/tpch/dates.h"
#include "bench/tpch/error.h"

namespace weld::bench::tpch {
namespace {

bool suits(const ResultColumnSchema& schema, const ResultValues& values) {
  const auto* exact = std::get_if<ExactValues>(&values);
  switch (schema.type) {
    case ResultType::kText:
    case ResultType::kFlag:
      return std::holds_alternative<TextValues>(values);
    case ResultType::kDate:
    case ResultType::kInteger:
      return exact && exact->scale == 0;
    case ResultType::kDecimal:
      break;
  }
  return !std::holds_alternative<TextValues>(values);
}

std::size_t size_of(const ResultValues& values) {
  if (const auto* exact = std::get_if<ExactValues>(&values)) return exact->units.size();
  if (const auto* approximate = std::get_if<ApproximateValues>(&values)) return approximate->size();
  return std::get<TextValues>(values).size();
}

bool is_text(ResultType type) {
  return type == ResultType::kText || type == ResultType::kFlag;
}

}  // namespace

std::span<const QuerySchema> query_schemas() {
  using enum ResultType;
  using enum ComparisonClass;
  static const std::vector<QuerySchema> schemas = {
      {1,
       "pricing summary",
       {{"l_returnflag", kFlag, kSame},
        {"l_linestatus", kFlag, kSame},
        {"sum_qty", kDecimal, kStored},
        {"sum_base_price", kDecimal, kMoney},
        {"sum_disc_price", kDecimal, kMoney},
        {"sum_charge", kDecimal, kMoney},
        {"avg_qty", kDecimal, kAverage},
        {"avg_price", kDecimal, kAverage},
        {"avg_disc", kDecimal, kAverage},
        {"count_order", kInteger, kCount}}},
      {3,
       "shipping priority",
       {{"l_orderkey", kInteger, kSame},
        {"revenue", kDecimal, kMoney},
        {"o_orderdate", kDate, kSame},
        {"o_shippriority", kInteger, kSame}}},
      {6, "forecast revenue change", {{"revenue", kDecimal, kMoney}}},
      {12,
       "shipping modes",
       {{"l_shipmode", kText, kSame},
        {"high_line_count", kInteger, kCount},
        {"low_line_count", kInteger, kCount}}},
  };
  return schemas;
}

const QuerySchema& query_schema(int number) {
  const auto schemas = query_schemas();
  const auto found = std::ranges::find(schemas, number, &QuerySchema::number);
  if (found != schemas.end()) return *found;
  std::string known;
  for (const QuerySchema& schema : schemas)
    known += fmt::format("{}{}", known.empty() ? "" : ", ", schema.number);
  throw DataError(fmt::format("there is no query {}; there are {}", number, known));
}

ResultTable::ResultTable(const QuerySchema& query, std::vector<ResultValues> values) : query_(query.number) {
  if (values.size() != query.columns.size()) {
    throw std::logic_error(
        fmt::format("query {} has {} columns, not {}", query.number, query.columns.size(), values.size()));
  }
  num_rows_ = size_of(values.front());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const ResultColumnSchema& schema = query.columns[i];
    if (!suits(schema, values[i]) || size_of(values[i]) != num_rows_) {
      throw std::logic_error(
          fmt::format("the values for {} of query {} do not suit it", schema.name, query.number));
    }
    columns_.push_back({schema, std::move(values[i])});
  }
}

std::string ResultTable::printed(std::size_t column, std::size_t row, std::optional<int> num_decimals) const {
  const auto& [schema, values] = columns_[column];
  if (const auto* texts = std::get_if<TextValues>(&values)) return (*texts)[row];
  if (const auto* approximate = std::get_if<ApproximateValues>(&values)) {
    const double value = (*approximate)[row];
    return num_decimals ? fmt::format("{:.{}f}", value, *num_decimals) : fmt::format("{}", value);
  }
  const auto& [units, scale] = std::get<ExactValues>(values);
  if (schema.type == ResultType::kDate) return format_date(static_cast<std::int32_t>(units[row]));
  const Decimal value{units[row], scale};
  const bool rounded = schema.type == ResultType::kDecimal && num_decimals;
  return format_decimal(rounded ? rescale(value, *num_decimals) : value);
}

std::string render_aligned(const ResultTable& table) {
  std::vector<std::string> lines(table.num_rows() + 2);
  for (std::size_t column = 0; column < table.columns().size(); ++column) {
    const ResultColumnSchema& schema = table.columns()[column].schema;
    std::size_t width = schema.name.size();
    for (std::size_t row = 0; row < table.num_rows(); ++row)
      width = std::max(width, table.printed(column, row).size());
    const auto add = [&](std::string& line, std::string_view text) {
      if (column != 0) line += "  ";
      line += is_text(schema.type) ? fmt::format("{:<{}}", text, width) : fmt::format("{:>{}}", text, width);
    };
    add(lines[0], schema.name);
    add(lines[1], std::string(width, '-'));
    for (std::size_t row = 0; row < table.num_rows(); ++row) add(lines[row + 2], table.printed(column, row));
  }
  std::string text;
  for (const std::string& line : lines) text += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
  return text;
}

std::string render_bars(const ResultTable& table) {
  std::string text;
  for (const ResultTable::Column& column : table.columns()) {
    text += fmt::format("{}{}", text.empty() ? "" : "|", column.schema.name);
  }
  text += '\n';
  for (std::size_t row = 0; row < table.num_rows(); ++row) {
    for (std::size_t column = 0; column < table.columns().size(); ++column) {
      text += fmt::format("{}{}", column == 0 ? "" : "|", table.printed(column, row));
    }
    text += '\n';
  }
  return text;
}

}  // namespace weld::bench::tpch
