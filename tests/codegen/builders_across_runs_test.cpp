#include <cstring>

#include "runtime/abi.h"
#include "tests/codegen/engine_fixture.h"

namespace weld::codegen {
namespace {

// A builder that one run returns may go on in another run of the same context, once; compiled and
// interpreted.
class BuildersAcrossRuns : public testing::TestWithParam<bool> {
 protected:
  std::shared_ptr<const Program> program(std::string_view text) {
    CompileOptions options;
    options.interpret = GetParam();
    return compile(text, options);
  }

  // Runs a program whose one parameter is the builder at `state`.
  std::expected<Result, ir::Diagnostic> go_on(std::string_view text, const void* state) {
    return program(text)->run(context_, state, {.num_threads = 2});
  }

  std::shared_ptr<runtime::Context> context_ = make_context();
};

constexpr std::string_view kFill = "for(rangeiter(0L, 1000L, 1L), appender[i64], |b, i, x| merge(b, x))";
constexpr std::string_view kMore =
    "|a: appender[i64]| for(rangeiter(1000L, 200000L, 1L), a, |b, i, x| merge(b, x))";
constexpr std::string_view kSumOfAll =
    "|a: appender[i64]| result(for(result(a), merger[i64,+], |b, i, x| merge(b, x)))";

TEST_P(BuildersAcrossRuns, AnAppenderGoesOnAndIsConsumed) {
  {
    const auto filled = go_on(kFill, nullptr);
    ASSERT_TRUE(filled) << filled.error().render();
    const auto more = go_on(kMore, filled->data());
    ASSERT_TRUE(more) << more.error().render();
    runtime::AppenderState state;
    std::memcpy(&state, more->data(), sizeof state);
    EXPECT_EQ(state.length, 200000);
    const auto sum = go_on(kSumOfAll, more->data());
    ASSERT_TRUE(sum) << sum.error().render();
    EXPECT_EQ(as_i64(*sum), 199999 * 100000LL);

    const auto again = go_on(kSumOfAll, more->data());
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, ErrorCode::kRunNotFound);
  }
  EXPECT_EQ(context_->bytes_in_use(), 0);
}

TEST_P(BuildersAcrossRuns, TablesGoOn) {
  {
    const auto counts =
        go_on("for([1L, 2L, 1L], dictmerger[i64,i64,+], |b, i, x| merge(b, {x, 1L}))", nullptr);
    ASSERT_TRUE(counts) << counts.error().render();
    const auto ones =
        go_on("|d: dictmerger[i64,i64,+]| lookup(result(merge(d, {1L, 40L})), 1L)", counts->data());
    ASSERT_TRUE(ones) << ones.error().render();
    EXPECT_EQ(as_i64(*ones), 42);

    const auto groups = go_on("for([1L, 2L, 1L], groupmerger[i64,i64], |b, i, x| merge(b, {x, i}))", nullptr);
    ASSERT_TRUE(groups) << groups.error().render();
    const auto last =
        go_on("|g: groupmerger[i64,i64]| lookup(lookup(result(merge(g, {1L, 7L})), 1L), 2L)", groups->data());
    ASSERT_TRUE(last) << last.error().render();
    EXPECT_EQ(as_i64(*last), 7);
  }
  EXPECT_EQ(context_->bytes_in_use(), 0);
}

TEST_P(BuildersAcrossRuns, StrangersAreRefused) {
  const auto filled = go_on(kFill, nullptr);
  ASSERT_TRUE(filled) << filled.error().render();
  const auto elsewhere = program(kSumOfAll)->run(make_context(), filled->data(), {});
  ASSERT_FALSE(elsewhere);
  EXPECT_EQ(elsewhere.error().code, ErrorCode::kRunNotFound);

  std::int64_t numbers[] = {1, 2, 3};
  const runtime::AppenderState made_up{reinterpret_cast<std::byte*>(numbers), 3, 3};
  EXPECT_FALSE(go_on(kSumOfAll, &made_up));

  runtime::AppenderState freed;
  {
    const auto short_lived = go_on(kFill, nullptr);
    ASSERT_TRUE(short_lived);
    std::memcpy(&freed, short_lived->data(), sizeof freed);
  }
  EXPECT_FALSE(go_on(kSumOfAll, &freed));

  const auto sum = go_on(kSumOfAll, filled->data());  // still good
  ASSERT_TRUE(sum) << sum.error().render();
  EXPECT_EQ(as_i64(*sum), 499500);
}

TEST_P(BuildersAcrossRuns, AnEmptyAppenderMayBeMadeUp) {
  const runtime::AppenderState empty{};
  const auto filled = go_on("|a: appender[i64]| len(result(merge(a, 5L)))", &empty);
  ASSERT_TRUE(filled) << filled.error().render();
  EXPECT_EQ(as_i64(*filled), 1);
}

INSTANTIATE_TEST_SUITE_P(Engines, BuildersAcrossRuns, testing::Bool());

}  // namespace
}  // namespace weld::codegen
