#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ir/scalar_eval.h"
#include "parser/parser.h"
#include "tests/differential/support/run_both.h"

namespace weld::language {
namespace {

using differential::CompileWay;
using differential::Outcome;
using ir::BinaryOp;
using ir::ScalarValue;
using ir::Value;

constexpr CompileWay kWays[] = {CompileWay{}, CompileWay{.optimise = false, .level = 0},
                                CompileWay{.simd_width_bits = 1}};

std::vector<Outcome> run_all_ways(const std::string& text, const std::vector<Value>& arguments) {
  ir::Arena arena;
  const ir::Expr program = parser::parse(text, arena);
  const auto context = differential::make_context();
  std::vector<Outcome> outcomes;
  for (const CompileWay& way : kWays) {
    const auto compiled = codegen::Program::compile(program, way.options());
    for (const int threads : {1, 3}) {
      const auto executor = threads == 1 ? runtime::ExecutorKind::kInline : runtime::ExecutorKind::kTbb;
      outcomes.push_back(differential::run_compiled(*compiled, context, arguments, {threads, executor}));
    }
  }
  return outcomes;
}

// All pairs in one loop, scalar and in lanes of simd, against scalar arithmetic.
template <class T>
void expect_all_pairs(std::string_view type, const std::vector<T>& values) {
  for (int i = 0; i <= static_cast<int>(BinaryOp::kMax); ++i) {
    const auto op = static_cast<BinaryOp>(i);
    if (op == BinaryOp::kLogicalAnd || op == BinaryOp::kLogicalOr) continue;
    if (std::is_floating_point_v<T> && op >= BinaryOp::kBitAnd && op <= BinaryOp::kShr) continue;
    const bool divides = std::is_integral_v<T> && (op == BinaryOp::kDiv || op == BinaryOp::kRem);
    std::vector<T> left;
    std::vector<T> right;
    std::vector<Value> expected;
    for (const T a : values) {
      for (const T b : values) {
        if (divides && b == 0) continue;
        left.push_back(a);
        right.push_back(b);
        expected.push_back(*ir::evaluate(op, ScalarValue::of(a), ScalarValue::of(b)));
      }
    }
    const std::vector<Value> arguments{Value::vector_of(std::span<const T>(left)),
                                       Value::vector_of(std::span<const T>(right))};
    const ir::Type result =
        ir::is_comparison(op) ? ir::Type::scalar(ir::ScalarKind::kBool) : ir::Type::scalar(ir::kind_of<T>());
    const Outcome all{.value = Value::vector(result, expected)};
    const std::string_view name = ir::op_name(op);
    const std::string applied =
        ir::is_infix(op) ? fmt::format("e.$0 {} e.$1", name) : fmt::format("{}(e.$0, e.$1)", name);
    const std::string scalar =
        fmt::format("|v: vec[{0}], w: vec[{0}]| result(for(zip(v, w), appender, |b, i, e| merge(b, {1})))",
                    type, applied);
    const std::string lanes = fmt::format(
        "|v: vec[{0}], w: vec[{0}]| let b = for(zip(simditer(v), simditer(w)), appender[{2}], |b, i, e| "
        "merge(b, {1})); "
        "result(for(zip(fringeiter(v), fringeiter(w)), b, |b, i, e| merge(b, {1})))",
        type, applied, ir::to_string(result));
    for (const std::string& text : {scalar, lanes}) {
      for (const Outcome& found : run_all_ways(text, arguments)) {
        const std::string mismatch = differential::difference(all, found);
        EXPECT_TRUE(mismatch.empty()) << text << "\n" << mismatch;
      }
    }
  }
}

TEST(Boundaries, AllPairsOfI8) {
  std::vector<std::int8_t> values;
  for (int i = -128; i < 128; ++i) values.push_back(static_cast<std::int8_t>(i));
  expect_all_pairs("i8", values);
}

TEST(Boundaries, AllPairsOfU8) {
  std::vector<std::uint8_t> values;
  for (int i = 0; i < 256; ++i) values.push_back(static_cast<std::uint8_t>(i));
  expect_all_pairs("u8", values);
}

template <class T>
std::vector<T> special_integers() {
  using Limits = std::numeric_limits<T>;
  return {0,
          1,
          2,
          3,
          7,
          8,
          31,
          32,
          33,
          63,
          64,
          static_cast<T>(-1),
          static_cast<T>(-2),
          static_cast<T>(-7),
          Limits::min(),
          static_cast<T>(Limits::min() + 1),
          Limits::max(),
          static_cast<T>(Limits::max() - 1),
          static_cast<T>(Limits::max() / 2)};
}

template <class T>
std::vector<T> special_floats() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> values{0,
                        1,
                        2,
                        T(0.5),
                        3,
                        10,
                        T(1e10),
                        Limits::min(),
                        Limits::max(),
                        Limits::denorm_min(),
                        Limits::infinity(),
                        Limits::epsilon(),
                        T(0.1),
                        T(1) / T(3),
                        T(16777216),
                        T(9007199254740992)};
  const std::size_t count = values.size();
  for (std::size_t i = 0; i < count; ++i) values.push_back(-values[i]);
  values.push_back(Limits::quiet_NaN());
  return values;
}

TEST(Boundaries, PairsOfSpecialIntegers) {
  expect_all_pairs("i16", special_integers<std::int16_t>());
  expect_all_pairs("i32", special_integers<std::int32_t>());
  expect_all_pairs("i64", special_integers<std::int64_t>());
  expect_all_pairs("u16", special_integers<std::uint16_t>());
  expect_all_pairs("u32", special_integers<std::uint32_t>());
  expect_all_pairs("u64", special_integers<std::uint64_t>());
}

TEST(Boundaries, PairsOfSpecialFloats) {
  expect_all_pairs("f32", special_floats<float>());
  expect_all_pairs("f64", special_floats<double>());
}

// Around the width of vectors, blocks, lanes and ranges, for every builder.
TEST(Boundaries, LengthsAroundBlocks) {
  ir::Arena arena;
  const ir::Expr program = parser::parse(R"(|v: vec[f64]|
    let r = result(for(v, {appender[f64], merger[f64,+], dictmerger[i64,f64,+], groupmerger[i64,i64], vecmerger[f64,+]([0.5, 0.25, 0.0]), merger[i64,max]},
      |b, i, x| {if(x > 0.3, merge(b.$0, x), b.$0), merge(b.$1, x), merge(b.$2, {i % 5L, x}), merge(b.$3, {i % 7L, i}),
                 merge(b.$4, {i % 3L, x}), merge(b.$5, i)}));
    {r.$0, r.$1, tovec(r.$2), tovec(r.$3), r.$4, r.$5})",
                                         arena);
  const auto context = differential::make_context();
  std::vector<std::int64_t> lengths;
  for (std::int64_t length = 0; length < 70; ++length) lengths.push_back(length);
  for (const std::int64_t around :
       {std::int64_t{128}, std::int64_t{4096}, std::int64_t{8192}, std::int64_t{65536}}) {
    for (std::int64_t offset = -1; offset <= 1; ++offset) lengths.push_back(around + offset);
  }
  lengths.push_back(140'001);
  std::vector<std::shared_ptr<const codegen::Program>> compiled;
  for (const CompileWay& way : kWays) compiled.push_back(codegen::Program::compile(program, way.options()));
  for (const std::int64_t length : lengths) {
    std::vector<double> elements;
    for (std::int64_t i = 0; i < length; ++i)
      elements.push_back(0.1 * static_cast<double>(i % 11) + (i % 97 == 0 ? 1e9 : 0.0));
    const std::vector<Value> arguments{Value::vector_of(std::span<const double>(elements))};
    const Outcome expected = differential::run_interpreter(program, arguments);
    for (const auto& each : compiled) {
      for (const differential::RunWay& way : differential::all_run_ways()) {
        const Outcome found = differential::run_compiled(*each, context, arguments, way);
        const std::string mismatch = differential::difference(expected, found);
        EXPECT_TRUE(mismatch.empty()) << length << " elements, " << way.text() << "\n" << mismatch;
      }
    }
  }
}

}  // namespace
}  // namespace weld::language
