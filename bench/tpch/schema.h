#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weld::bench::tpch {

enum class TableId : std::uint8_t {
  kCustomer,
  kLineitem,
  kNation,
  kOrders,
  kPart,
  kPartsupp,
  kRegion,
  kSupplier
};
inline constexpr std::size_t kNumTables = 8;
inline constexpr std::array<TableId, kNumTables> kAllTables = {
    TableId::kCustomer, TableId::kLineitem, TableId::kNation, TableId::kOrders,
    TableId::kPart,     TableId::kPartsupp, TableId::kRegion, TableId::kSupplier};

/// What a column holds and how it is stored.
enum class ColumnKind : std::uint8_t {
  kWhole,       ///< whole numbers as they are
  kHundredths,  ///< exact decimals as a number of hundredths: money in cents, 4 for a discount of 0.04
  kDate,        ///< days since 1970-01-01
  kWord,        ///< one of at most 256 words, as its place in the sorted list of them
  kText,        ///< bytes of all rows, one after the other, and where each row's begin
};

/// An element of a column's vector, in the language's names.
enum class ElementType : std::uint8_t { kI8, kI16, kI32, kU8 };

struct ColumnSchema {
  std::string_view name;
  ColumnKind kind;
  ElementType element;  ///< of `kText`: kI8, a byte
};

struct TableSchema {
  std::string_view name;
  std::vector<ColumnSchema> columns;
};

const TableSchema& schema_of(TableId table);
std::string_view name_of(ElementType element);
std::size_t bytes_of(ElementType element);

/// Throws DataError for an unknown name, listing the known ones.
TableId table_named(std::string_view name);

/// Columns to be filled; the others cost neither time nor memory.
class ColumnSelection {
 public:
  static ColumnSelection all();

  /// Each name is a table (all its columns) or a column. Throws DataError for others.
  static ColumnSelection named(std::span<const std::string> names);

  bool contains(TableId table, std::size_t column) const {
    return columns_[static_cast<std::size_t>(table)][column];
  }
  bool contains_any(TableId table) const { return columns_[static_cast<std::size_t>(table)].any(); }

 private:
  std::array<std::bitset<16>, kNumTables> columns_;
};

}  // namespace weld::bench::tpch
