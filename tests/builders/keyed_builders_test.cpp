#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/builders/key_columns.h"
#include "tests/builders/matrix.h"

// dictmerger, groupmerger and lookups: every strategy, type of keys and distribution of them.

namespace weld::builders {
namespace {

constexpr std::int64_t kRows = 6'000;
// Past the first rows by which the order of sums is chosen, with more keys than leave it cut up.
constexpr std::int64_t kManyRows = 80'000;

class KeyedBuilders : public testing::TestWithParam<KeyKind> {
 protected:
  // The programs' text with the type of keys; `values` the type of their second parameter's elements.
  static void check(std::string_view text, std::span<const Distribution> distributions,
                    std::span<const std::string_view> strategies = kStrategies) {
    const KeyKind& kind = GetParam();
    Matrix matrix(fmt::format(fmt::runtime(text), fmt::arg("key", kind.type)), strategies);
    const auto rows = [&](std::span<const std::int64_t> numbers) {
      return std::vector<ir::Value>{key_column(kind, matrix.element(0), numbers),
                                    value_column(matrix.element(1), std::ssize(numbers))};
    };
    for (const Distribution distribution : distributions)
      matrix.check(rows(key_numbers(distribution, kRows)), name_of(distribution));
    for (const std::int64_t length : {0, 1, 511, 513})
      matrix.check(rows(key_numbers(Distribution::kMany, length)), fmt::format("{} rows", length));
  }
};

TEST_P(KeyedBuilders, FloatSums) {
  check(
      "|keys: vec[{key}], values: vec[f64]|\n"
      "  tovec(result($loop for(zip(keys, values), $impl dictmerger[{key},f64,+], |b, i, row| merge(b, "
      "row))))",
      kDistributions);
}

TEST_P(KeyedBuilders, StructsOfValues) {
  check(
      "|keys: vec[{key}], values: vec[i64]|\n"
      "  let d = result($loop for(zip(keys, values), $impl dictmerger[{key},{{i64,f64,i8}},+],\n"
      "    |b, i, row| merge(b, {{row.$0, {{row.$1, f64(row.$1) * 0.1, 1c}}}})));\n"
      "  {{tovec(d), len(d)}}",
      kSomeDistributions);
}

TEST_P(KeyedBuilders, LeastAndGreatest) {
  check(
      "|keys: vec[{key}], values: vec[i32]|\n"
      "  let d = result($loop for(zip(keys, values), {{$impl dictmerger[{key},i32,min],\n"
      "    $impl dictmerger[{key},i32,max]}},\n"
      "    |b, i, row| if(row.$1 > -4, {{merge(b.$0, row), merge(b.$1, row)}}, b)));\n"
      "  {{tovec(d.$0), tovec(d.$1)}}",
      kSomeDistributions);
}

TEST_P(KeyedBuilders, Lookups) {
  check(
      "|keys: vec[{key}], values: vec[i64]|\n"
      "  let d = result($loop for(zip(keys, values), $impl dictmerger[{key},i64,+],\n"
      "    |b, i, row| if(row.$1 > 0L, merge(b, row), b)));\n"
      "  result($loop for(keys, {{appender[{{bool,i64}}], merger[i64,+]}}, |b, i, key|\n"
      "    {{merge(b.$0, optlookup(d, key)), if(keyexists(d, key), merge(b.$1, lookup(d, key)), b.$1)}}))",
      kSomeDistributions);
}

TEST_P(KeyedBuilders, ForcedLookups) {
  check(
      "|keys: vec[{key}], values: vec[i64]|\n"
      "  let d = result(for(zip(keys, values), dictmerger[{key},{{f64,i64}},+],\n"
      "    |b, i, row| if(row.$1 > 0L, merge(b, {{row.$0, {{0.1, row.$1}}}}), b)));\n"
      "  result($loop for(zip(keys, values), {{appender[{{bool,{{f64,i64}}}}], merger[i64,+]}}, |b, i, row|\n"
      "    {{merge(b.$0, $impl optlookup(d, row.$0)),\n"
      "      if(row.$1 > 3L, merge(b.$1, ($impl lookup(d, row.$0)).$1), b.$1)}}))",
      kSomeDistributions, kLookupStrategies);
}

TEST_P(KeyedBuilders, AnyOrder) {
  check(
      "|keys: vec[{key}], values: vec[f64]|\n"
      "  let d = result($loop for(zip(keys, values), $impl @(order:any)dictmerger[{key},f64,+],\n"
      "    |b, i, row| merge(b, row)));\n"
      "  {{len(d), map(keys, |key| lookup(d, key))}}",
      kSomeDistributions);
}

TEST_P(KeyedBuilders, Groups) {
  check(
      "|keys: vec[{key}], values: vec[f64]|\n"
      "  tovec(result($loop for(zip(keys, values), $impl groupmerger[{key},f64], |b, i, row| merge(b, "
      "row))))",
      kDistributions);
}

TEST_P(KeyedBuilders, ReducedGroups) {
  check(
      "|keys: vec[{key}], values: vec[f64]|\n"
      "  let groups = result($loop for(zip(keys, values), $impl groupmerger[{key},f64],\n"
      "    |b, i, row| if(row.$1 > -0.4, merge(b, row), b)));\n"
      "  map(tovec(groups), |group| {{group.$0, len(group.$1),\n"
      "    result(for(group.$1, merger[f64,+], |b, i, x| merge(b, x)))}})",
      kSomeDistributions);
}

INSTANTIATE_TEST_SUITE_P(Keys, KeyedBuilders, testing::ValuesIn(key_kinds()),
                         [](const auto& info) { return std::string(info.param.name); });

// Enough rows for strategies to be chosen, and left, by themselves.
class ManyRows : public testing::TestWithParam<std::string_view> {};

TEST_P(ManyRows, OfSomeKinds) {
  for (const KeyKind& kind : key_kinds()) {
    if (kind.name != "i64" && kind.name != "short_string") continue;
    Matrix matrix(fmt::format(fmt::runtime(GetParam()), fmt::arg("key", kind.type)), kStrategies);
    for (const Distribution distribution : {Distribution::kMany, Distribution::kZipf}) {
      const std::vector<std::int64_t> numbers = key_numbers(distribution, kManyRows);
      const ir::Value arguments[] = {key_column(kind, matrix.element(0), numbers),
                                     value_column(matrix.element(1), kManyRows)};
      matrix.check(arguments, name_of(distribution));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Programs, ManyRows,
    testing::Values("|keys: vec[{key}], values: vec[f64]|\n"
                    "  tovec(result(for(zip(keys, values), $impl dictmerger[{key},f64,+], |b, i, row|\n"
                    "    merge(b, row))))",
                    "|keys: vec[{key}], values: vec[i64]|\n"
                    "  tovec(result(for(zip(keys, values), $impl dictmerger[{key},i64,+], |b, i, row|\n"
                    "    merge(b, row))))",
                    "|keys: vec[{key}], values: vec[f64]|\n"
                    "  tovec(result(for(zip(keys, values), $impl groupmerger[{key},f64], |b, i, row|\n"
                    "    merge(b, row))))"),
    [](const auto& info) { return std::to_string(info.index); });

}  // namespace
}  // namespace weld::builders
