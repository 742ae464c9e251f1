#pragma once

#include <algorithm>
#include <memory>
#include <tuple>
#include <utility>

#include "bench/tpch/rows.h"
#include "bench/tpch/tables.h"

namespace weld::bench::tpch {

/// The values of one column in a morsel.
template <typename Field>
class FieldBuffer {
 public:
  using Stored = typename Field::Stored;

  void grow(std::size_t num_rows, std::size_t capacity) {
    auto values = std::make_unique_for_overwrite<Stored[]>(capacity);
    std::copy_n(values_.get(), num_rows, values.get());
    values_ = std::move(values);
  }

  void set(std::size_t row, const Field& field) { values_[row] = static_cast<Stored>(field.value); }
  void clear() {}

  const Stored* values() const { return values_.get(); }

 private:
  std::unique_ptr<Stored[]> values_;
};

template <int kMax>
class FieldBuffer<Text<kMax>> {
 public:
  void grow(std::size_t num_rows, std::size_t capacity) {
    auto ends = std::make_unique_for_overwrite<std::int64_t[]>(capacity);
    std::copy_n(ends_.get(), num_rows, ends.get());
    ends_ = std::move(ends);
  }

  void set(std::size_t row, const Text<kMax>& field) {
    const std::size_t num_bytes = field.value.size();
    if (capacity_bytes_ - num_bytes_ < num_bytes) grow_bytes(num_bytes);
    std::copy_n(field.value.data(), num_bytes, bytes_.get() + num_bytes_);
    num_bytes_ += num_bytes;
    ends_[row] = static_cast<std::int64_t>(num_bytes_);
  }

  void clear() { num_bytes_ = 0; }

  std::string_view text() const { return {bytes_.get(), num_bytes_}; }
  const std::int64_t* ends() const { return ends_.get(); }

 private:
  void grow_bytes(std::size_t num_bytes) {
    const std::size_t capacity =
        std::max<std::size_t>({2 * capacity_bytes_, num_bytes_ + num_bytes, 1 << 16});
    auto bytes = std::make_unique_for_overwrite<char[]>(capacity);
    std::copy_n(bytes_.get(), num_bytes_, bytes.get());
    bytes_ = std::move(bytes);
    capacity_bytes_ = capacity;
  }

  std::unique_ptr<std::int64_t[]> ends_;
  std::unique_ptr<char[]> bytes_;
  std::size_t num_bytes_ = 0;
  std::size_t capacity_bytes_ = 0;
};

template <typename Row, typename Fields = decltype(Row::fields(std::declval<Row&>()))>
struct FieldTypes;

template <typename Row, typename... Fields>
struct FieldTypes<Row, std::tuple<Fields&...>> {
  using Buffers = std::tuple<FieldBuffer<Fields>...>;
  static constexpr std::array<ColumnKind, sizeof...(Fields)> kKinds = {Fields::kKind...};
};

/// The rows of a morsel by columns, on their way into a table. One worker's, used again and again.
template <typename Row>
class RowBuffer {
 public:
  explicit RowBuffer(const ColumnSelection& selection) : selection_(selection) {}

  void append(const Row& row) {
    if (num_rows_ == capacity_) grow();
    for_each_column([&](auto& buffer, const auto& field) { buffer.set(num_rows_, field); }, row);
    ++num_rows_;
  }

  void clear() {
    num_rows_ = 0;
    for_each_column([](auto& buffer, const auto&) { buffer.clear(); }, Row{});
  }

  std::size_t num_rows() const { return num_rows_; }

  template <std::size_t kColumn>
  const auto& column() const {
    return std::get<kColumn>(columns_);
  }

 private:
  template <typename Body>
  void for_each_column(Body&& body, const Row& row) {
    const auto fields = Row::fields(row);
    [&]<std::size_t... kColumns>(std::index_sequence<kColumns...>) {
      const auto visit = [&](std::size_t column, auto& buffer, const auto& field) {
        if (selection_.contains(Row::kTable, column)) body(buffer, field);
      };
      (visit(kColumns, std::get<kColumns>(columns_), std::get<kColumns>(fields)), ...);
    }(std::make_index_sequence<Row::kColumns.size()>());
  }

  void grow() {
    const std::size_t capacity = std::max<std::size_t>(2 * capacity_, 4096);
    for_each_column([&](auto& buffer, const auto&) { buffer.grow(num_rows_, capacity); }, Row{});
    capacity_ = capacity;
  }

  ColumnSelection selection_;
  typename FieldTypes<Row>::Buffers columns_;
  std::size_t num_rows_ = 0;
  std::size_t capacity_ = 0;
};

/// A table that several workers fill at once, a morsel at a time: `reserve` a place for each morsel in order,
/// under a lock of the caller; `store` at any time after.
template <typename Row>
class TableBuilder {
 public:
  static constexpr std::size_t kNumColumns = Row::kColumns.size();

  struct Place {
    std::int64_t row;
    std::array<std::int64_t, kNumColumns> text_byte;  // of text columns
  };

  /// \param max_rows  at least the rows that will come
  /// \param max_text_bytes  at least the bytes of any text column; negative: as many as generated rows can
  /// have
  TableBuilder(const ColumnSelection& selection, std::int64_t max_rows, std::int64_t max_text_bytes)
      : selection_(selection) {
    Row sample{};
    for_each_field(sample, [&]<typename Field>(Field&, std::size_t index) {
      if (!selection.contains(Row::kTable, index)) return;
      Column& column = columns_.emplace_back(schema_of(Row::kTable).columns[index]);
      column_of_field_[index] = columns_.size() - 1;
      std::int64_t max_bytes = max_rows * static_cast<std::int64_t>(sizeof(typename Field::Stored));
      if constexpr (Field::kKind == ColumnKind::kText) {
        max_bytes = max_text_bytes >= 0 ? max_text_bytes : max_rows * Field::kMaxBytes;
        column.offsets_ = ColumnMemory(static_cast<std::size_t>(max_rows + 1) * sizeof(std::int64_t));
        offsets_of(column)[0] = 0;
      }
      column.memory_ = ColumnMemory(static_cast<std::size_t>(max_bytes));
      if constexpr (Field::kKind == ColumnKind::kWord) {
        column.words_ = Vocabulary::official().list(Field::kList).words;
      }
    });
  }

  Place reserve(const RowBuffer<Row>& rows) {
    const Place place = end_;
    end_.row += static_cast<std::int64_t>(rows.num_rows());
    for_each_stored<ColumnKind::kText>([&](auto index, Column&) {
      end_.text_byte[index] += std::ssize(rows.template column<index>().text());
    });
    return place;
  }

  /// Safe to call from many threads for places that do not overlap.
  void store(const RowBuffer<Row>& rows, const Place& place) {
    for_each_stored([&](auto index, Column& column) {
      const auto& buffer = rows.template column<index>();
      std::byte* const data = column.memory_.data();
      if constexpr (kKinds[index] == ColumnKind::kText) {
        const std::int64_t base = place.text_byte[index];
        std::copy_n(buffer.text().data(), buffer.text().size(), reinterpret_cast<char*>(data) + base);
        std::int64_t* const offsets = offsets_of(column) + place.row + 1;
        for (std::size_t row = 0; row < rows.num_rows(); ++row) offsets[row] = base + buffer.ends()[row];
      } else {
        const std::size_t width = bytes_of(column.schema_.element);
        std::copy_n(reinterpret_cast<const std::byte*>(buffer.values()), rows.num_rows() * width,
                    data + static_cast<std::size_t>(place.row) * width);
      }
    });
  }

  /// Stored codes of a word column, and the words that they number, both to be changed together.
  struct Codes {
    std::uint8_t* codes;
    std::vector<std::string>& words;
  };
  Codes codes(std::size_t field) {
    Column& column = columns_[column_of_field_[field]];
    return {reinterpret_cast<std::uint8_t*>(column.memory_.data()), column.words_};
  }

  Table finish() {
    for_each_stored([&](auto index, Column& column) {
      column.num_rows_ = end_.row;
      column.num_elements_ = end_.row;
      if constexpr (kKinds[index] == ColumnKind::kText) {
        column.num_elements_ = end_.text_byte[index];
        column.offsets_.trim(static_cast<std::size_t>(end_.row + 1) * sizeof(std::int64_t));
      }
      column.memory_.trim(static_cast<std::size_t>(column.num_elements_) * bytes_of(column.schema_.element));
    });
    return Table(Row::kTable, end_.row, std::move(columns_));
  }

 private:
  static constexpr auto kKinds = FieldTypes<Row>::kKinds;

  static std::int64_t* offsets_of(Column& column) {
    return reinterpret_cast<std::int64_t*>(column.offsets_.data());
  }

  // Calls body(index constant, column) for the selected columns, of one kind if so asked.
  template <ColumnKind... kOnly, typename Body>
  void for_each_stored(Body&& body) {
    [&]<std::size_t... kIndices>(std::index_sequence<kIndices...>) {
      const auto visit = [&](auto index) {
        if constexpr (sizeof...(kOnly) == 0 || ((kKinds[index] == kOnly) || ...)) {
          if (selection_.contains(Row::kTable, index)) body(index, columns_[column_of_field_[index]]);
        }
      };
      (visit(std::integral_constant<std::size_t, kIndices>()), ...);
    }(std::make_index_sequence<kNumColumns>());
  }

  ColumnSelection selection_;
  std::vector<Column> columns_;
  std::array<std::size_t, kNumColumns> column_of_field_{};
  Place end_{};
};

}  // namespace weld::bench::tpch
