#include "bench/tpch/answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

#include "bench/tpch/dates.h"
#include "bench/tpch/embedded_data.h"
#include "bench/tpch/error.h"

namespace weld::bench::tpch {
namespace {

constexpr int kShownDecimals = 2;  // in answer files

std::string_view without_trailing_blanks(std::string_view text) {
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

std::string_view without_leading_blanks(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(' '), text.size()));
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

ResultValues empty_values(ResultType type) {
  switch (type) {
    case ResultType::kText:
    case ResultType::kFlag:
      return TextValues();
    case ResultType::kDate:
    case ResultType::kInteger:
      return ExactValues{{}, 0};
    case ResultType::kDecimal:
      break;
  }
  return ExactValues{{}, kShownDecimals};
}

// False when `field` is no value of the type.
bool append_field(ResultType type, std::string_view field, ResultValues& values) {
  field = without_trailing_blanks(field);
  if (auto* texts = std::get_if<TextValues>(&values)) {
    texts->emplace_back(field);
    return true;
  }
  ExactValues& exact = std::get<ExactValues>(values);
  field = without_leading_blanks(field);
  if (type == ResultType::kDate) {
    const std::optional<std::int32_t> day = parse_date(field);
    if (day) exact.units.push_back(*day);
    return day.has_value();
  }
  const std::optional<Decimal> value = parse_decimal(field);
  if (!value || value->scale > exact.scale) return false;
  exact.units.push_back(rescale(*value, exact.scale).units);
  return true;
}

std::string_view embedded_answer(int query) {
  switch (query) {
    case 1:
      return embedded::kAnswer1;
    case 3:
      return embedded::kAnswer3;
    case 6:
      return embedded::kAnswer6;
    case 12:
      return embedded::kAnswer12;
    default:
      throw DataError(fmt::format("there is no official answer to query {}", query));
  }
}

template <typename Number>
Number parse_number(std::string_view text, std::string_view line) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw DataError(fmt::format("finer_values.csv: expected query,row,column,value, found \"{}\"", line));
  }
  return number;
}

std::vector<FinerValue> parse_finer_values(std::string_view text) {
  std::vector<FinerValue> values;
  for (const std::string_view line : split(text, '\n')) {
    if (line.empty() || line.starts_with('#') || line.starts_with("query,")) continue;
    const std::vector<std::string_view> fields = split(line, ',');
    const std::optional<Decimal> value = parse_decimal(fields.back());
    if (fields.size() != 4 || !value) {
      throw DataError(fmt::format("finer_values.csv: expected query,row,column,value, found \"{}\"", line));
    }
    values.push_back({parse_number<int>(fields[0], line), parse_number<std::size_t>(fields[1], line) - 1,
                      std::string(fields[2]), *value});
  }
  return values;
}

bool equal(Decimal a, Decimal b) {
  if (a.scale > b.scale) std::swap(a, b);
  __int128 units = a.units;
  for (int scale = a.scale; scale < b.scale; ++scale) units *= 10;
  return units == b.units;
}

// A value of the result: exact if the column is.
struct Found {
  std::optional<Decimal> exact;
  double approximate;
};

Found found_value(const ResultValues& values, std::size_t row) {
  if (const auto* approximate = std::get_if<ApproximateValues>(&values))
    return {std::nullopt, (*approximate)[row]};
  const auto& exact = std::get<ExactValues>(values);
  const Decimal value{exact.units[row], exact.scale};
  return {value, to_double(value)};
}

double to_two_decimals(double value) {
  return std::round(value * 100) / 100;
}

// The rules. Each accepts by a comparison that no NaN passes.

bool stored_is_right(const Found& found, Decimal official) {
  if (found.exact) return equal(*found.exact, official);
  return to_two_decimals(found.approximate) == to_double(official);
}

bool money_is_right(const Found& found, Decimal official, const FinerValue* finer, Strictness strictness) {
  if (strictness == Strictness::kOfficial) return std::abs(found.approximate - to_double(official)) <= 100.0;
  if (finer && found.exact && found.exact->scale >= finer->value.scale)
    return equal(*found.exact, finer->value);
  const double expected = to_double(finer ? finer->value : official);
  return std::abs(found.approximate - expected) <= 0.0051 + 1e-11 * std::abs(expected);
}

bool average_is_right(const Found& found, Decimal official, const FinerValue* finer, Strictness strictness) {
  const double shown = to_double(official);
  if (strictness == Strictness::kOfficial) {
    const double rounded = to_two_decimals(found.approximate);
    return std::min(0.99 * shown, 1.01 * shown) <= rounded && rounded <= std::max(0.99 * shown, 1.01 * shown);
  }
  if (!finer) return std::abs(found.approximate - shown) <= 0.0051;
  return std::abs(found.approximate - to_double(finer->value)) <= 1e-9 * std::abs(to_double(finer->value));
}

bool number_is_right(ComparisonClass comparison, const Found& found, Decimal official,
                     const FinerValue* finer, Strictness strictness) {
  switch (comparison) {
    case ComparisonClass::kSame:
    case ComparisonClass::kCount:
    case ComparisonClass::kStored:
      return stored_is_right(found, official);
    case ComparisonClass::kMoney:
      return money_is_right(found, official, finer, strictness);
    case ComparisonClass::kAverage:
      return average_is_right(found, official, finer, strictness);
    case ComparisonClass::kRatio:
      break;
  }
  return average_is_right(found, official, finer, strictness) &&
         std::abs(found.approximate - to_double(official)) <= 100.0;
}

}  // namespace

ResultTable parse_answer(const QuerySchema& query, std::string_view text, std::string_view name) {
  std::vector<ResultValues> values;
  for (const ResultColumnSchema& column : query.columns) values.push_back(empty_values(column.type));
  const std::vector<std::string_view> lines = split(text, '\n');
  for (std::size_t line = 0; line < lines.size(); ++line) {
    if (lines[line].empty()) continue;
    const auto refuse = [&](std::string_view expected, std::string_view found) {
      throw DataError(fmt::format("{}:{}: expected {}, found \"{}\"", name, line + 1, expected, found));
    };
    const std::vector<std::string_view> fields = split(lines[line], '|');
    if (fields.size() != values.size()) refuse(fmt::format("{} fields", values.size()), lines[line]);
    if (line == 0) continue;  // the names, some of them cut
    for (std::size_t i = 0; i < fields.size(); ++i) {
      if (!append_field(query.columns[i].type, fields[i], values[i])) {
        refuse(fmt::format("a value of {}", query.columns[i].name), fields[i]);
      }
    }
  }
  return ResultTable(query, std::move(values));
}

ResultTable official_answer(const QuerySchema& query) {
  return parse_answer(query, embedded_answer(query.number), fmt::format("q{}.out", query.number));
}

const std::vector<FinerValue>& finer_values() {
  static const std::vector<FinerValue> values = parse_finer_values(embedded::kFinerValues);
  return values;
}

std::optional<std::string> find_mismatch(const ResultTable& result, const ResultTable& answer,
                                         Strictness strictness, std::span<const FinerValue> finer) {
  if (result.query() != answer.query()) throw std::logic_error("the answer is another query's");
  if (result.num_rows() != answer.num_rows()) {
    return fmt::format("query {}: expected {} rows, found {}", answer.query(), answer.num_rows(),
                       result.num_rows());
  }
  const auto finer_at = [&](std::size_t row, std::string_view column) -> const FinerValue* {
    const auto found = std::ranges::find_if(finer, [&](const FinerValue& value) {
      return value.query == answer.query() && value.row == row && value.column == column;
    });
    return found == finer.end() ? nullptr : &*found;
  };
  for (std::size_t row = 0; row < answer.num_rows(); ++row) {
    for (std::size_t column = 0; column < answer.columns().size(); ++column) {
      const auto& [schema, expected] = answer.columns()[column];
      const ResultValues& values = result.columns()[column].values;
      const FinerValue* better = nullptr;
      bool right = false;
      if (const auto* texts = std::get_if<TextValues>(&expected)) {
        right = without_trailing_blanks(std::get<TextValues>(values)[row]) == (*texts)[row];
      } else {
        if (strictness == Strictness::kExact) better = finer_at(row, schema.name);
        const auto& exact = std::get<ExactValues>(expected);
        right = number_is_right(schema.comparison, found_value(values, row), {exact.units[row], exact.scale},
                                better, strictness);
      }
      if (!right) {
        return fmt::format("query {}, row {}, {}: expected {}, found {}", answer.query(), row + 1,
                           schema.name, better ? format_decimal(better->value) : answer.printed(column, row),
                           result.printed(column, row, std::nullopt));
      }
    }
  }
  return std::nullopt;
}

}  // namespace weld::bench::tpch
