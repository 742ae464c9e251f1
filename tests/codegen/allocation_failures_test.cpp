#include <cstddef>
#include <cstring>
#include <string>

#include "tests/codegen/engine_fixture.h"

// Every allocation fails in turn, in programs that use every builder and strategy, sorts and strings: each
// time the run ends with OutOfMemory, nothing is left behind, and the next run in the same context is right.

namespace weld::codegen {
namespace {

using std::string_view_literals::operator""sv;

struct Case {
  std::string_view name;
  std::string_view value;  // an expression of v: vec[i64], whose elements are scattered
  std::int64_t length;
};

constexpr Case kCases[] = {
    {"AppenderExact", "result(for(v, appender[i64], |b, i, x| merge(b, x * 3L)))", 100'000},
    {"AppenderFiltered", "result(for(v, appender[i64], |b, i, x| if(x % 3L == 0L, merge(b, x), b)))",
     200'000},
    {"AppenderSeveral",
     "result(for(v, {appender[i64], appender[i8], merger[i64,+]}, |b, i, x| if(x % 3L == 0L, "
     "{merge(b.$0, x), b.$1, merge(b.$2, x)}, {b.$0, merge(b.$1, i8(x)), b.$2})))",
     150'000},
    {"AppenderNested", "result(for(v, appender[vec[i64]], |b, i, x| merge(b, [x, i])))", 3000},
    {"AppenderOfLoops",
     "result(for(v, appender[vec[i64]], |b, i, x| merge(b, result(for(rangeiter(0L, x % 20L, 1L), "
     "appender[i64], |c, j, y| if(y % 2L == 0L, merge(c, y), c))))))",
     2000},
    {"AppenderGrows", "result(merge(for(v, appender[i64], |b, i, x| merge(merge(b, x), i)), 7L))", 100'000},
    {"Merger",
     "result(for(v, {merger[i64,+], merger[f64,max]}, |b, i, x| {merge(b.$0, x), merge(b.$1, "
     "f64(x))}))",
     300'000},
    {"DictmergerFewKeys", "result(for(v, dictmerger[i64,i64,+], |b, i, x| merge(b, {x % 10L, x})))", 200'000},
    {"DictmergerManyKeys", "result(for(v, dictmerger[i64,i64,+], |b, i, x| merge(b, {x * 977L, i})))",
     150'000},
    {"DictmergerLocal",
     "result(for(v, @(impl:local)dictmerger[i64,i64,+], |b, i, x| merge(b, {x % 5000L, x})))", 150'000},
    {"DictmergerGlobal",
     "result(for(v, @(impl:global)dictmerger[i64,i64,+], |b, i, x| merge(b, {x % 5000L, x})))", 150'000},
    {"DictmergerPartitioned",
     "result(for(v, @(impl:partitioned)dictmerger[i64,i64,+], |b, i, x| merge(b, {x * 31L, x})))", 150'000},
    {"DictmergerDense",
     "result(for(v, @(impl:dense)dictmerger[i64,i64,+], |b, i, x| merge(b, {x % 5000L, x})))", 150'000},
    {"DictmergerFloats", "result(for(v, dictmerger[f64,f64,+], |b, i, x| merge(b, {f64(x % 700L), f64(x)})))",
     150'000},
    {"DictmergerStructKeys",
     "result(for(v, dictmerger[{i32,i64},{i64,f64},+], |b, i, x| merge(b, {{i32(x % 50L), x % 7L}, {x, "
     "f64(x)}})))",
     150'000},
    {"DictmergerVectorKeys",
     "result(for(v, dictmerger[vec[i64],i64,+], |b, i, x| merge(b, {[x % 10L], 1L})))", 3000},
    {"DictmergerStrings",
     R"(let names = ["Alice", "Bob", "Carol, whose name is a long one", "", "Dora"];
        result(for(v, dictmerger[vec[i8],i64,+], |b, i, x| merge(b, {lookup(names, x % 5L), x}))))",
     150'000},
    {"DictmergerGoesOn",
     "let d = result(for(v, dictmerger[i64,i64,+], |b, i, x| merge(b, {x % 100L, x}))); result(for(v, "
     "dictmerger[i64,i64,+](d), |b, i, x| merge(b, {x % 1000L, i})))",
     100'000},
    {"Lookups",
     "let d = result(for(v, dictmerger[i64,i64,+], |b, i, x| merge(b, {x % 1000L, x}))); result(for(v, "
     "appender[i64], |b, i, x| if(keyexists(d, x), merge(b, lookup(d, x)), b)))",
     100'000},
    {"DictToVec", "tovec(result(for(v, dictmerger[i64,i64,+], |b, i, x| merge(b, {x % 3000L, x}))))",
     100'000},
    {"Groupmerger", "result(for(v, groupmerger[i64,i64], |b, i, x| merge(b, {x % 100L, i})))", 150'000},
    {"GroupmergerManyKeys", "result(for(v, groupmerger[i64,i64], |b, i, x| merge(b, {x, i})))", 100'000},
    {"GroupmergerOfVectors", "result(for(v, groupmerger[i64,vec[i64]], |b, i, x| merge(b, {x % 7L, [x]})))",
     2000},
    {"GroupmergerStrings",
     R"(let names = ["Alice", "Bob", "Carol, whose name is a long one", "", "Dora"];
        result(for(v, groupmerger[vec[i8],i64], |b, i, x| merge(b, {lookup(names, x % 5L), i}))))",
     100'000},
    {"GroupsReduced",
     "result(for(tovec(result(for(v, groupmerger[i64,i64], |b, i, x| merge(b, {x % 90L, i})))), "
     "appender[i64], |b, i, g| merge(b, result(for(g.$1, merger[i64,max], |c, j, y| merge(c, y))))))",
     100'000},
    {"VecmergerShort",
     "result(for(v, vecmerger[i64,+](result(for(rangeiter(0L, 256L, 1L), appender[i64], |b, i, x| merge(b, "
     "x)))), |b, i, x| merge(b, {x % 256L, 1L})))",
     200'000},
    {"VecmergerLong",
     "result(for(v, vecmerger[f64,+](result(for(v, appender[f64], |b, i, x| merge(b, "
     "f64(x))))), |b, i, x| merge(b, {i, f64(x)})))",
     150'000},
    {"VecmergerLocal", "result(for(v, @(impl:local)vecmerger[i64,+](v), |b, i, x| merge(b, {x % 1000L, x})))",
     100'000},
    {"VecmergerGlobal",
     "result(for(v, @(impl:global)vecmerger[i64,+](v), |b, i, x| merge(b, {x % 1000L, x})))", 100'000},
    {"VecmergerPartitioned",
     "result(for(v, @(impl:partitioned)vecmerger[i64,+](v), |b, i, x| merge(b, {x % 1000L, x})))", 100'000},
    {"SortScalars", "sort(v, |x| x)", 150'000},
    {"SortFloats", "sort(result(for(v, appender[f64], |b, i, x| merge(b, f64(x) / 7.0))), |x| x)", 150'000},
    {"SortBytes", "sort(result(for(v, appender[i8], |b, i, x| merge(b, i8(x)))), |x| x)", 150'000},
    {"SortPairs", "sort(result(for(v, appender[{i64,i64}], |b, i, x| merge(b, {x, i}))), |p| p.$0)", 150'000},
    {"SortByComputedKeys", "sort(v, |x| x % 1000L)", 150'000},
    {"SortByStructs", "sort(v, |x| {x % 7L, f64(x % 13L), i8(x)})", 100'000},
    {"SortByVectors", "sort(v, |x| [x % 7L, x])", 2000},
    {"SortStrings",
     R"(let names = ["Alice", "Bob", "Carol, whose name is a long one", "", "Dora"];
        sort(result(for(v, appender[vec[i8]], |b, i, x| merge(b, lookup(names, x % 5L)))), |s| s))",
     100'000},
    {"SortByComparator",
     "sort(v, |a, b| if((a * a) % 1000L < (b * b) % 1000L, -1, if((a * a) % 1000L > (b * b) % 1000L, 2, "
     "0)))",
     150'000},
    {"TopK", "slice(sort(v, |x| x), 0L, 100L)", 200'000},
    {"TopKOfPairs",
     "slice(sort(result(for(v, appender[{i64,i64}], |b, i, x| merge(b, {x, i}))), |p| p.$0), 0L, 100L)",
     200'000},
    {"TopKByStructs", "slice(sort(v, |x| {x % 7L, f64(x % 13L), i8(x)}), 0L, 50L)", 150'000},
    {"TopKByVectors", "slice(sort(v, |x| [x % 7L, x]), 0L, 10L)", 2000},
    {"TopKByComparator",
     "slice(sort(v, |a, b| if((a * a) % 1000L < (b * b) % 1000L, -1, if((a * a) % 1000L > (b * b) % 1000L, "
     "2, 0))), 0L, 10L)",
     150'000},
    {"Iterate", "iterate({v, 0L}, |s| {{flatten([s.$0, [s.$1]]), s.$1 + 1L}, s.$1 < 5L}).$0", 1000},
    {"IterateOverTables",
     "iterate({result(dictmerger[i64,i64,+]), 0L}, |s| {{result(for(v, dictmerger[i64,i64,+](s.$0), |b, i, "
     "x| "
     "merge(b, {x % 100L + s.$1, x}))), s.$1 + 1L}, s.$1 < 3L}).$0",
     2000},
    {"Serialize",
     "deserialize[dict[i64,vec[i64]]](serialize(result(for(v, groupmerger[i64,i64], |b, i, x| merge(b, {x % "
     "100L, i})))))",
     50'000},
    {"Strings",
     R"(let words = result(for(v, appender[vec[i8]], |b, i, x|
          merge(b, filter([i8(x % 26L) + 97c, i8(x % 7L) + 97c, 98c], |c| c != 99c))));
        tovec(result(for(words, dictmerger[vec[i8],i64,+], |b, i, w| merge(b, {w, len(w)})))))",
     2000},
    {"Flatten", "flatten(result(for(v, appender[vec[i64]], |b, i, x| merge(b, slice(v, i, x % 5L)))))",
     20'000},
    {"Joins",
     "let d = result(for(v, groupmerger[i64,i64], |b, i, x| merge(b, {x % 500L, x}))); result(for(v, "
     "appender[i64], |b, i, x| if(keyexists(d, x), for(lookup(d, x), b, |c, j, y| merge(c, y)), b)))",
     20'000},
};

class AllocationFailures : public testing::TestWithParam<Case> {
 protected:
  static std::vector<std::int64_t> elements(std::int64_t length) {
    std::vector<std::int64_t> scattered;
    for (std::int64_t i = 0; i < length; ++i) scattered.push_back(i * 7919 % 65'537);
    return scattered;
  }

  static std::string bytes_of(const Result& result) {
    runtime::VecView view;
    std::memcpy(&view, result.data(), sizeof view);
    return {reinterpret_cast<const char*>(view.data), static_cast<std::size_t>(view.length)};
  }

  // Runs with the first, second, ... failure, as `options` says, until none occurs. Returns their number.
  void fail_in_turn(std::int64_t runtime::ContextOptions::* fail_at, int num_threads) {
    const std::vector<std::int64_t> v = elements(GetParam().length);
    const I64Vector args(v);
    const RunOptions options{.num_threads = num_threads};
    std::string expected;
    {
      const auto result = program_->run(make_context(), &args, options);
      ASSERT_TRUE(result) << result.error().render();
      expected = bytes_of(*result);
    }
    // All early ones, then some, where every iteration allocates.
    for (std::int64_t n = 1;; n += n < 120 ? 1 : n / 8) {
      runtime::ContextOptions limits;
      limits.*fail_at = n;
      const auto context = make_context(limits);
      bool has_failed = false;
      {
        const auto result = program_->run(context, &args, options);
        has_failed = !result;
        if (result)
          EXPECT_TRUE(bytes_of(*result) == expected) << n;
        else
          ASSERT_EQ(result.error().code, ErrorCode::kOutOfMemory) << n;
      }
      ASSERT_EQ(context->bytes_in_use(), 0) << n;
      if (!has_failed) {
        EXPECT_GT(n, 1);
        return;
      }
      {
        const auto again = program_->run(context, &args, options);
        ASSERT_TRUE(again) << n << ": " << again.error().render();
        ASSERT_TRUE(bytes_of(*again) == expected) << n;
      }
      ASSERT_EQ(context->bytes_in_use(), 0) << n;
    }
  }

  std::shared_ptr<const Program> program_ =
      compile("|v: vec[i64]| serialize(" + std::string(GetParam().value) + ")");
};

TEST_P(AllocationFailures, OfBlocksOneThread) {
  fail_in_turn(&runtime::ContextOptions::fail_allocation_at, 1);
}

TEST_P(AllocationFailures, OfBlocksTwoThreads) {
  fail_in_turn(&runtime::ContextOptions::fail_allocation_at, 2);
}

TEST_P(AllocationFailures, OfTheSystem) {
  fail_in_turn(&runtime::ContextOptions::fail_system_at, 2);
}

TEST_P(AllocationFailures, TheNextRunsUseTheSameMemory) {
  const std::vector<std::int64_t> v = elements(GetParam().length);
  const I64Vector args(v);
  const auto context = make_context();
  const auto asked_by_run = [&] {
    const std::int64_t before = context->num_system_allocations();
    const auto result = program_->run(context, &args, {});
    EXPECT_TRUE(result);
    return context->num_system_allocations() - before;
  };
  EXPECT_GT(asked_by_run(), 0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(asked_by_run(), 0);
}

INSTANTIATE_TEST_SUITE_P(Programs, AllocationFailures, testing::ValuesIn(kCases),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace weld::codegen
