#include <fmt/format.h>

#include "tests/codegen/engine_fixture.h"
#include "tests/differential/support/run_both.h"

namespace weld::codegen {
namespace {

// Keys as functions of the iteration i, made of an i64.
constexpr std::string_view kDistributions[] = {
    "i * 7919L % 1009L",                     // uniform
    "5L",                                    // one key
    "i * 48271L % 65537L",                   // all distinct
    "i / 100L",                              // sorted
    "if(i % 10L < 9L, 3L, i % 5000L)",       // one key with nine tenths of the rows
    "i64(f64(i % 97L) * f64(i % 89L)) % 8L"  // few, clustered
};
constexpr std::string_view kKeys[] = {"k",
                                      "i8(k)",
                                      "f64(k) / 8.0",
                                      "{k % 16L, i32(k / 16L)}",
                                      "if(k % 3L == 0L, \"fizz\", if(k % 5L == 0L, \"buzz\", \"\"))",
                                      "k > 500L"};

// A loop that only groups runs twice, unless told otherwise; the others log their values.
constexpr std::string_view kPrograms[] = {
    "result(for(rangeiter(0L, 40000L, 1L), @(impl:local) groupmerger[?,i32], |b, i, x| let k = {0}; "
    "merge(b, {{{1}, i32(x)}})))",
    "result(for(rangeiter(0L, 40000L, 1L), groupmerger[?,i64], |b, i, x| let k = {0}; merge(b, {{{1}, x}})))",
    "result(for(rangeiter(0L, 40000L, 1L), groupmerger[?,{{i64,f64}}], |b, i, x| let k = {0}; "
    "if(x % 3L == 0L, merge(b, {{{1}, {{x, f64(k)}}}}), b)))",
    "result(for(rangeiter(0L, 40000L, 1L), {{groupmerger[?,vec[i64]], merger[i64,+]}}, |b, i, x| let k = "
    "{0}; "
    "{{merge(b.$0, {{{1}, [x, k]}}), merge(b.$1, x)}}))",
    "result(for(rangeiter(0L, 4000L, 1L), groupmerger[?,i64], |b, j, y| for(rangeiter(0L, 10L, 1L), b, "
    "|c, l, z| let i = y * 10L + z; let k = {0}; merge(c, {{{1}, i}}))))",
};

class Groups : public testing::TestWithParam<std::tuple<std::string_view, std::string_view>> {};

TEST_P(Groups, EqualTheInterpreters) {
  const auto& [program, key] = GetParam();
  for (const std::string_view distribution : kDistributions) {
    ir::Arena arena;
    const ir::Expr expr = parser::parse(fmt::format(fmt::runtime(program), distribution, key), arena);
    const differential::Outcome expected = differential::run_interpreter(expr, {});
    ASSERT_TRUE(expected.succeeded()) << expected.message;
    const auto compiled = Program::compile(expr, {});
    const auto context = differential::make_context();
    std::vector<differential::RunWay> ways(differential::all_run_ways().begin(),
                                           differential::all_run_ways().end());
    ways.push_back({.threads = 8, .executor = runtime::ExecutorKind::kTbb});
    for (const differential::RunWay& way : ways) {
      const differential::Outcome found = differential::run_compiled(*compiled, context, {}, way);
      EXPECT_EQ(differential::difference(expected, found), "") << distribution << ", " << way.text();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(KeysAndPrograms, Groups,
                         testing::Combine(testing::ValuesIn(kPrograms), testing::ValuesIn(kKeys)));

// The most bytes in use at a time, over those of the result.
double peak_of(std::string_view text, const std::vector<std::int64_t>& values, int threads,
               std::int64_t result_bytes) {
  const auto context = make_context();
  const I64Vector argument(values);
  const auto result = compile(text)->run(context, &argument, {.num_threads = threads});
  if (!result) throw std::runtime_error(result.error().render());
  return static_cast<double>(result->statistics().peak_bytes) / static_cast<double>(result_bytes);
}

TEST(BuilderMemory, GroupsOfAVectorTakeHalfMore) {
  constexpr std::int64_t kLength = 4'000'000;
  for (const int threads : {1, 2, 4}) {
    const double peak =
        peak_of("|v: vec[i64]| result(for(v, groupmerger[i64,i64], |b, i, x| merge(b, {x % 1000L, x})))",
                counting(kLength), threads, kLength * 8);
    // The result's values, and 4 bytes for each in whole chunks.
    EXPECT_LE(peak, 1.5 + 0.07 * (2 * threads + 1)) << threads;
  }
}

}  // namespace
}  // namespace weld::codegen
