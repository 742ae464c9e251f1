#include "passes/vectorise_loops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/error.h"
#include "ir/fields.h"
#include "ir/interpret.h"
#include "ir/printer.h"
#include "ir/verify.h"
#include "parser/parser.h"
#include "passes/pass.h"
#include "tests/passes/golden_cases.h"
#include "tests/passes/samples.h"

namespace weld::tests {
namespace {

using testing::HasSubstr;

ir::Expr parse(const std::string& text, ir::Arena& arena) {
  return parser::parse(text, arena, {.name = "<program>", .internal = true});
}

std::string outcome(const std::expected<ir::Value, ir::RunError>& result) {
  return result ? ir::to_text(*result) : std::string(error_name(result.error().code));
}

// Vectors of that many elements, so that groups of lanes, what they leave over and several blocks occur.
// Numbers that may be the length of a loop are it.
std::vector<ir::Value> long_arguments(ir::Expr program, std::int64_t length, std::mt19937_64& random) {
  std::vector<ir::Value> arguments;
  for (const ir::Parameter& parameter : program.as<ir::Lambda>()->parameters) {
    if (const auto* vec = parameter.type.as<ir::VecType>()) {
      std::vector<ir::Value> elements;
      for (std::int64_t i = 0; i < length; ++i) elements.push_back(sample_value(vec->element, random));
      arguments.push_back(ir::Value::vector(vec->element, elements));
    } else if (ir::is_scalar(parameter.type, ir::ScalarKind::kI64)) {
      arguments.push_back(ir::Value::of(length));
    } else {
      arguments.push_back(sample_value(parameter.type, random));
    }
  }
  return arguments;
}

TEST(VectoriseLoops, MeansTheSameInManyIterations) {
  std::mt19937_64 random(3);
  int num_successes = 0;
  for (const GoldenFile& file : read_golden_files()) {
    for (const GoldenCase& golden : file.cases) {
      if (golden.pass != "vectorise_loops" || golden.unchanged) continue;
      ir::Arena arena;
      const ir::Expr before = parse(golden.input, arena);
      passes::PassContext context{.arena = arena, .options = {}, .target = {}, .deadline = {}, .remarks = {}};
      const ir::Expr after = passes::vectorise_loops(before, context);
      for (const std::int64_t length : {0, 1, 15, 63, 64, 65, 79, 80, 100, 127, 128, 129, 200, 4100, 4170}) {
        const std::vector<ir::Value> arguments = long_arguments(before, length, random);
        const auto expected = ir::interpret(before, arguments);
        const auto found = ir::interpret(after, arguments);
        EXPECT_EQ(outcome(found), outcome(expected)) << golden.title << ", " << length << " elements";
        if (found && expected) EXPECT_TRUE(ir::same_bits(*found, *expected)) << golden.title;
        num_successes += expected && length >= 64;
      }
    }
  }
  EXPECT_GT(num_successes, 100);
}

std::string remark_on(const std::string& text) {
  ir::Arena arena;
  passes::PassContext context{.arena = arena, .options = {}, .target = {}, .deadline = {}, .remarks = {}};
  passes::vectorise_loops(parse(text, arena), context);
  std::string messages;
  for (const passes::Remark& remark : context.remarks) {
    const ir::Location place = ir::locate(remark.span);
    messages += std::to_string(place.line) + ":" + std::to_string(place.column) + " " + remark.message + "\n";
  }
  return messages;
}

TEST(VectoriseLoops, SaysWhyNot) {
  EXPECT_EQ(
      remark_on("|v: vec[f64]|\n  result(@(vectorize:false)for(v, merger[f64,+], |b, i, x| merge(b, x)))"),
      "2:10 not vectorised: the loop says vectorize:false\n");
  EXPECT_THAT(remark_on("|v: vec[f64]| result(for(v, merger[f64,+], |b, i, x| merge(b, cudf[f,f64](x))))"),
              HasSubstr("calls a foreign function"));
  EXPECT_THAT(
      remark_on("|v: vec[vec[i8]]| result(for(v, merger[i64,+], |b, i, x| if(x == \"abc\", merge(b, 1L), "
                "b)))"),
      HasSubstr("lanes would gain little"));
  EXPECT_EQ(remark_on("|v: vec[f64]| result(for(v, merger[f64,+], |b, i, x| merge(b, x)))"), "");
}

TEST(VectoriseLoops, ObeysTheLoop) {
  const std::string text =
      "|v: vec[vec[i8]]| result(@(vectorize:true)for(v, merger[i64,+], |b, i, x| if(x == \"abc\", merge(b, "
      "1L), "
      "b)))";
  EXPECT_EQ(remark_on(text), "");
}

TEST(VectoriseLoops, DoesNothingWithoutSimd) {
  ir::Arena arena;
  passes::PassContext context{.arena = arena, .options = {}, .target = {}, .deadline = {}, .remarks = {}};
  context.target.vector_bytes = 0;
  const ir::Expr program = parse("|v: vec[f64]| result(for(v, merger[f64,+], |b, i, x| merge(b, x)))", arena);
  EXPECT_EQ(passes::vectorise_loops(program, context).get(), program.get());
}

// Enough operations that do not wait for each other: more lanes where the chain is long.
TEST(VectoriseLoops, TakesMoreLanesForLongChains) {
  const auto lanes_of = [](int num_operations, std::string_view builder, std::string_view function) {
    std::string body = "x";
    for (int i = 0; i < num_operations / 2; ++i) body = "(" + body + " * 1.5 + a)";
    ir::Arena arena;
    passes::PassContext context{.arena = arena, .options = {}, .target = {}, .deadline = {}, .remarks = {}};
    context.target.vector_bytes = 64;
    const ir::Expr program = parse("|v: vec[f64], a: f64| result(for(v, " + std::string(builder) +
                                       ", |b, i, x| merge(b, " + std::string(function) + "(" + body + "))))",
                                   arena);
    std::uint32_t lanes = 0;
    ir::for_each_node(passes::vectorise_loops(program, context), [&](ir::Expr expr) {
      const auto* loop = expr.as<ir::For>();
      if (loop && loop->lanes)
        lanes = loop->lanes.as<ir::Lambda>()->parameters[1].type.as<ir::SimdType>()->lanes;
    });
    return lanes;
  };
  EXPECT_EQ(lanes_of(20, "appender[f64]", "abs"), 32u);
  EXPECT_EQ(lanes_of(200, "appender[f64]", "abs"), 64u);
  EXPECT_EQ(lanes_of(200, "merger[f64,max]", "abs"), 64u);
  EXPECT_EQ(lanes_of(200, "merger[f64,+]", "abs"), 32u) << "sums have 16 lanes";
  EXPECT_EQ(lanes_of(200, "appender[f64]", "exp"), 32u) << "calls keep processors busy";
}

// A chain of 200 operations, as fusion leaves it, and one of lets.
TEST(VectoriseLoops, TakesDeepAndLongBodies) {
  std::string nested = "x";
  std::string lets;
  for (int i = 0; i < 100; ++i) nested = "(" + nested + " * 1.5 + a)";
  for (int i = 0; i < 400; ++i) {
    const std::string last = i == 0 ? "x" : "y" + std::to_string(i - 1);
    lets += "let y" + std::to_string(i) + " = " + last + " * " + last + ";";
  }
  for (const std::string& body : {"merge(b, " + nested + ")", lets + "merge(b, y399)"}) {
    ir::Arena arena;
    passes::PassContext context{.arena = arena, .options = {}, .target = {}, .deadline = {}, .remarks = {}};
    const ir::Expr program =
        parse("|v: vec[f64], a: f64| result(for(v, appender[f64], |b, i, x| " + body + "))", arena);
    const ir::Expr after = passes::vectorise_loops(program, context);
    EXPECT_NE(after.get(), program.get());
    ir::verify(after, ir::Stage::kInternal);
  }
}

}  // namespace
}  // namespace weld::tests
