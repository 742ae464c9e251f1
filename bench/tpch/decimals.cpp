#include "bench/tpch/decimals.h"

#include <fmt/format.h>

namespace weld::bench::tpch {
namespace {

constexpr int kMaxDigits = 18;

std::int64_t power_of_ten(int exponent) {
  std::int64_t power = 1;
  for (; exponent > 0; --exponent) power *= 10;
  return power;
}

}  // namespace

std::string format_decimal(Decimal value) {
  // Unsigned, since the most negative number has no positive counterpart.
  const auto bits = static_cast<std::uint64_t>(value.units);
  std::string digits = fmt::format("{:0{}}", value.units < 0 ? 0 - bits : bits, value.scale + 1);
  if (value.scale > 0) digits.insert(digits.size() - static_cast<std::size_t>(value.scale), 1, '.');
  return value.units < 0 ? '-' + digits : digits;
}

Decimal rescale(Decimal value, int scale) {
  if (scale >= value.scale) return {value.units * power_of_ten(scale - value.scale), scale};
  const std::int64_t divisor = power_of_ten(value.scale - scale);
  const std::int64_t quotient = value.units / divisor;
  const std::int64_t remainder = value.units % divisor;
  if (2 * remainder >= divisor) return {quotient + 1, scale};
  if (2 * remainder <= -divisor) return {quotient - 1, scale};
  return {quotient, scale};
}

std::optional<Decimal> parse_decimal(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  Decimal value;
  int num_digits = 0;
  bool after_point = false;
  for (const char c : text) {
    if (c == '.' && !after_point && num_digits != 0) {
      after_point = true;
      continue;
    }
    if (c < '0' || c > '9' || ++num_digits > kMaxDigits) return std::nullopt;
    value.units = 10 * value.units + (c - '0');
    value.scale += after_point;
  }
  if (num_digits == 0 || text.ends_with('.')) return std::nullopt;
  if (negative) value.units = -value.units;
  return value;
}

double to_double(Decimal value) {
  return static_cast<double>(value.units) / static_cast<double>(power_of_ten(value.scale));
}

}  // namespace weld::bench::tpch
