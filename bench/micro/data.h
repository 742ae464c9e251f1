#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

#include "bench/micro/case.h"
#include "bench/workloads/column.h"
#include "bench/workloads/strings.h"

namespace weld::bench::micro {

using workloads::Column;
using workloads::RandomStream;

/// How often keys occur.
enum class Distribution { kUniform, kZipf };

/// Numbers of keys below `num_keys`, chosen for rows at random.
class KeyNumbers {
 public:
  KeyNumbers(Distribution distribution, std::int64_t num_keys, std::uint64_t seed);
  std::int64_t operator[](std::int64_t row) const;

 private:
  static constexpr double kExponent = 1.2;  // of Zipf's law

  Distribution distribution_;
  double num_keys_;
  double range_;
  RandomStream random_;
};

/// A different 64-bit number for every number: keys that nobody can take for places in an array.
std::int64_t scattered(std::int64_t number);

/// `id` and ten digits.
class WrittenKey {
 public:
  explicit WrittenKey(std::int64_t number);
  operator std::string_view() const { return {text_, sizeof text_}; }

 private:
  char text_[12];
};

/// Multiples of 1/4 between 1/4 and 256: sums of 2^40 of them are exact.
Column<double> small_values(std::int64_t length, std::uint64_t seed);

template <class T>
peers::ColumnView view_of(const Column<T>& column) {
  constexpr peers::ElementType kType = std::same_as<T, double>         ? peers::ElementType::kF64
                                       : std::same_as<T, std::int64_t> ? peers::ElementType::kI64
                                                                       : peers::ElementType::kString;
  return {kType, reinterpret_cast<const std::byte*>(column.data()), sizeof(T), column.size()};
}
inline peers::ColumnView view_of(const workloads::StringColumn& column) {
  return view_of(column.strings);
}

/// The fields of `length` structs, from the first on.
peers::ColumnView field_of(const void* structs, std::int64_t struct_bytes, std::int64_t offset,
                           std::int64_t length, peers::ElementType type);

/// The number of rows or keys at a scale.
inline std::int64_t scaled(double scale, std::int64_t count) {
  return std::max<std::int64_t>(1, std::llround(scale * static_cast<double>(count)));
}

/// Reads a result that is a vector of numbers or strings.
Digest read_vector(const codegen::Result& result, peers::ElementType type, RowOrder order);
/// Reads a result that is an f64.
Digest read_number(const codegen::Result& result);
Digest digest_of_number(const double& value);

/// `10 k`, for names.
std::string short_count(std::int64_t count);

}  // namespace weld::bench::micro
