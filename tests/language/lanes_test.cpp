#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/equality.h"
#include "ir/error.h"
#include "ir/fields.h"
#include "ir/printer.h"
#include "ir/verify.h"
#include "parser/parser.h"
#include "tests/differential/support/run_both.h"
#include "tests/passes/golden_cases.h"
#include "tests/passes/samples.h"

// Functions of loops that do 16, 32 or 64 iterations at once: LANGUAGE.md §1.9, ir/nodes.h.

namespace weld::language {
namespace {

using differential::CompileWay;
using differential::Outcome;
using differential::RunWay;
using ir::Value;
using testing::HasSubstr;

// As written: no pass takes the forms away.
constexpr CompileWay kWays[] = {{.optimise = false, .simd_width_bits = 128},
                                {.optimise = false, .simd_width_bits = 256},
                                {.optimise = false}};
constexpr RunWay kRunWays[] = {{}, {.threads = 2, .executor = runtime::ExecutorKind::kTbb}};

std::shared_ptr<const codegen::Program> compile(ir::Expr program, const CompileWay& way) {
  codegen::CompileOptions options = way.options();
  options.pipeline.verify = false;  // which expects programs of users
  return codegen::Program::compile(program, options);
}

ir::Expr parse(const std::string& text, ir::Arena& arena) {
  const ir::Expr program = parser::parse(text, arena, {.name = "<program>", .internal = true});
  ir::verify(program, ir::Stage::kInternal);
  return program;
}

// The loops of the program without their lanes.
ir::Expr scalar_only(ir::Expr program, ir::Arena& arena) {
  return ir::rewrite_bottom_up(program, arena, [&](ir::Expr expr) {
    const auto* loop = expr.as<ir::For>();
    if (!loop || !loop->lanes) return expr;
    return arena.add(ir::For{loop->iterators, loop->builder, loop->function, {}}, expr.span(),
                     expr.annotations());
  });
}

// What the interpreter makes of the program, with and without lanes, and compiled code in all ways.
void expect_agreement(const std::string& text, const std::vector<std::vector<Value>>& all_arguments) {
  SCOPED_TRACE(text);
  ir::Arena arena;
  const ir::Expr program = parse(text, arena);
  const ir::Expr scalar = scalar_only(program, arena);
  const auto context = differential::make_context();
  std::vector<std::shared_ptr<const codegen::Program>> compiled;
  for (const CompileWay& way : kWays) compiled.push_back(compile(program, way));
  for (const std::vector<Value>& arguments : all_arguments) {
    const Outcome expected = differential::run_interpreter(scalar, arguments);
    EXPECT_EQ(difference(expected, differential::run_interpreter(program, arguments)), "");
    for (std::size_t i = 0; i < compiled.size(); ++i) {
      for (const RunWay& way : kRunWays) {
        const Outcome found = differential::run_compiled(*compiled[i], context, arguments, way);
        EXPECT_EQ(difference(expected, found), "") << kWays[i].text() << ", " << way.text();
      }
    }
  }
}

std::vector<Value> arguments_of_length(ir::Expr program, std::int64_t length, std::mt19937_64& random) {
  std::vector<Value> arguments;
  for (const ir::Parameter& parameter : program.as<ir::Lambda>()->parameters) {
    if (const auto* vec = parameter.type.as<ir::VecType>()) {
      std::vector<Value> elements;
      for (std::int64_t i = 0; i < length; ++i) elements.push_back(tests::sample_value(vec->element, random));
      arguments.push_back(Value::vector(vec->element, elements));
    } else if (ir::is_scalar(parameter.type, ir::ScalarKind::kI64)) {
      arguments.push_back(Value::of(length));
    } else {
      arguments.push_back(tests::sample_value(parameter.type, random));
    }
  }
  return arguments;
}

// Dictionaries cannot be passed from outside.
bool takes_dictionary(ir::Expr program) {
  return std::ranges::any_of(program.as<ir::Lambda>()->parameters, [](const ir::Parameter& parameter) {
    return parameter.type.as<ir::DictType>() != nullptr;
  });
}

TEST(Lanes, CompiledCodeAgreesOnWhatTheVectoriserMakes) {
  std::mt19937_64 random(5);
  for (const tests::GoldenFile& file : tests::read_golden_files()) {
    for (const tests::GoldenCase& golden : file.cases) {
      if (golden.pass != "vectorise_loops" || golden.unchanged) continue;
      ir::Arena arena;
      const ir::Expr program = parse(golden.expected, arena);
      if (takes_dictionary(program)) continue;
      std::vector<std::vector<Value>> all_arguments;
      for (const std::int64_t length : {0, 63, 64, 100, 130, 4171})
        all_arguments.push_back(arguments_of_length(program, length, random));
      expect_agreement(golden.expected, all_arguments);
    }
  }
}

std::vector<Value> numbers(std::int64_t count, std::int64_t modulus) {
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < count; ++i) all.push_back(i * 7 % modulus);
  return {Value::vector_of(std::span<const std::int64_t>(all))};
}

TEST(Lanes, MergeIntoEveryBuilder) {
  const std::string head = "|v: vec[i64]| let n = len(v);";
  const struct {
    std::string builder, value, lanes_value;
  } builders[] = {
      {"appender[i64]", "x * 3L", "x * broadcast[16](3L)"},
      {"appender[{i64,bool}]", "{x, x > 5L}", "{x, x > broadcast[16](5L)}"},
      {"merger[i64,min]", "x", "x"},
      {"merger[{i64,f64},*]", "{x, f64(x)}", "{x, f64(x)}"},
      {"dictmerger[i64,f64,+]", "{x % 5L, f64(x)}", "{x % broadcast[16](5L), f64(x)}"},
      {"dictmerger[{i64,bool},i64,max]", "{{x % 5L, x > 9L}, x}",
       "{{x % broadcast[16](5L), x > broadcast[16](9L)}, x}"},
      {"groupmerger[i64,i64]", "{x % 5L, i}", "{x % broadcast[16](5L), i}"},
      {"vecmerger[i64,+]([0L, 0L, 0L, 0L, 0L])", "{x % 5L, x}", "{x % broadcast[16](5L), x}"},
      {"vecmerger[f64,+]([0.5, 0.5, 0.5])", "{x % 3L, f64(x) / 3.0}",
       "{x % broadcast[16](3L), f64(x) / broadcast[16](3.0)}"},
  };
  for (const auto& b : builders) {
    const std::string type = b.builder.substr(0, b.builder.find("]("));
    const std::string builder_type = type == b.builder ? type : type + "]";
    const std::string plain = "result(for(v, " + b.builder + ", |b: " + builder_type +
                              ", i: i64, x: i64| merge(b, " + b.value + "), |b: " + builder_type +
                              ", i: simd[i64,16], x: simd[i64,16]| merge(b, " + b.lanes_value + ")))";
    const std::string masked =
        "result(for(v, " + b.builder + ", |b: " + builder_type + ", i: i64, x: i64| if(x > 3L, merge(b, " +
        b.value + "), b), |b: " + builder_type + ", i: simd[i64,16], x: simd[i64,16]| merge(b, " +
        b.lanes_value + ", x > broadcast[16](3L))))";
    for (const std::string& loop : {plain, masked})
      expect_agreement(head + loop, {numbers(5, 11), numbers(64, 11), numbers(100, 13), numbers(9000, 17)});
  }
}

TEST(Lanes, FailWhereTheScalarFunctionFails) {
  const std::string text =
      "|v: vec[i64], t: vec[i64]| result(for(v, appender[i64],"
      "|b: appender[i64], i: i64, x: i64| merge(b, lookup(t, x) + 100L / (x - 40L)),"
      "|b: appender[i64], i: simd[i64,16], x: simd[i64,16]|"
      "  merge(b, gather(t, x, broadcast[16](true)) + broadcast[16](100L) / (x - broadcast[16](40L)))))";
  std::vector<std::vector<Value>> all_arguments;
  const Value table = numbers(50, 50).front();
  for (const std::int64_t modulus : {30, 41, 50, 60}) {
    for (const std::int64_t length : {10, 70, 5000})
      all_arguments.push_back({numbers(length, modulus).front(), table});
  }
  expect_agreement(text, all_arguments);
}

// Inner loops of 0 to 79 iterations, those past whole groups under the mask of the lanes that have one.
TEST(Lanes, DoTheRestOfInnerLoopsUnderAMask) {
  const struct {
    std::string element, iterator, builder, value, lanes_value;
    int lanes;
  } loops[] = {
      {"f64", "iter(w, 3L, n + 3L, 1L)", "merger[f64,+]", "x / 3.0", "x / broadcast[16](3.0)", 16},
      {"f64", "iter(w, 1L, n + n + 1L, 2L)", "merger[f64,*](1.5)", "x", "x", 16},
      {"f32", "iter(w, 3L, n + 3L, 1L)", "merger[f32,+]", "x + f32(j)", "x + f32(j)", 16},
      {"i8", "iter(w, 3L, n + 3L, 1L)", "merger[i8,+]", "x", "x", 64},
      {"i16", "iter(w, 3L, n + 3L, 1L)", "merger[i16,max]", "x", "x", 32},
      {"bool", "iter(w, 3L, n + 3L, 1L)", "merger[i64,+]", "i64(x)", "i64(x)", 16},
      {"i64", "iter(w, 0L, n, 1L)", "merger[{i64,f64},+]", "{x, f64(x) / 7.0}",
       "{x, f64(x) / broadcast[16](7.0)}", 16},
      {"{i8,f64}", "iter(w, 3L, n + 3L, 1L)", "merger[f64,+]", "f64(x.$0) * x.$1", "f64(x.$0) * x.$1", 16},
      {"i64", "rangeiter(5L, n + 5L, 1L)", "merger[f64,+]", "f64(x) / 3.0", "f64(x) / broadcast[16](3.0)",
       16},
      {"i64", "iter(w, 0L, n, 1L)", "merger[f64,+]", "f64(lookup(w, x))", "f64(gather(w, x, active))", 16},
      {"i64", "iter(w, 0L, n, 1L)", "merger[f64,+]", "f64(lookup(w, j + 1L))",
       "f64(gather(w, j + broadcast[16](1L), active))", 16},
      {"i64", "iter(w, 3L, n + 3L, 1L)", "merger[f64,+]", "1.0 / f64(100L / x)",
       "broadcast[16](1.0) / f64(broadcast[16](100L) / select(active, x, broadcast[16](1L)))", 16},
  };
  std::mt19937_64 random(7);
  for (const auto& l : loops) {
    const std::string type = l.builder.substr(0, l.builder.find('('));
    const std::string element = l.iterator.starts_with("range") ? "i64" : l.element;
    const auto lanes_of = [&](const std::string& kind) {
      return "simd[" + kind + "," + std::to_string(l.lanes) + "]";
    };
    const std::string lanes =
        element.starts_with("{") ? "{" + lanes_of("i8") + "," + lanes_of("f64") + "}" : lanes_of(element);
    const std::string value = type.starts_with("merger[{") ? "{i64,f64}" : type.substr(7, type.find(',') - 7);
    const std::string text =
        "|most: i64, w: vec[" + l.element + "]| result(for(rangeiter(0L, most, 1L), appender[" + value +
        "], |b, i, n| merge(b, result(for(" + l.iterator + ", " + l.builder + ", |c, j, x| merge(c, " +
        l.value + "), |c: " + type + ", j: " + lanes_of("i64") + ", x: " + lanes +
        ", active: " + lanes_of("bool") + "| merge(c, " + l.lanes_value + ", active))))))";
    std::vector<std::vector<Value>> all_arguments;
    ir::Arena arena;
    const ir::Expr program = parse(text, arena);
    for (const std::int64_t most : {10, 80}) {
      std::vector<Value> arguments = arguments_of_length(program, 200, random);
      arguments.front() = Value::of(most);
      all_arguments.push_back(arguments);
      if (l.element == "i64") {
        arguments.back() = numbers(200, 90).front();  // all of them are places, the first is 0
        all_arguments.push_back(arguments);
        arguments.back() = numbers(80, 41).front();
        all_arguments.push_back(arguments);
      }
    }
    expect_agreement(text, all_arguments);
  }
}

// The group is done again by the scalar function; that it succeeds is a fault of the program.
TEST(Lanes, AreUnknownErrorsWhereTheyAloneFail) {
  const std::string text =
      "|v: vec[i64]| result(for(v, merger[i64,+], |b: merger[i64,+], i: i64, x: i64| merge(b, x),"
      "|b: merger[i64,+], i: simd[i64,16], x: simd[i64,16]|"
      "  let sure = assert(!any_lane(x == broadcast[16](3L)));"
      "  merge(b, x, broadcast[16](sure))))";
  ir::Arena arena;
  const ir::Expr program = parse(text, arena);
  const std::vector<Value> arguments = numbers(64, 11);
  EXPECT_EQ(differential::run_interpreter(program, arguments).code, ErrorCode::kUnknown);
  const auto context = differential::make_context();
  const auto compiled = compile(program, kWays[2]);
  EXPECT_EQ(differential::run_compiled(*compiled, context, arguments, {}).code, ErrorCode::kUnknown);
}

TEST(Lanes, AreInternalForms) {
  ir::Arena arena;
  for (const std::string text :
       {"|v: vec[f64]| result(for(v, merger[f64,+], |b: merger[f64,+], i: i64, x: f64| merge(b, x), "
        "|b: merger[f64,+], i: simd[i64,16], x: simd[f64,16]| merge(b, x)))",
        "|t: vec[i64]| gather(t, broadcast[16](0L), broadcast[16](true))", "any_lane(broadcast[16](true))",
        "map_lanes(broadcast[16](1L), broadcast[16](true), |x: i64| x)"}) {
    const ir::Expr program = parse(text, arena);
    EXPECT_THROW(ir::verify(program, ir::Stage::kCore), ir::UserError) << text;
  }
}

std::string rejection(const std::string& text) {
  ir::Arena arena;
  try {
    parse(text, arena);
  } catch (const ir::UserError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Lanes, ObeyTheirTypes) {
  const auto loop = [](const std::string& lanes) {
    return "|v: vec[f64], w: vec[{vec[i8],i32}]| result(for(v, merger[f64,+], |b: merger[f64,+], i: i64, x: "
           "f64| "
           "merge(b, x), " +
           lanes + "))";
  };
  EXPECT_THAT(rejection(loop("|b: merger[f64,+], i: simd[i64,8], x: simd[f64,8]| b")),
              HasSubstr("n = 16, 32 or 64"));
  EXPECT_THAT(rejection(loop("|b: merger[f64,+], i: simd[i64,16], x: simd[f64,32]| b")),
              HasSubstr("parameter x"));
  EXPECT_THAT(rejection(loop("|b: merger[f64,+], i: simd[i64,16], x: simd[f64,16]| merge(b, x, true)")),
              HasSubstr("the mask of merge"));
  EXPECT_THAT(rejection(loop("|b: merger[f64,+], i: simd[i64,16], x: simd[f64,16]| merge(b, f32(x))")),
              HasSubstr("merge value has type simd[f32,16]"));
  EXPECT_THAT(rejection("|w: vec[{vec[i8],i32}]| gather(w, broadcast[16](0L), broadcast[16](true))"),
              HasSubstr("gather takes a vector of scalars"));
  EXPECT_THAT(rejection("|w: vec[i8]| gather(w, broadcast[16](0si), broadcast[16](true))"),
              HasSubstr("the index of gather"));
  EXPECT_THAT(rejection("|w: vec[i8]| gather(w, broadcast[16](0L), broadcast[32](true))"),
              HasSubstr("the mask"));
  EXPECT_THAT(rejection("any_lane(broadcast[16](1L))"), HasSubstr("any_lane takes simd of bool"));
  EXPECT_THAT(rejection("map_lanes(broadcast[16](1L), broadcast[16](true), |x: i32| x)"),
              HasSubstr("parameter x"));
  EXPECT_THAT(rejection("map_lanes(broadcast[16](1L), broadcast[16](true), |x: i64| [x])"),
              HasSubstr("map_lanes makes scalars"));
  EXPECT_THAT(rejection("let b = merger[i64,+]; for_lanes(b, broadcast[32](1L), broadcast[16](true), "
                        "|b: merger[i64,+], x: i64| merge(b, x))"),
              HasSubstr("lanes of type simd[i64,32]"));
}

// Builders are as linear in them as elsewhere.
TEST(Lanes, UseBuildersOnce) {
  const auto loop = [](const std::string& lanes) {
    return "|v: vec[i64]| result(for(v, {merger[i64,+], merger[i64,+]}, |b: {merger[i64,+],merger[i64,+]}, "
           "i: i64, "
           "x: i64| b, |b: {merger[i64,+],merger[i64,+]}, i: simd[i64,16], x: simd[i64,16]| " +
           lanes + "))";
  };
  EXPECT_EQ(rejection(loop("{merge(b.$0, x), b.$1}")), "accepted");
  EXPECT_THAT(rejection(loop("{merge(b.$0, x), b.$0}")), HasSubstr("used twice"));
  EXPECT_THAT(rejection(loop("{b.$1, b.$0}")), HasSubstr("does not derive"));
  EXPECT_THAT(rejection(loop("{for_lanes(b.$0, x, x > x, |c: merger[i64,+], y: i64| b.$1), b.$1}")),
              HasSubstr("outside of the function"));
  EXPECT_THAT(rejection(loop("let y = map_lanes(x, x > x, |y: i64| result(b.$0)); b")),
              HasSubstr("result of a builder"));
}

}  // namespace
}  // namespace weld::language
