#include "bench/micro/data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "runtime/abi.h"

namespace weld::bench::micro {

using peers::ColumnView;
using peers::ElementType;

KeyNumbers::KeyNumbers(Distribution distribution, std::int64_t num_keys, std::uint64_t seed)
    : distribution_(distribution),
      num_keys_(static_cast<double>(num_keys)),
      range_(std::pow(num_keys_ + 1, 1 - kExponent) - 1),
      random_(seed) {}

std::int64_t KeyNumbers::operator[](std::int64_t row) const {
  const double unit = random_.unit(row);
  if (distribution_ == Distribution::kUniform) return static_cast<std::int64_t>(unit * num_keys_);
  // The inverse of the integral of x^-s from 1 to n + 1.
  const double place = std::pow(unit * range_ + 1, 1 / (1 - kExponent));
  return static_cast<std::int64_t>(std::clamp(place - 1, 0.0, num_keys_ - 1));
}

std::int64_t scattered(std::int64_t number) {
  auto x = static_cast<std::uint64_t>(number) + 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;  // splitmix64
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return static_cast<std::int64_t>(x ^ (x >> 31));
}

WrittenKey::WrittenKey(std::int64_t number) {
  text_[0] = 'i';
  text_[1] = 'd';
  for (std::size_t i = sizeof text_; i-- > 2; number /= 10) text_[i] = static_cast<char>('0' + number % 10);
}

Column<double> small_values(std::int64_t length, std::uint64_t seed) {
  const RandomStream random(seed);
  return workloads::make_column<double>(
      length, [&](std::int64_t i) { return static_cast<double>(random.bits(i) % 1024 + 1) * 0.25; });
}

ColumnView field_of(const void* structs, std::int64_t struct_bytes, std::int64_t offset, std::int64_t length,
                    ElementType type) {
  return {type, static_cast<const std::byte*>(structs) + offset, struct_bytes, length};
}

Digest read_vector(const codegen::Result& result, ElementType type, RowOrder order) {
  const auto& vector = *static_cast<const runtime::VecView*>(result.data());
  const ColumnView column{type, vector.data, peers::element_bytes(type), vector.length};
  return digest_of({&column, 1}, order);
}

Digest read_number(const codegen::Result& result) {
  return digest_of_number(*static_cast<const double*>(result.data()));
}

Digest digest_of_number(const double& value) {
  const ColumnView column{ElementType::kF64, reinterpret_cast<const std::byte*>(&value), sizeof value, 1};
  return digest_of({&column, 1}, RowOrder::kAny);
}

std::string short_count(std::int64_t count) {
  if (count >= 1'000'000) return fmt::format("{}m", count / 1'000'000);
  if (count >= 1'000) return fmt::format("{}k", count / 1'000);
  return fmt::format("{}", count);
}

namespace {

void append_bytes(Prepared& prepared, const void* data, std::size_t num_bytes) {
  const auto* const bytes = static_cast<const std::byte*>(data);
  prepared.arguments.insert(prepared.arguments.end(), bytes, bytes + num_bytes);
}

}  // namespace

void add_argument(Prepared& prepared, std::int64_t value) {
  append_bytes(prepared, &value, sizeof value);
}

void add_argument(Prepared& prepared, double value) {
  append_bytes(prepared, &value, sizeof value);
}

void add_argument(Prepared& prepared, const ColumnView& column) {
  append_bytes(prepared, &column.first, sizeof column.first);
  append_bytes(prepared, &column.length, sizeof column.length);
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto& of_file : {group_cases, join_cases, sort_cases, filter_cases, update_cases}) {
    std::vector<Case> more = of_file();
    std::ranges::move(more, std::back_inserter(cases));
  }
  return cases;
}

}  // namespace weld::bench::micro
