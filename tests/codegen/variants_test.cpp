#include <fmt/format.h>

#include <cstring>
#include <string>

#include "runtime/abi.h"
#include "tests/codegen/engine_fixture.h"

namespace weld::codegen {
namespace {

// The form of a filter that runs changes from morsel to morsel, its result never does.
const std::vector<std::string>& programs() {
  constexpr std::string_view kData =
      "let v = result(for(rangeiter(0L, 700000L, 1L), appender[i64], |b: appender[i64], i: i64, x: i64| "
      "merge(b, (x * 7919L) % 100L))); "
      "let w = result(for(rangeiter(0L, 700000L, 1L), appender[f64], |b: appender[f64], i: i64, x: i64| "
      "merge(b, 1.0 / f64(x + 1L)))); ";
  static const std::vector<std::string> made{
      fmt::format("{}[result(for(zip(v, w), merger[f64,+], |b, i, x| if(x.$0 < 2L, merge(b, x.$1), b))), "
                  "lookup(w, 0L)]",
                  kData),
      fmt::format(
          "{}result(for(zip(v, w), appender[f64], |b, i, x| if(x.$0 < i / 7000L, merge(b, exp(x.$1)), b)))",
          kData),
      fmt::format("{}result(for(zip(v, w), appender[f64], |b, i, x| if(x.$0 < 50L, merge(b, "
                  "f64(100L / (x.$0 - if(i == 650000L, x.$0, 100L)))), b)))",
                  kData),
      fmt::format("{}result(for(zip(v, w), appender[f64], |b, i, x| if(x.$0 > 1L && exp(x.$1) < 1.00001 && "
                  "sin(f64(x.$0 + i / 70000L)) > 0.9, merge(b, x.$1), b)))",
                  kData),
  };
  return made;
}

class Variants : public testing::TestWithParam<std::size_t> {};

TEST_P(Variants, GiveTheBitsOfTheInterpreter) {
  const std::string& text = programs()[GetParam()];
  CompileOptions interpreted;
  interpreted.interpret = true;
  const auto context = make_context();
  {
    const auto wanted = compile(text, interpreted)->run(context, nullptr, {});
    const auto compiled = compile(text);
    for (const int threads : {1, 2, 4, 8}) {
      for (const bool adaptive : {true, true, false}) {
        SCOPED_TRACE(fmt::format("{} threads, adaptive {}", threads, adaptive));
        const auto found = compiled->run(context, nullptr, {.num_threads = threads, .adaptive = adaptive});
        ASSERT_EQ(found.has_value(), wanted.has_value());
        if (!wanted) {
          EXPECT_EQ(found.error().code, wanted.error().code);
          continue;
        }
        runtime::VecView left;
        runtime::VecView right;
        std::memcpy(&left, found->data(), sizeof left);
        std::memcpy(&right, wanted->data(), sizeof right);
        ASSERT_EQ(left.length, right.length);
        EXPECT_EQ(std::memcmp(left.data, right.data, static_cast<std::size_t>(left.length) * sizeof(double)),
                  0);
      }
    }
  }
  EXPECT_EQ(context->bytes_in_use(), 0);
}

INSTANTIATE_TEST_SUITE_P(Programs, Variants, testing::Range<std::size_t>(0, programs().size()));

TEST(VariantShares, AreTold) {
  const std::string text =
      "|v: vec[i64], w: vec[i64]| "
      "result(for(zip(v, w), merger[i64,+], |b, i, x| if(x.$0 < 5L, merge(b, x.$1 * 3L), b)))";
  CompileOptions options;
  options.statistics = true;
  const auto context = make_context();
  const std::vector<std::int64_t> elements = counting(1'000'000);
  const I64Vector arguments[] = {I64Vector(elements), I64Vector(elements)};
  for (const int threads : {1, 2}) {
    const auto result =
        compile(text, options)->run(context, arguments, {.num_threads = threads, .statistics = true});
    ASSERT_TRUE(result) << result.error().render();
    ASSERT_EQ(result->statistics().loops.size(), 1u);
    const LoopReport& loop = result->statistics().loops.front();
    ASSERT_EQ(loop.variants.size(), 2u);
    EXPECT_EQ(loop.variants[0].name, "plain");
    EXPECT_EQ(loop.variants[1].name, "rare");
    EXPECT_GT(loop.variants[1].iterations, 0);
    EXPECT_EQ(loop.variants[0].iterations + loop.variants[1].iterations, 1'000'000);
    EXPECT_EQ(as_i64(*result), 30);
  }
}

}  // namespace
}  // namespace weld::codegen
