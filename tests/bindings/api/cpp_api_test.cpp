#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "weld.hpp"

struct Trade {
  std::int32_t id;
  double price;
  bool open;
};
template <>
struct weld::Members<Trade> : std::type_identity<std::tuple<std::int32_t, double, bool>> {};

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(CppApi, RunsOnSpansAndScalars) {
  const weld::Module module("|v: vec[i64], k: i64| result(for(v, merger[i64,+], |b, i, x| merge(b, x * k)))");
  const auto weighted = module.function<std::int64_t(std::span<const std::int64_t>, std::int64_t)>();
  const weld::Context context;
  const std::vector<std::int64_t> numbers{1, 2, 3};
  EXPECT_EQ(*weighted(context, numbers, 10), 60);
  EXPECT_EQ(*weighted(context, {}, 10), 0);
}

TEST(CppApi, NamesEveryScalar) {
  const weld::Module module(
      "|a: i8, b: i16, c: i32, d: i64, e: u8, f: u16, g: u32, h: u64, i: f32, j: f64, k: bool| "
      "{k,j,i,h,g,f,e,d,c,b,a}");
  using Reversed = std::tuple<bool, double, float, std::uint64_t, std::uint32_t, std::uint16_t, std::uint8_t,
                              std::int64_t, std::int32_t, std::int16_t, std::int8_t>;
  const auto reverse =
      module.function<Reversed(std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t,
                               std::uint16_t, std::uint32_t, std::uint64_t, float, double, bool)>();
  EXPECT_EQ(*reverse(weld::Context(), -1, -2, -3, -4, 5, 6, 7, 8, 1.5f, 2.5, true),
            Reversed(true, 2.5, 1.5f, 8, 7, 6, 5, -4, -3, -2, -1));
}

TEST(CppApi, ViewsResultsThatKeepTheirContextAlive) {
  const auto squares = weld::Module("|v: vec[i64]| result(for(v, appender[i64], |b, i, x| merge(b, x * x)))")
                           .function<std::span<const std::int64_t>(std::span<const std::int64_t>)>();
  const std::vector<std::int64_t> numbers{1, 2, 3};
  const auto result = squares(weld::Context(), numbers);
  EXPECT_THAT(result.get(), ElementsAre(1, 4, 9));
  EXPECT_GE(result.memory_usage(), 24);
  EXPECT_GT(result.statistics().run_ns, 0);
}

TEST(CppApi, TakesTextsTuplesAndStructs) {
  const weld::Module module(
      "|trades: vec[{i32,f64,bool}], limits: {f64,{i64}}, name: vec[i8]|"
      "{result(for(trades, appender[{i32,f64,bool}], |b, i, t| if(t.$1 > limits.$0, merge(b, t), b))), name,"
      " len(name) + limits.$1.$0}");
  using Limits = std::tuple<double, std::tuple<std::int64_t>>;
  using Found = std::tuple<std::span<const Trade>, std::string_view, std::int64_t>;
  const auto find = module.function<Found(std::span<const Trade>, Limits, std::string_view)>();
  const std::vector<Trade> trades{{1, 10.0, true}, {2, 20.0, false}, {3, 30.0, true}};
  const auto result = find(weld::Context(), trades, {15.0, {5}}, "name");
  const auto [found, name, number] = result.get();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[1].id, 3);
  EXPECT_EQ(name, "name");
  EXPECT_EQ(number, 9);
}

TEST(CppApi, ViewsVectorsOfVectors) {
  const auto split =
      weld::Module(
          "|v: vec[vec[i8]]| result(for(v, appender[vec[i8]], |b, i, t| merge(b, slice(t, 1L, 2L))))")
          .function<std::span<const weld::Vector<std::int8_t>>(std::span<const weld::Vector<std::int8_t>>)>();
  const std::string text = "hello";
  const weld::Vector<std::int8_t> element(
      std::span(reinterpret_cast<const std::int8_t*>(text.data()), text.size()));
  const std::vector<weld::Vector<std::int8_t>> vectors{element, element};
  const auto result = split(weld::Context(), vectors);
  ASSERT_EQ(result.get().size(), 2u);
  EXPECT_EQ(result.get()[1].text(), "el");
}

TEST(CppApi, ChecksTypes) {
  const weld::Module module("|v: vec[i64], k: f32| k");
  EXPECT_EQ(module.type(), "|vec[i64],f32| f32");
  try {
    module.function<float(std::span<const double>, float)>();
    FAIL();
  } catch (const weld::Error& error) {
    EXPECT_EQ(error.code(), weld::Code::kCompileError);
    EXPECT_STREQ(error.what(), "the program has type |vec[i64],f32| f32, but |vec[f64],f32| f32 is expected");
  }
  EXPECT_THROW(module.run<double>(weld::Context(), 1.0f), weld::Error);
}

TEST(CppApi, ThrowsErrorsWithTheirPlace) {
  try {
    weld::Module("|v: vec[i64]|\nv.$0");
    FAIL();
  } catch (const weld::Error& error) {
    EXPECT_EQ(error.code(), weld::Code::kCompileError);
    EXPECT_EQ(error.position().line, 2);
    EXPECT_THAT(error.what(), HasSubstr("error[CompileError]"));
    EXPECT_THAT(error.message(), testing::Not(HasSubstr("\n")));
  }
  const weld::Module module("|n: i64| 10L / n");
  try {
    module.run<std::int64_t>(weld::Context(), std::int64_t{0});
    FAIL();
  } catch (const weld::Error& error) {
    EXPECT_EQ(error.code(), weld::Code::kArithmeticError);
    EXPECT_EQ(error.position().line, 1);
  }
  EXPECT_THROW(weld::Context(weld::Conf().set("weld.threads", "0")), weld::Error);
  EXPECT_THROW(weld::load_library("/nowhere/libnothing.so"), weld::Error);
}

TEST(CppApi, Cancels) {
  const auto endless =
      weld::Module("|n: i64| iterate(n, |s| {s + 1L, s >= 0L})").function<std::int64_t(std::int64_t)>();
  weld::Cancel cancel;
  std::thread other([&] { cancel.trigger(); });
  try {
    endless.run(weld::Context(), {.cancel = &cancel}, 0);
    FAIL();
  } catch (const weld::Error& error) {
    EXPECT_EQ(error.code(), weld::Code::kCancelled);
  }
  other.join();
}

TEST(CppApi, RunsProgramsWithoutParameters) {
  EXPECT_EQ(*weld::Module("40 + 2").run<std::int32_t>(weld::Context()), 42);
}

}  // namespace
