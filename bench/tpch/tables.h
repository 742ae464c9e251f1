#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/tpch/memory.h"
#include "bench/tpch/schema.h"

namespace weld::bench::tpch {

/// One column in memory, immutable once built. Its vectors may be lent to any number of runs while it lives.
class Column {
 public:
  explicit Column(const ColumnSchema& schema) : schema_(schema) {}

  const ColumnSchema& schema() const { return schema_; }
  std::int64_t num_rows() const { return num_rows_; }

  /// The elements; for text, the bytes of all rows. 64-byte aligned, and 64 bytes past the end can be read.
  const void* data() const { return memory_.data(); }
  /// Of `data`, in elements: the rows, or for text the bytes.
  std::int64_t num_elements() const { return num_elements_; }

  /// The elements of a column of T (i8, i16, i32, u8). Throws std::logic_error when it holds others.
  template <typename T>
  std::span<const T> values() const;

  /// Text: row r is bytes [offsets()[r], offsets()[r + 1]); one more than rows.
  std::span<const std::int64_t> offsets() const;
  std::string_view text(std::int64_t row) const;

  /// Words: the sorted list that the codes number, words that no row uses included.
  const std::vector<std::string>& words() const { return words_; }
  std::optional<std::uint8_t> code_of(std::string_view word) const;

  /// The field as `.tbl` files print it.
  std::string printed(std::int64_t row) const;

  /// Same schema, rows and words.
  bool operator==(const Column& other) const;

 private:
  template <typename Row>
  friend class TableBuilder;

  void check(bool holds, std::string_view expected) const;

  ColumnSchema schema_;
  std::int64_t num_rows_ = 0;
  std::int64_t num_elements_ = 0;
  ColumnMemory memory_;
  ColumnMemory offsets_;
  std::vector<std::string> words_;
};

class Table {
 public:
  /// A table without rows or columns.
  explicit Table(TableId id) : id_(id) {}
  Table(TableId id, std::int64_t num_rows, std::vector<Column> columns)
      : id_(id), num_rows_(num_rows), columns_(std::move(columns)) {}

  TableId id() const { return id_; }
  std::string_view name() const { return schema_of(id_).name; }
  std::int64_t num_rows() const { return num_rows_; }

  /// The columns that were selected, in the order of the schema.
  std::span<const Column> columns() const { return columns_; }

  /// Throws DataError when there is no such column, or it was not selected.
  const Column& column(std::string_view name) const;

  bool operator==(const Table& other) const = default;

 private:
  TableId id_;
  std::int64_t num_rows_ = 0;
  std::vector<Column> columns_;
};

/// All eight tables; those of which nothing was selected are empty.
class Database {
 public:
  Database();

  const Table& table(TableId id) const { return tables_[static_cast<std::size_t>(id)]; }
  /// Throws DataError for an unknown name.
  const Table& table(std::string_view name) const { return table(table_named(name)); }
  /// Column names are unique over all tables. Throws DataError as Table::column does.
  const Column& column(std::string_view name) const;

  void replace(Table table);

  /// Bytes that the columns hold.
  std::int64_t num_bytes() const;

  bool operator==(const Database& other) const = default;

 private:
  std::vector<Table> tables_;
};

}  // namespace weld::bench::tpch
