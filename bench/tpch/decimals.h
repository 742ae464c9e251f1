#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weld::bench::tpch {

/// The exact number units / 10^scale.
struct Decimal {
  std::int64_t units = 0;
  int scale = 0;
};

/// All its digits: {-5, 2} is "-0.05", {7, 0} is "7".
std::string format_decimal(Decimal value);

/// The value with `scale` decimals; more than that are rounded, halves away from zero.
Decimal rescale(Decimal value, int scale);

/// Null unless `text` is `[-]digits[.digits]` and fits 18 digits.
std::optional<Decimal> parse_decimal(std::string_view text);

/// The nearest double.
double to_double(Decimal value);

}  // namespace weld::bench::tpch
