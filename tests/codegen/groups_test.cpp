#include <fmt/format.h>

#include <map>

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

// A loop that only groups runs twice or brings its rows together, unless told otherwise; the others log their
// values.
constexpr std::string_view kPrograms[] = {
    "result(for(rangeiter(0L, 40000L, 1L), @(impl:local) groupmerger[?,i32], |b, i, x| let k = {0}; "
    "merge(b, {{{1}, i32(x)}})))",
    "result(for(rangeiter(0L, 40000L, 1L), groupmerger[?,i64], |b, i, x| let k = {0}; merge(b, {{{1}, x}})))",
    "result(for(rangeiter(0L, 40000L, 1L), groupmerger[?,{{i64,f64}}], |b, i, x| let k = {0}; "
    "if(x % 3L == 0L, merge(b, {{{1}, {{x, f64(k)}}}}), b)))",
    "tovec(result(for(rangeiter(0L, 40000L, 1L), @(impl:partitioned) groupmerger[?,i64], |b, i, x| let k = "
    "{0}; merge(b, {{{1}, x}}))))",
    "result(for(rangeiter(0L, 40000L, 1L), @(impl:partitioned) groupmerger[?,{{i8,f64,i32}}], |b, i, x| "
    "let k = {0}; let c = if(x % 3L == 0L, merge(b, {{{1}, {{i8(x), f64(k), 1}}}}), b); "
    "if(x % 5L < 2L, merge(c, {{{1}, {{0c, f64(x), 2}}}}), c)))",
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

// Long enough for several rounds, which the order of the groups must not show.
TEST(PartitionedGroups, KeepTheOrderOfFirstMerges) {
  constexpr std::int64_t kLength = 600'000;
  for (const std::int64_t keys : {2'000, 150'000, 600'000}) {
    std::vector<std::int64_t> values(kLength);
    std::map<std::int64_t, std::vector<std::int64_t>> expected;
    std::vector<std::int64_t> order;
    for (std::int64_t i = 0; i < kLength; ++i) {
      values[i] = i * 48'271 % 1'000'003 % keys;
      if (values[i] % 7 == 0) continue;
      auto [place, is_new] = expected.try_emplace(values[i]);
      if (is_new) order.push_back(values[i]);
      place->second.push_back(i);
    }
    for (const std::string_view loop : {"", "@(vectorize:true) ", "@(vectorize:false) "}) {
      const auto program =
          compile(fmt::format("|v: vec[i64]| tovec(result({}for(v, @(impl:partitioned) groupmerger[i64,i64], "
                              "|b, i, x| if(x % 7L != 0L, merge(b, {{x, i}}), b))))",
                              loop));
      for (const int threads : {1, 2, 4}) {
        const I64Vector argument(values);
        const auto result = program->run(make_context(), &argument, {.num_threads = threads});
        ASSERT_TRUE(result) << result.error().render();
        struct Group {
          std::int64_t key;
          const std::int64_t* values;
          std::int64_t length;
        };
        const auto& groups = *static_cast<const runtime::VecView*>(result->data());
        ASSERT_EQ(groups.length, std::ssize(order));
        for (std::int64_t i = 0; i < groups.length; ++i) {
          const Group& group = reinterpret_cast<const Group*>(groups.data)[i];
          ASSERT_EQ(group.key, order[i]) << i << ", " << threads << " threads";
          ASSERT_EQ(std::vector(group.values, group.values + group.length), expected[group.key]);
        }
      }
    }
  }
}

TEST(PartitionedGroups, TellOfErrorsAsOthersDo) {
  const std::vector<std::int64_t> values = counting(2'000'000);
  const I64Vector argument(values);
  const auto program = compile(
      "|v: vec[i64]| result(for(v, @(impl:partitioned) groupmerger[i64,i64], |b, i, x| "
      "merge(b, {x, 1L / (x - 1999999L)})))");
  for (const int threads : {1, 2}) {
    const auto result = program->run(make_context(), &argument, {.num_threads = threads});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kArithmeticError);
  }
}

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

TEST(BuilderMemory, FilteredVectorsTakeTheirSizeOnceMore) {
  constexpr std::int64_t kLength = 6'000'000;
  for (const std::int64_t share : {1, 10, 50, 90, 100}) {
    for (const int threads : {1, 2, 4}) {
      const std::string text = fmt::format(
          "|v: vec[i64]| result(for(v, appender[i64], |b, i, x| if(x % 100L < {}L, merge(b, x), b)))", share);
      const std::int64_t bytes = kLength / 100 * share * 8;
      const double peak = peak_of(text, counting(kLength), threads, bytes);
      // And room for a block in each of the partials, at most 128 a thread.
      const double blocks = 128.0 * threads * 36'864 / static_cast<double>(bytes);
      EXPECT_LE(peak, 2.1 + (threads > 1 ? blocks : 0.2)) << share << " %, " << threads << " threads";
    }
  }
}

TEST(BuilderMemory, SmallVectorsShareBlocks) {
  constexpr std::int64_t kLength = 200'000;
  const auto context = make_context();
  const std::vector<std::int64_t> values = counting(kLength);
  const I64Vector vector(values);
  const auto result =
      compile(
          "|v: vec[i64]| result(for(v, appender[vec[i64]], |b, i, x| merge(b, "
          "result(for(rangeiter(0L, x % 4L, 1L), appender[i64], |a, j, y| merge(a, x + y))))))")
          ->run(context, &vector, {.num_threads = 2});
  ASSERT_TRUE(result) << result.error().render();
  const auto& vectors = *static_cast<const runtime::VecView*>(result->data());
  ASSERT_EQ(vectors.length, kLength);
  for (std::int64_t i = 0; i < kLength; ++i) {
    const runtime::VecView& each = reinterpret_cast<const runtime::VecView*>(vectors.data)[i];
    ASSERT_EQ(each.length, i % 4);
    for (std::int64_t j = 0; j < each.length; ++j)
      ASSERT_EQ(reinterpret_cast<const std::int64_t*>(each.data)[j], i + j);
  }
  // 16 bytes each in the outer vector, as many for one or two elements, and what the last blocks of the
  // morsels have room for. A block each would be 80 bytes more.
  EXPECT_LE(result->memory_bytes(), kLength * 48);
}

}  // namespace
}  // namespace weld::codegen
