#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <thread>

#include "tests/codegen/engine_fixture.h"

// Loops inside of loops whose lengths differ widely, on several threads: who does what changes from run to
// run, what comes out does not.

namespace weld::codegen {
namespace {

struct Case {
  const char* name;
  std::string_view program;  ///< of a vec[i64] to an i64
};

constexpr Case kCases[] = {
    {"SkewedGroupsAreSorted", R"(|v: vec[i64]|
      let groups = tovec(result(for(v, groupmerger[i64,i64], |b, i, x| merge(b, {if(x % 10L == 0L, x % 70L, 7L), x * 37L % 1001L}))));
      result(for(groups, merger[i64,+], |b, i, g|
        let sorted = sort(g.$1, |x| x);
        merge(b, g.$0 + lookup(sorted, len(sorted) / 2L) * len(sorted)))))"},
    {"SkewedGroupsAreCounted", R"(|v: vec[i64]|
      let groups = tovec(result(for(v, groupmerger[i64,i64], |b, i, x| merge(b, {if(x % 10L == 0L, x % 70L, 7L), x % 501L}))));
      result(for(groups, merger[i64,+], |b, i, g|
        merge(b, len(tovec(result(for(g.$1, dictmerger[i64,i64,+], |c, j, x| merge(c, {x, 1L})))))
          * lookup(result(for(g.$1, vecmerger[i64,+]([0L, 0L, 0L]), |c, j, x| merge(c, {x % 3L, x}))), 1L)))))"},
    {"SkewedFilters", R"(|v: vec[i64]|
      let n = len(v);
      let parts = result(for(rangeiter(0L, 40L, 1L), appender[vec[i64]], |b, i, e|
        merge(b, filter(slice(v, 0L, if(e == 11L, n, e * 100L)), |x| x % 3L == e % 3L))));
      sum(map(parts, |part| len(part) + if(len(part) > 0L, lookup(part, len(part) - 1L), 0L))))"},
    {"FloatSumsThreeDeep", R"(|v: vec[i64]|
      let n = len(v);
      i64(result(for(rangeiter(0L, 5L, 1L), merger[f64,+], |a, h, g|
        merge(a, result(for(rangeiter(0L, 9L, 1L), merger[f64,+], |b, i, e|
          merge(b, result(for(slice(v, 0L, if(g == 1L && e == 2L, n, 50L)), merger[f64,+], |c, j, x|
            merge(c, 1.0 / (f64(x) + 0.7)))))))))) * 1000000000000.0))"},
    {"FloatKeysInsideOfLoops", R"(|v: vec[i64]|
      let n = len(v);
      i64(result(for(rangeiter(0L, 6L, 1L), merger[f64,+], |a, h, g|
        merge(a, lookup(result(for(slice(v, 0L, if(g == 1L, n, 500L)), dictmerger[i64,f64,+], |c, j, x|
          merge(c, {x % 5L, 1.0 / (f64(x) + 0.7)}))), g % 5L)))) * 1000000000000.0))"},
    {"EachInItsOwnState", R"(|v: vec[i64]|
      result(for(rangeiter(0L, 30L, 1L), merger[i64,+], |b, i, e|
        merge(b, iterate({e, 0L}, |s| {{s.$0 + sum(slice(v, 0L, if(e == 4L, 20000L, 20L))), s.$1 + 1L}, s.$1 < 20L}).$0))))"},
};

class Sharing : public testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(All, Sharing, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(Sharing, GivesWhatOneThreadGives) {
  std::string text(GetParam().program);
  const auto program = compile(text);
  const std::vector<std::int64_t> v = counting(120'000);
  const I64Vector args(v);
  const auto context = make_context();
  const auto expected = program->run(context, &args, {});
  ASSERT_TRUE(expected) << expected.error().render();
  const auto interpreted = compile(text, {.interpret = true});
  const std::int64_t value = as_i64(*expected);
  for (const runtime::ExecutorKind executor :
       {runtime::ExecutorKind::kInline, runtime::ExecutorKind::kThreads, runtime::ExecutorKind::kTbb}) {
    for (const int threads : {1, 2, 4, 8}) {
      for (int round = 0; round < 3; ++round) {
        const auto result = program->run(context, &args, {.num_threads = threads, .executor = executor});
        ASSERT_TRUE(result) << result.error().render();
        EXPECT_EQ(as_i64(*result), value) << threads;
      }
    }
  }
  const std::vector<std::int64_t> short_vector(v.begin(), v.begin() + 25'000);
  const I64Vector short_args(short_vector);
  const auto by_interpreter = interpreted->run(context, &short_args, {});
  const auto by_code = program->run(context, &short_args, {.num_threads = 4});
  ASSERT_TRUE(by_interpreter) << by_interpreter.error().render();
  ASSERT_TRUE(by_code) << by_code.error().render();
  EXPECT_EQ(as_i64(*by_code), as_i64(*by_interpreter));
}

TEST(Sharing, TheFirstErrorIsReported) {
  const auto program = compile(R"(|v: vec[i64]|
    let n = len(v);
    result(for(rangeiter(0L, 64L, 1L), merger[i64,+], |b, i, e|
      merge(b, result(for(slice(v, 0L, if(e == 20L, n, 2000L)), merger[i64,+], |c, j, x|
        merge(c, if(e == 20L && x == 90000L, lookup(v, -1L), if(e > 20L && x == 5L, 1L / (x - 5L), x)))))))))");
  const std::vector<std::int64_t> v = counting(120'000);
  const I64Vector args(v);
  const auto context = make_context();
  for (const int threads : {1, 2, 4, 8}) {
    for (int round = 0; round < 5; ++round) {
      const auto result = program->run(context, &args, {.num_threads = threads});
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().code, ErrorCode::kArrayOutOfBounds) << result.error().render();
    }
  }
  EXPECT_EQ(context->bytes_in_use(), 0);
}

TEST(Sharing, CancelsLoopsInsideOfLoops) {
  const auto program = compile(R"(|v: vec[i64]|
    result(for(rangeiter(0L, 1000000L, 1L), merger[i64,+], |b, i, e|
      merge(b, result(for(v, merger[i64,+], |c, j, x| merge(c, x * e % 7L)))))))");
  const std::vector<std::int64_t> v = counting(120'000);
  const I64Vector args(v);
  using Clock = std::chrono::steady_clock;
  Clock::duration least = Clock::duration::max();
  for (int attempt = 0; attempt < 5; ++attempt) {
    runtime::CancelToken token;
    Clock::time_point cancelled;
    std::thread canceller([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      cancelled = Clock::now();
      token.cancel();
    });
    const auto result = program->run(make_context(), &args, {.num_threads = 4, .cancel = &token});
    const Clock::time_point returned = Clock::now();
    canceller.join();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kCancelled);
    least = std::min(least, returned - cancelled);
  }
  EXPECT_LT(least, std::chrono::milliseconds(100));
}

}  // namespace
}  // namespace weld::codegen
