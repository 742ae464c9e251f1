#include "bench/tpch/dists.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "bench/tpch/embedded_data.h"
#include "bench/tpch/error.h"

namespace weld::bench::tpch {
namespace {

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

int parse_weight(std::string_view text, int line) {
  text = text.substr(0, text.find_last_not_of(' ') + 1);
  int weight = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw DataError(fmt::format("dists.dss:{}: expected a whole number, found \"{}\"", line, text));
  }
  return weight;
}

}  // namespace

Dists::Dists(std::string_view text) {
  std::vector<DistEntry>* list = nullptr;  // the list that is open
  std::size_t num_entries = 0;             // as its `count` says
  for (int line = 1; !text.empty(); ++line) {
    const std::string_view row = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(row.size() + 1, text.size()));
    if (row.empty() || row.front() == '#') continue;

    const std::string lower = lower_case(row);
    if (lower.starts_with("begin ")) {
      list = &lists_[std::string(row.substr(6))];
      num_entries = 0;
    } else if (list && lower.starts_with("end")) {
      if (list->size() != num_entries) {
        throw DataError(
            fmt::format("dists.dss:{}: expected {} entries, found {}", line, num_entries, list->size()));
      }
      list = nullptr;
    } else {
      const std::size_t bar = row.find('|');
      if (!list || bar == std::string_view::npos) {
        throw DataError(
            fmt::format("dists.dss:{}: expected token|weight in a list, found \"{}\"", line, row));
      }
      const int weight = parse_weight(row.substr(bar + 1), line);
      if (lower.starts_with("count|")) {
        num_entries = static_cast<std::size_t>(weight);
      } else {
        list->push_back({std::string(row.substr(0, bar)), weight});
      }
    }
  }
}

std::span<const DistEntry> Dists::list(std::string_view name) const {
  const auto found = lists_.find(name);
  if (found == lists_.end()) throw DataError(fmt::format("dists.dss has no list named {}", name));
  return found->second;
}

const Dists& Dists::official() {
  static const Dists dists(embedded::kDists);
  return dists;
}

}  // namespace weld::bench::tpch
