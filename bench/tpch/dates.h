#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weld::bench::tpch {

/// `YYYY-MM-DD` of a number of days since 1970-01-01.
std::string format_date(std::int32_t day);

/// Days since 1970-01-01; null when `text` is not `YYYY-MM-DD` or the calendar has no such day.
std::optional<std::int32_t> parse_date(std::string_view text);

}  // namespace weld::bench::tpch
