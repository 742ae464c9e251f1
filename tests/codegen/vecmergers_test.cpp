#include <fmt/format.h>

#include <cstring>
#include <string>

#include "runtime/abi.h"
#include "tests/codegen/engine_fixture.h"

namespace weld::codegen {
namespace {

// Loops into vecmergers give the interpreter's bits, whatever the strategy and the threads.
struct Case {
  std::string name;
  std::string program;  ///< with {} for the builder's annotation
  std::int64_t element_bytes = 8;
};

std::string start_of(std::string_view type, std::string_view value, std::int64_t length) {
  return fmt::format(
      "result(for(rangeiter(0L, {}L, 1L), appender[{}], |b: appender[{}], i: i64, x: i64| merge(b, {})))",
      length, type, type, value);
}

std::string program(std::string_view type, std::string_view op, std::int64_t length, std::int64_t rows,
                    std::string_view merges) {
  return fmt::format("result(for(rangeiter(0L, {}L, 1L), {{}} vecmerger[{},{}]({}), |b, i, x| {}))", rows,
                     type, op, start_of(type, fmt::format("{}(i % 5L)", type), length), merges);
}

const std::vector<Case>& cases() {
  static const std::vector<Case> made{
      {"few_places", program("i64", "+", 7, 300'000, "merge(b, {{x % 7L, x}})")},
      {"histogram", program("i64", "+", 256, 500'000, "merge(b, {{(x * 7919L) % 256L, 1L}})")},
      {"floats_short",
       program("f64", "+", 300, 400'000, "merge(b, {{(x * 31L) % 300L, 1.0 / f64(x + 1L)}})")},
      {"floats_long",
       program("f64", "+", 300'000, 500'000, "merge(b, {{(x * 104729L) % 300000L, 1.0 / f64(x + 1L)}})")},
      {"products",
       program("f64", "*", 40'000, 200'000, "merge(b, {{(x * 13L) % 40000L, 1.0 + 1.0 / f64(x + 2L)}})")},
      {"smallest", program("i64", "min", 200'000, 400'000, "merge(b, {{(x * 17L) % 200000L, 3L - x}})")},
      {"filtered", program("i64", "+", 300'000, 500'000,
                           "if(x % 3L == 0L, merge(b, {{(x * 104729L) % 300000L, x}}), b)")},
      {"twice",
       program("i64", "+", 300'000, 300'000, "merge(merge(b, {{x, 1L}}), {{(x * 104729L) % 300000L, x}})")},
      {"smallest_floats",
       program("f64", "min", 200'000, 400'000,
               "merge(b, {{(x * 17L) % 200000L, if(x % 1000L == 0L, 0.0 / 0.0, f64(7L - x))}})")},
      {"products_of_bytes", program("i8", "*", 9'000, 100'000, "merge(b, {{(x * 104729L) % 9000L, i8(x)}})"),
       1},
      {"one_place", program("i64", "+", 100, 900'000, "merge(b, {{x / 1000000L, x}})")},
      {"large", program("i32", "max", 5'000'000, 300'000, "merge(b, {{(x * 104729L) % 5000000L, i32(x)}})"),
       4},
      {"large_floats",
       program("f64", "+", 2'200'000, 100'000, "merge(b, {{(x * 104729L) % 2200000L, 1.0 / f64(x + 1L)}})")},
      {"small_type", program("i8", "+", 700'000, 900'000, "merge(b, {{(x * 104729L) % 700000L, i8(x)}})"), 1},
      {"in_a_row", program("f64", "+", 400'000, 400'000, "merge(b, {{x, f64(x)}})")},
      {"nested",
       program("f64", "+", 100, 3'000,
               "for(rangeiter(0L, 100L, 1L), b, |c, j, y| merge(c, {{y, 1.0 / f64(x + y + 1L)}}))")},
      {"nested_integers", program("i64", "max", 100, 3'000,
                                  "for(rangeiter(0L, 100L, 1L), b, |c, j, y| merge(c, {{y, x - y}}))")},
      {"outside", program("i64", "+", 300'000, 500'000,
                          "merge(b, {{if(x == 400000L, 0L - 1L, (x * 104729L) % 300000L), x}})")},
      {"outside_of_floats", program("f64", "+", 300'000, 500'000,
                                    "merge(b, {{if(x == 400000L, 300000L, (x * 104729L) % 300000L), 1.0}})")},
      {"empty", program("f64", "+", 0, 100'000, "b")},
  };
  return made;
}

std::string with_annotation(const Case& each, std::string_view annotation) {
  return fmt::format(fmt::runtime(each.program), annotation);
}

void expect_equal(const std::expected<Result, ir::Diagnostic>& found,
                  const std::expected<Result, ir::Diagnostic>& wanted, std::int64_t element_bytes) {
  ASSERT_EQ(found.has_value(), wanted.has_value());
  if (!wanted) {
    EXPECT_EQ(found.error().code, wanted.error().code);
    return;
  }
  runtime::VecView left;
  runtime::VecView right;
  std::memcpy(&left, found->data(), sizeof left);
  std::memcpy(&right, wanted->data(), sizeof right);
  ASSERT_EQ(left.length, right.length);
  EXPECT_EQ(std::memcmp(left.data, right.data, static_cast<std::size_t>(left.length * element_bytes)), 0);
}

class VecMergers : public testing::TestWithParam<std::size_t> {};

TEST_P(VecMergers, GiveTheBitsOfTheInterpreter) {
  const Case& each = cases()[GetParam()];
  const auto context = make_context();
  {
    CompileOptions interpreted;
    interpreted.interpret = true;
    const auto wanted = compile(with_annotation(each, ""), interpreted)->run(context, nullptr, {});
    for (const std::string_view annotation :
         {"", "@(impl:local)", "@(impl:partitioned)", "@(impl:dense)", "@(impl:global)"}) {
      const std::string text = with_annotation(each, annotation);
      const auto compiled = compile(text);
      for (const int threads : {1, 2, 4, 8}) {
        SCOPED_TRACE(fmt::format("{} {} with {} threads", each.name, annotation, threads));
        expect_equal(compiled->run(context, nullptr, {.num_threads = threads}), wanted, each.element_bytes);
      }
    }
  }
  EXPECT_EQ(context->bytes_in_use(), 0);
}

INSTANTIATE_TEST_SUITE_P(Programs, VecMergers, testing::Range<std::size_t>(0, cases().size()),
                         [](const auto& info) { return cases()[info.param].name; });

// What `explain --analyze` says of it.
TEST(VecMergerStrategies, AreTold) {
  const auto context = make_context();
  CompileOptions options;
  options.statistics = true;
  const std::string text = with_annotation(cases()[6], "@(impl:partitioned)");
  const auto result = compile(text, options)->run(context, nullptr, {.num_threads = 2, .statistics = true});
  ASSERT_TRUE(result) << result.error().render();
  bool told = false;
  for (const LoopReport& loop : result->statistics().loops) {
    if (loop.strategies != std::vector<std::string>{"vecmerger: partitioned"}) continue;
    told = true;
    EXPECT_EQ(loop.iterations, 500'000);
    ASSERT_EQ(loop.builders.size(), 1u);
    EXPECT_EQ(loop.builders[0].merges, 166'667);
    EXPECT_GT(loop.cycles_per_iteration, 0);
  }
  EXPECT_TRUE(told);
}

}  // namespace
}  // namespace weld::codegen
