#include <cstdint>
#include <string>

#include "tests/codegen/engine_fixture.h"

// The most memory that a builder uses at a time, by counted bytes: a multiple of its result, and tables that
// each thread may have of its own.

namespace weld::codegen {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

struct Case {
  std::string_view name;
  std::string_view text;          // of v: vec[i64]
  double most_times;              // of the result
  std::int64_t own_bytes = kMiB;  // of the loop, of a thread
};

constexpr std::int64_t kLength = 2'000'000;

constexpr Case kCases[] = {
    {"AppenderExact", "|v: vec[i64]| result(for(v, appender[i64], |b, i, x| merge(b, x * 3L)))", 1.5},
    {"AppenderFiltered",
     "|v: vec[i64]| result(for(v, appender[i64], |b, i, x| if(x % 4L != 0L, merge(b, x), b)))", 2.8},
    {"AppenderFilteredNearlyAll",
     "|v: vec[i64]| result(for(v, appender[i64], |b, i, x| if(x % 100L != 0L, merge(b, x), b)))", 2.8},
    {"VecmergerLong", "|v: vec[i64]| result(for(v, vecmerger[i64,+](v), |b, i, x| merge(b, {i, x})))", 1.5},
    {"SortScalars", "|v: vec[i64]| sort(v, |x| x)", 1.5},
    {"VectorsThatNobodyReadsAgain",
     "|v: vec[i64]| let a = result(for(v, appender[i64], |b, i, x| merge(b, lookup(v, len(v) - 1L - i) + "
     "x)));"
     "let c = result(for(v, appender[i64], |b, i, x| merge(b, lookup(a, len(a) - 1L - i) + x)));"
     "let d = result(for(v, appender[i64], |b, i, x| merge(b, lookup(c, len(v) - 1L - i) + x)));"
     "let e = result(for(d, appender[i64], |b, i, x| merge(b, lookup(d, len(v) - 1L - i) + x)));"
     "result(for(v, appender[i64], |b, i, x| merge(b, lookup(e, len(v) - 1L - i) + x)))",
     2.1},
    {"GroupsOfFewKeys",
     "|v: vec[i64]| result(for(v, groupmerger[i64,i64], |b, i, x| merge(b, {x & 1023L, x})))", 1.5, 2 * kMiB},
    {"GroupsOfManyKeys",
     "|v: vec[i64]| result(for(v, groupmerger[i64,i64], |b, i, x| merge(b, {x * (x / 1000003L) & 262143L, x})))", 1.5,
     4 * kMiB},
    {"GroupsOfAlmostAllKeys",
     "|v: vec[i64]| tovec(result(for(v, groupmerger[i64,i64], |b, i, x| merge(b, {x, i}))))", 2.3, 4 * kMiB},
    {"TopK", "|v: vec[i64]| slice(sort(v, |x| x), 0L, 1000L)", 1.5},
};

class PeakMemory : public testing::TestWithParam<Case> {};

TEST_P(PeakMemory, IsALittleMoreThanTheResult) {
  std::vector<std::int64_t> v;
  for (std::int64_t i = 0; i < kLength; ++i)
    v.push_back(static_cast<std::int64_t>(static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15u));
  const I64Vector args(v);
  const auto program = compile(GetParam().text);
  for (const int num_threads : {1, 2}) {
    const auto context = make_context();
    const auto result = program->run(context, &args, {.num_threads = num_threads});
    ASSERT_TRUE(result) << result.error().render();
    const auto most =
        static_cast<std::int64_t>(static_cast<double>(result->memory_bytes()) * GetParam().most_times) +
        num_threads * GetParam().own_bytes;
    EXPECT_LE(result->statistics().peak_bytes, most)
        << num_threads << " threads, result of " << result->memory_bytes() << " bytes";
  }
}

INSTANTIATE_TEST_SUITE_P(Builders, PeakMemory, testing::ValuesIn(kCases),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace weld::codegen
