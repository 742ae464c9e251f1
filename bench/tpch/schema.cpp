#include "bench/tpch/schema.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "bench/tpch/error.h"
#include "bench/tpch/rows.h"

namespace weld::bench::tpch {
namespace {

template <typename Stored>
constexpr ElementType element_of() {
  if constexpr (std::is_same_v<Stored, std::uint8_t>) return ElementType::kU8;
  if constexpr (std::is_same_v<Stored, std::int16_t>) return ElementType::kI16;
  if constexpr (std::is_same_v<Stored, std::int32_t>) return ElementType::kI32;
  return ElementType::kI8;
}

constexpr std::array<std::string_view, kNumTables> kTableNames = {
    "customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"};

TableSchema make_schema(TableId table) {
  return with_row_type(table, [&]<typename Row>(Row row) {
    TableSchema schema{kTableNames[static_cast<std::size_t>(table)], {}};
    for_each_field(row, [&]<typename Field>(Field&, std::size_t column) {
      schema.columns.push_back({Row::kColumns[column], Field::kKind, element_of<typename Field::Stored>()});
    });
    return schema;
  });
}

std::optional<TableId> find_table(std::string_view name) {
  const auto found = std::ranges::find(kTableNames, name);
  if (found == kTableNames.end()) return std::nullopt;
  return static_cast<TableId>(found - kTableNames.begin());
}

}  // namespace

const TableSchema& schema_of(TableId table) {
  static const std::array<TableSchema, kNumTables> schemas = [] {
    std::array<TableSchema, kNumTables> made;
    for (const TableId id : kAllTables) made[static_cast<std::size_t>(id)] = make_schema(id);
    return made;
  }();
  return schemas[static_cast<std::size_t>(table)];
}

std::string_view name_of(ElementType element) {
  switch (element) {
    case ElementType::kI8:
      return "i8";
    case ElementType::kI16:
      return "i16";
    case ElementType::kI32:
      return "i32";
    case ElementType::kU8:
      break;
  }
  return "u8";
}

std::size_t bytes_of(ElementType element) {
  switch (element) {
    case ElementType::kI16:
      return 2;
    case ElementType::kI32:
      return 4;
    case ElementType::kI8:
    case ElementType::kU8:
      break;
  }
  return 1;
}

TableId table_named(std::string_view name) {
  const std::optional<TableId> table = find_table(name);
  if (!table) {
    throw DataError(
        fmt::format("no table is named \"{}\"; there are {}", name, fmt::join(kTableNames, ", ")));
  }
  return *table;
}

ColumnSelection ColumnSelection::all() {
  ColumnSelection selection;
  for (auto& columns : selection.columns_) columns.set();
  return selection;
}

ColumnSelection ColumnSelection::named(std::span<const std::string> names) {
  ColumnSelection selection;
  for (const std::string& name : names) {
    if (const std::optional<TableId> table = find_table(name)) {
      selection.columns_[static_cast<std::size_t>(*table)].set();
      continue;
    }
    bool found = false;
    for (const TableId table : kAllTables) {
      const std::vector<ColumnSchema>& columns = schema_of(table).columns;
      const auto column = std::ranges::find(columns, name, &ColumnSchema::name);
      if (column == columns.end()) continue;
      selection.columns_[static_cast<std::size_t>(table)].set(
          static_cast<std::size_t>(column - columns.begin()));
      found = true;
    }
    if (!found) throw DataError(fmt::format("no table or column is named \"{}\"", name));
  }
  return selection;
}

}  // namespace weld::bench::tpch
