#include "bench/micro/digest.h"

#include <fmt/format.h>

#include <bit>
#include <functional>
#include <string_view>

namespace weld::bench::micro {
namespace {

using peers::ColumnView;
using peers::ElementType;

std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;  // splitmix64
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

std::uint64_t hash_of(const ColumnView& column, std::int64_t row) {
  switch (column.type) {
    case ElementType::kI64:
      return mix(static_cast<std::uint64_t>(column.at<std::int64_t>(row)));
    case ElementType::kF64:
      return mix(std::bit_cast<std::uint64_t>(column.at<double>(row) + 0.0));
    case ElementType::kString:
      break;
  }
  return std::hash<std::string_view>()(column.at<workloads::native::String>(row).view());
}

double sum_of(const ColumnView& column) {
  double sum = 0;
  for (std::int64_t row = 0; row < column.length; ++row) {
    sum += column.type == ElementType::kI64 ? static_cast<double>(column.at<std::int64_t>(row))
                                            : column.at<double>(row);
  }
  return sum;
}

}  // namespace

Digest digest_of(std::span<const ColumnView> columns, RowOrder order) {
  Digest digest;
  digest.num_rows = columns.front().length;
  for (std::int64_t row = 0; row < digest.num_rows; ++row) {
    std::uint64_t of_row = order == RowOrder::kAsIs ? mix(static_cast<std::uint64_t>(row) + 1) : 0;
    for (const ColumnView& column : columns) of_row = mix(of_row * 31 + hash_of(column, row));
    digest.hash += of_row;
  }
  for (const ColumnView& column : columns) {
    if (column.type != ElementType::kString) digest.sums.push_back(sum_of(column));
  }
  return digest;
}

Digest digest_of(std::span<const peers::ResultColumn> columns, RowOrder order) {
  std::vector<ColumnView> views;
  for (const peers::ResultColumn& column : columns) views.push_back(column.view());
  return digest_of(views, order);
}

std::string to_string(const Digest& digest) {
  std::string text = fmt::format("{} rows, hash {:016x}", digest.num_rows, digest.hash);
  for (const double sum : digest.sums) text += fmt::format(", sum {:.17g}", sum);
  return text;
}

}  // namespace weld::bench::micro
