#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/builders/key_columns.h"
#include "tests/builders/matrix.h"

// vecmerger, appender, merger and sort.

namespace weld::builders {
namespace {

constexpr std::int64_t kRows = 6'000;

const KeyKind& kind_named(std::string_view name) {
  for (const KeyKind& kind : key_kinds())
    if (kind.name == name) return kind;
  throw std::runtime_error("no such kind of keys");
}

std::vector<std::int64_t> places_below(Distribution distribution, std::int64_t length, std::int64_t bound) {
  std::vector<std::int64_t> places = key_numbers(distribution, length);
  for (std::int64_t& place : places) place = (place >= 1L << 40 ? place >> 40 : place) % bound;
  return places;
}

class VecMerger : public testing::TestWithParam<std::string_view> {};

TEST_P(VecMerger, EveryOperator) {
  for (const std::string_view op : {"+", "*", "min", "max"}) {
    Matrix matrix(fmt::format("|start: vec[{0}], places: vec[i64], values: vec[{0}]|\n"
                              "  result($loop for(zip(places, values), $impl vecmerger[{0},{1}](start),\n"
                              "    |b, i, row| merge(b, row)))",
                              GetParam(), op),
                  kStrategies);
    // A few bins, and more places than are copied for each range.
    for (const std::int64_t length : {7, 256, 40'000}) {
      for (const Distribution distribution :
           {Distribution::kMany, Distribution::kOneKey, Distribution::kZipf}) {
        const std::vector<std::int64_t> places = places_below(distribution, kRows, length);
        const ir::Value arguments[] = {value_column(matrix.element(0), length),
                                       ir::Value::vector_of<std::int64_t>(places),
                                       value_column(matrix.element(2), kRows)};
        matrix.check(arguments, fmt::format("{} places, {}", length, name_of(distribution)));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Elements, VecMerger, testing::Values("i8", "i16", "i32", "i64", "u64", "f32", "f64"),
                         [](const auto& info) { return std::string(info.param); });

TEST(VecMergerErrors, APlaceOutsideIsTheSameErrorEverywhere) {
  Matrix matrix(
      "|start: vec[i64], places: vec[i64]|\n"
      "  result($loop for(places, $impl vecmerger[i64,+](start), |b, i, place| merge(b, {place, 1L})))",
      kStrategies);
  for (const std::int64_t wrong : {-1, 300}) {
    std::vector<std::int64_t> places = places_below(Distribution::kMany, kRows, 300);
    places[4'777] = wrong;
    const ir::Value arguments[] = {value_column(matrix.element(0), 300),
                                   ir::Value::vector_of<std::int64_t>(places)};
    matrix.check(arguments, fmt::format("place {}", wrong));
  }
}

// The kinds of elements that appenders and sorts take.
class Elements : public testing::TestWithParam<KeyKind> {
 protected:
  static void check(std::string_view text) {
    const KeyKind& kind = GetParam();
    Matrix matrix(fmt::format(fmt::runtime(text), fmt::arg("key", kind.type)), kNoStrategies);
    for (const Distribution distribution : kDistributions) {
      for (const std::int64_t length : {std::int64_t{1}, std::int64_t{777}, kRows}) {
        const ir::Value arguments[] = {key_column(kind, matrix.element(0), key_numbers(distribution, length)),
                                       value_column(matrix.element(1), length)};
        matrix.check(arguments, fmt::format("{} rows, {}", length, name_of(distribution)));
      }
    }
  }
};

TEST_P(Elements, AppenderOfAll) {
  check(
      "|keys: vec[{key}], values: vec[i64]|\n"
      "  result($loop for(zip(keys, values), appender[{{{key},i64}}], |b, i, row| merge(b, {{row.$0, row.$1 "
      "+ i}})))");
}

TEST_P(Elements, AppenderOfSome) {
  check(
      "|keys: vec[{key}], values: vec[i64]|\n"
      "  result($loop for(zip(keys, values), appender[{key}], |b, i, row| if(row.$1 > 2L, merge(b, row.$0), "
      "b)))");
}

TEST_P(Elements, AppenderOfVectors) {
  check(
      "|keys: vec[{key}], values: vec[i64]|\n"
      "  result($loop for(zip(keys, values), appender[vec[{key}]], |b, i, row|\n"
      "    if(row.$1 > 0L, merge(b, result(for(rangeiter(0L, row.$1, 1L), appender[{key}],\n"
      "      |inner, j, n| merge(inner, row.$0)))), b)))");
}

TEST_P(Elements, SortByThemselves) {
  check("|keys: vec[{key}], values: vec[i64]| sort(keys, |key| key)");
}

TEST_P(Elements, SortOfPairsKeepsTheOrderOfEqualKeys) {
  check("|keys: vec[{key}], values: vec[i64]| sort(zip(keys, values), |row| row.$0)");
}

TEST_P(Elements, SortByComparison) {
  check(
      "|keys: vec[{key}], values: vec[i64]|\n"
      "  sort(zip(keys, values), |l, r| if(l.$1 < r.$1, -1, if(l.$1 > r.$1, 1, 0)))");
}

TEST_P(Elements, Top) {
  check(
      "|keys: vec[{key}], values: vec[i64]|\n"
      "  {{slice(sort(keys, |key| key), 0L, 100L), slice(sort(zip(keys, values), |row| row.$0), 0L, 10L)}}");
}

INSTANTIATE_TEST_SUITE_P(Kinds, Elements, testing::ValuesIn(key_kinds()),
                         [](const auto& info) { return std::string(info.param.name); });

class Merger : public testing::TestWithParam<std::string_view> {};

TEST_P(Merger, EveryOperator) {
  for (const std::string_view op : {"+", "*", "min", "max"}) {
    Matrix matrix(
        fmt::format("|values: vec[{0}], limit: vec[i64]|\n"
                    "  {{result($loop for(values, merger[{0},{1}], |b, i, x| merge(b, x))),\n"
                    "    result($loop for(zip(values, limit), merger[{{{0},i64}},{1}], |b, i, row|\n"
                    "      if(row.$1 > 0L, merge(b, {{row.$0, i}}), b)))}}",
                    GetParam(), op),
        kNoStrategies);
    for (const std::int64_t length : {0, 1, 63, 511, 12'001}) {
      for (const std::string_view kind : {"few", "distinct"}) {
        const Distribution distribution = kind == "few" ? Distribution::kFew : Distribution::kDistinct;
        const ir::Value arguments[] = {
            key_column(kind_named("i64"), matrix.element(0), key_numbers(distribution, length)),
            value_column(matrix.element(1), length)};
        matrix.check(arguments, fmt::format("{} rows, {}", length, kind));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Values, Merger, testing::Values("i8", "i16", "i32", "i64", "u64", "f32", "f64"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace weld::builders
