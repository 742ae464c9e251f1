#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <random>

#include "ir/fields.h"
#include "ir/verify.h"
#include "parser/parser.h"
#include "tests/codegen/lane_programs.h"
#include "tests/differential/support/run_both.h"

// Loops with lanes functions, written as internal text, against the interpreter: every form, builder and
// operator, with 16, 32 and 64 lanes, vectors of 128, 256 and 512 bits, one thread and two.

namespace weld::codegen {
namespace {

using differential::Outcome;
using ir::ScalarKind;
using ir::Value;

// With blocks of 128 iterations: none, less than a block in lanes, odd ends, several morsels.
constexpr std::array<std::int64_t, 8> kLengths{0, 1, 63, 64, 100, 128, 191, 2700};
constexpr std::array kWidths{512, 256, 128};

std::string with_lanes(std::string text, int lanes) {
  for (std::size_t at = text.find("$N"); at != std::string::npos; at = text.find("$N"))
    text.replace(at, 2, std::to_string(lanes));
  return text;
}

// Small numbers, so that keys repeat and indices are often inside, and now and then an odd one.
class Values {
 public:
  Value make(ir::Type type, std::int64_t length) {
    if (const auto* scalar = type.as<ir::ScalarType>()) return this->scalar(scalar->kind);
    if (const auto* vec = type.as<ir::VecType>()) {
      std::vector<Value> elements;
      const bool is_text = vec->element.as<ir::VecType>() == nullptr && length < 0;
      for (std::int64_t i = 0; i < (is_text ? 3 : length); ++i) elements.push_back(make(vec->element, 3));
      return Value::vector(vec->element, elements);
    }
    std::vector<Value> members;
    for (ir::Type member : type.as<ir::StructType>()->members) members.push_back(make(member, length));
    return Value::structure(std::move(members));
  }

 private:
  ir::ScalarValue scalar(ScalarKind kind) {
    const bool odd = random_() % 16 == 0;
    const auto small = static_cast<std::int64_t>(random_() % 100) - 20;
    if (kind == ScalarKind::kBool) return ir::ScalarValue::of(small > 20);
    if (kind == ScalarKind::kF64)
      return ir::ScalarValue::of(odd ? odd_float() : static_cast<double>(small) / 8);
    if (kind == ScalarKind::kF32)
      return ir::ScalarValue::of(static_cast<float>(odd ? odd_float() : static_cast<double>(small) / 8));
    std::uint64_t bits = odd ? std::uint64_t{1} << (random_() % 64) : static_cast<std::uint64_t>(small);
    if (odd && random_() % 2) bits -= 1;
    const int width = ir::bit_width(kind);
    return {kind, width == 64 ? bits : bits & ((std::uint64_t{1} << width) - 1)};
  }

  double odd_float() {
    constexpr std::array kOdd{std::numeric_limits<double>::quiet_NaN(),
                              std::numeric_limits<double>::infinity(),
                              -std::numeric_limits<double>::infinity(),
                              -0.0,
                              1e-310,
                              1e18,
                              -3e9,
                              250.5,
                              1e300};
    return kOdd[random_() % kOdd.size()];
  }

  std::mt19937_64 random_{7};
};

class Lanes : public testing::TestWithParam<std::tuple<std::size_t, int>> {};

TEST_P(Lanes, DoWhatIterationsDo) {
  const auto [index, lanes] = GetParam();
  const LaneProgram& c = lane_programs()[index];
  const std::string text = with_lanes(c.text, lanes);
  SCOPED_TRACE(c.name + "\n" + text);
  ir::Arena arena;
  ir::Expr program;
  try {
    program = parser::parse(text, arena, {.internal = true});
    ir::verify(program, ir::Stage::kInternal);
  } catch (const ir::UserError& error) {
    FAIL() << error.what();
  }
  const ir::Lambda& lambda = *program.as<ir::Lambda>();

  struct Case {
    std::vector<Value> arguments;
    Outcome expected;
  };
  std::vector<Case> cases;
  Values values;
  // Threshold, the first parameter of every program: masks that hold for all lanes, for some, for none.
  for (const std::int64_t threshold : {std::int64_t{15}, std::numeric_limits<std::int64_t>::min(),
                                       std::numeric_limits<std::int64_t>::max()}) {
    for (const std::int64_t length : kLengths) {
      if (threshold != 15 && length < 128) continue;
      Case& made = cases.emplace_back();
      made.arguments.push_back(Value::of(threshold));
      for (const ir::Parameter& parameter : lambda.parameters.subspan(1))
        made.arguments.push_back(values.make(parameter.type, length));
      made.expected = differential::run_interpreter(program, made.arguments);
      if (made.expected.code == ErrorCode::kUnknown) ADD_FAILURE() << to_text(made.expected);
    }
  }
  const auto context = differential::make_context();
  for (const int width : kWidths) {
    const differential::CompileWay way{.optimise = false, .simd_width_bits = width};
    SCOPED_TRACE(way.text());
    CompileOptions options = way.options();
    options.pipeline.verify =
        false;  // it would ask for the core language before the first pass that makes lanes
    const auto compiled = Program::compile(program, options);
    for (std::size_t i = 0; i < cases.size(); ++i) {
      for (const int threads : {1, 2}) {
        const auto executor = threads == 1 ? runtime::ExecutorKind::kInline : runtime::ExecutorKind::kTbb;
        const Outcome found =
            differential::run_compiled(*compiled, context, cases[i].arguments, {threads, executor});
        std::string difference = differential::difference(cases[i].expected, found);
        if (difference.empty() && cases[i].expected.column != found.column)
          difference = fmt::format("expected {}\n   found {}", to_text(cases[i].expected), to_text(found));
        ASSERT_EQ(difference, "") << "case " << i << ", " << threads << " threads";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Programs, Lanes,
                         testing::Combine(testing::Range(std::size_t{0}, lane_programs().size()),
                                          testing::Values(16, 32, 64)),
                         [](const auto& info) {
                           const LaneProgram& c = lane_programs()[std::get<0>(info.param)];
                           return c.name + "_" + std::to_string(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace weld::codegen
