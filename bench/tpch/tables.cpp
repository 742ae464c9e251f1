#include "bench/tpch/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "bench/tpch/dates.h"
#include "bench/tpch/decimals.h"
#include "bench/tpch/error.h"

namespace weld::bench::tpch {
namespace {

bool same_bytes(const ColumnMemory& a, const ColumnMemory& b, std::int64_t num_bytes) {
  return num_bytes == 0 || std::memcmp(a.data(), b.data(), static_cast<std::size_t>(num_bytes)) == 0;
}

bool has_column(TableId table, std::string_view name) {
  const std::vector<ColumnSchema>& columns = schema_of(table).columns;
  return std::ranges::find(columns, name, &ColumnSchema::name) != columns.end();
}

std::int64_t bytes_in(const Column& column) {
  std::int64_t num_bytes =
      column.num_elements() * static_cast<std::int64_t>(bytes_of(column.schema().element));
  if (column.schema().kind == ColumnKind::kText) num_bytes += (column.num_rows() + 1) * std::int64_t{8};
  return num_bytes;
}

}  // namespace

void Column::check(bool holds, std::string_view expected) const {
  if (holds) return;
  throw std::logic_error(fmt::format("column {} does not hold {}", schema_.name, expected));
}

template <typename T>
std::span<const T> Column::values() const {
  constexpr ElementType kElement = std::is_same_v<T, std::uint8_t>   ? ElementType::kU8
                                   : std::is_same_v<T, std::int16_t> ? ElementType::kI16
                                   : std::is_same_v<T, std::int32_t> ? ElementType::kI32
                                                                     : ElementType::kI8;
  check(schema_.element == kElement, name_of(kElement));
  return {static_cast<const T*>(data()), static_cast<std::size_t>(num_elements_)};
}

template std::span<const std::int8_t> Column::values() const;
template std::span<const std::int16_t> Column::values() const;
template std::span<const std::int32_t> Column::values() const;
template std::span<const std::uint8_t> Column::values() const;

std::span<const std::int64_t> Column::offsets() const {
  check(schema_.kind == ColumnKind::kText, "text");
  return {reinterpret_cast<const std::int64_t*>(offsets_.data()), static_cast<std::size_t>(num_rows_ + 1)};
}

std::string_view Column::text(std::int64_t row) const {
  const std::int64_t begin = offsets()[static_cast<std::size_t>(row)];
  const std::int64_t end = offsets()[static_cast<std::size_t>(row) + 1];
  return {reinterpret_cast<const char*>(memory_.data()) + begin, static_cast<std::size_t>(end - begin)};
}

std::optional<std::uint8_t> Column::code_of(std::string_view word) const {
  const auto found = std::ranges::lower_bound(words_, word);
  if (found == words_.end() || *found != word) return std::nullopt;
  return static_cast<std::uint8_t>(found - words_.begin());
}

std::string Column::printed(std::int64_t row) const {
  const auto index = static_cast<std::size_t>(row);
  if (schema_.kind == ColumnKind::kText) return std::string(text(row));
  if (schema_.kind == ColumnKind::kWord) return words_[values<std::uint8_t>()[index]];
  std::int64_t value = 0;
  switch (schema_.element) {
    case ElementType::kI8:
      value = values<std::int8_t>()[index];
      break;
    case ElementType::kI16:
      value = values<std::int16_t>()[index];
      break;
    case ElementType::kI32:
      value = values<std::int32_t>()[index];
      break;
    case ElementType::kU8:
      value = values<std::uint8_t>()[index];
      break;
  }
  if (schema_.kind == ColumnKind::kDate) return format_date(static_cast<std::int32_t>(value));
  return format_decimal({value, schema_.kind == ColumnKind::kHundredths ? 2 : 0});
}

bool Column::operator==(const Column& other) const {
  if (schema_.name != other.schema_.name || num_rows_ != other.num_rows_ || words_ != other.words_)
    return false;
  if (num_elements_ != other.num_elements_) return false;
  const auto width = static_cast<std::int64_t>(bytes_of(schema_.element));
  if (!same_bytes(memory_, other.memory_, num_elements_ * width)) return false;
  return schema_.kind != ColumnKind::kText ||
         same_bytes(offsets_, other.offsets_, (num_rows_ + 1) * std::int64_t{8});
}

const Column& Table::column(std::string_view name) const {
  const auto found =
      std::ranges::find(columns_, name, [](const Column& column) { return column.schema().name; });
  if (found != columns_.end()) return *found;
  const bool known = has_column(id_, name);
  throw DataError(fmt::format("{} \"{}\" {}", this->name(), name, known ? "was not loaded" : "is no column"));
}

Database::Database() {
  for (const TableId id : kAllTables) tables_.emplace_back(id);
}

const Column& Database::column(std::string_view name) const {
  for (const Table& table : tables_) {
    if (has_column(table.id(), name)) return table.column(name);
  }
  throw DataError(fmt::format("no column is named \"{}\"", name));
}

void Database::replace(Table table) {
  tables_[static_cast<std::size_t>(table.id())] = std::move(table);
}

std::int64_t Database::num_bytes() const {
  std::int64_t num_bytes = 0;
  for (const Table& table : tables_) {
    for (const Column& column : table.columns()) num_bytes += bytes_in(column);
  }
  return num_bytes;
}

}  // namespace weld::bench::tpch
