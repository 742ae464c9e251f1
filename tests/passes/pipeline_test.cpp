#include "passes/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <functional>

#include "ir/effects.h"
#include "ir/equality.h"
#include "ir/error.h"
#include "ir/fields.h"
#include "ir/interpret.h"
#include "ir/printer.h"
#include "parser/parser.h"
#include "passes/pass.h"

namespace weld::passes {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> names_of(const PipelineOptions& options,
                                  std::vector<std::string>* warnings = nullptr) {
  std::vector<std::string> names;
  for (const Pass* pass : resolve(options, warnings)) names.emplace_back(pass->name);
  return names;
}

PipelineOptions listed(std::vector<std::string> names) {
  PipelineOptions options;
  options.passes = std::move(names);
  return options;
}

ir::Expr optimise(ir::Expr program, ir::Arena& arena, PipelineOptions options = {}) {
  PassContext context{
      .arena = arena, .options = std::move(options), .target = {}, .deadline = {}, .remarks = {}};
  return run_pipeline(program, context);
}

// On a thread with a stack of 256 KiB.
void run_on_small_stack(std::function<void()> body) {
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 * 1024), 0);
  pthread_t thread;
  const auto start = [](void* argument) -> void* {
    (*static_cast<std::function<void()>*>(argument))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, start, &body), 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attributes);
}

TEST(Pipeline, RunsTheDefaultOrder) {
  EXPECT_THAT(names_of({}), testing::ElementsAreArray(default_order()));
}

TEST(Pipeline, ListsEveryPassOnce) {
  for (const Pass& pass : all_passes()) {
    EXPECT_EQ(find_pass(pass.name), &pass);
    EXPECT_FALSE(pass.summary.empty());
  }
  for (std::string_view name : default_order()) EXPECT_NE(find_pass(name), nullptr) << name;
}

TEST(Pipeline, RunsMandatoryPassesThatAreNotListed) {
  EXPECT_THAT(names_of(listed({})), ElementsAre("inline_applies", "inline_zips"));
  EXPECT_THAT(names_of(listed({"inline-zip", "fold_constants"})),
              ElementsAre("inline_applies", "inline_zips", "fold_constants"));
}

TEST(Pipeline, AcceptsTheNamesOfTheOriginal) {
  std::vector<std::string> warnings;
  const std::vector<std::string> names =
      names_of(listed({"inline-zip", "inline-let", "inline-apply", "loop-fusion", "unroll-static-loop",
                       "infer-size", "algebraic", "inline-literals", "cse", "short-circuit-booleans",
                       "predicate", "vectorize", "fix-iterate", "simplify"}),
               &warnings);
  EXPECT_THAT(names, testing::IsSupersetOf({"inline_zips", "inline_lets", "inline_applies",
                                            "simplify_algebra", "fold_constants"}));
  EXPECT_THAT(warnings, testing::Contains("pass fix-iterate is accepted, but does nothing"));
  EXPECT_EQ(names.size() + warnings.size(), 14u);
}

TEST(Pipeline, RejectsUnknownNames) {
  try {
    names_of(listed({"inline_lets", "make_faster"}));
    FAIL();
  } catch (const ir::UserError& error) {
    EXPECT_EQ(error.code(), ErrorCode::kConfigurationError);
    EXPECT_THAT(error.what(), HasSubstr("there is no pass make_faster; the passes are inline_applies"));
  }
}

TEST(Pipeline, SwitchesPassesOff) {
  PipelineOptions options;
  options.switched_off = {"inline-lets"};
  std::vector<std::string> others = names_of({});
  std::erase(others, "inline_lets");
  EXPECT_THAT(names_of(options), testing::ElementsAreArray(others));
  options.switched_off = {"inline_zips"};
  EXPECT_THROW(names_of(options), ir::UserError);
}

TEST(Pipeline, ComparesOptionsWithoutTheCallback) {
  PipelineOptions left = listed({"cse"});
  PipelineOptions right = left;
  right.after_pass = [](const PassReport&) {};
  EXPECT_EQ(left, right);
  EXPECT_EQ(left.hash(), right.hash());
  EXPECT_NE(left, PipelineOptions());
  EXPECT_NE(left.hash(), PipelineOptions().hash());
}

TEST(Pipeline, ReportsEveryPass) {
  ir::Arena arena;
  const ir::Expr program = parser::parse("|a: i64| let x = a * 2L; x + 1L", arena);
  std::vector<std::string> seen;
  PipelineOptions options;
  options.after_pass = [&](const PassReport& report) {
    seen.emplace_back(report.pass.name);
    EXPECT_GE(report.microseconds, 0);
    EXPECT_EQ(report.pass.name == "inline_lets" && seen.size() < 3,
              report.before.get() != report.after.get());
  };
  optimise(program, arena, options);
  EXPECT_THAT(seen, testing::ElementsAreArray(default_order()));
}

TEST(Pipeline, StopsAtItsDeadline) {
  ir::Arena arena;
  PassContext context{.arena = arena,
                      .options = {},
                      .target = {},
                      .deadline = std::chrono::steady_clock::now() - std::chrono::seconds(1),
                      .remarks = {}};
  try {
    run_pipeline(parser::parse("1 + 1", arena), context);
    FAIL();
  } catch (const ir::UserError& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDeadlineExceeded);
  }
}

TEST(Pipeline, RefusesProgramsThatAreHugeAsTrees) {
  ir::Arena arena;
  ir::Expr sum = arena.literal(std::int64_t{1});
  for (int i = 0; i < 40; ++i) sum = arena.make<ir::Binary>({}, ir::BinaryOp::kAdd, sum, sum);
  try {
    optimise(sum, arena);
    FAIL();
  } catch (const ir::UserError& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBudgetExceeded);
  }
}

TEST(Pipeline, RefusesFunctionsThatGrowWithoutBound) {
  ir::Arena arena;
  std::string text = "|a: i64| let twice0 = |x: i64| x + 1L;";
  for (int i = 1; i < 40; ++i) {
    const std::string before = std::to_string(i - 1);
    text += "let twice" + std::to_string(i) + " = |x: i64| twice" + before + "(x) + twice" + before + "(x);";
  }
  const ir::Expr program = parser::parse(text + "twice39(a)", arena, {.name = "<program>", .internal = true});
  try {
    optimise(program, arena);
    FAIL();
  } catch (const ir::UserError& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBudgetExceeded);
  }
}

TEST(Pipeline, OptimisesLongChainsOnASmallStack) {
  run_on_small_stack([] {
    constexpr int kLets = 100'000;
    ir::Arena arena;
    const ir::Symbol input = arena.fresh_symbol("a");
    const ir::Type i64 = ir::Type::scalar(ir::ScalarKind::kI64);
    std::vector<ir::Symbol> symbols;
    std::vector<ir::Expr> values;
    ir::Expr last = arena.ident(input, i64);
    for (int i = 0; i < kLets; ++i) {
      values.push_back(arena.make<ir::Binary>({}, ir::BinaryOp::kAdd, last, arena.literal(std::int64_t{1})));
      symbols.push_back(arena.fresh_symbol("x"));
      last = arena.ident(symbols.back(), i64);
    }
    ir::Expr body = last;
    arena.allow_more_nodes(ir::Arena::kMaxNodes);
    for (int i = kLets - 1; i >= 0; --i) body = arena.make<ir::Let>({}, symbols[i], values[i], body);
    const ir::Expr program = arena.make<ir::Lambda>({}, std::vector<ir::Parameter>{{input, i64}}, body);

    const ir::Expr optimised = optimise(program, arena);
    EXPECT_LE(optimised.record().depth, 260u);
    EXPECT_LT(optimised.record().num_nodes, program.record().num_nodes);
    const auto result = ir::interpret(optimised, std::vector{ir::Value::of(std::int64_t{5})});
    ASSERT_TRUE(result);
    EXPECT_EQ(result->as<std::int64_t>(), kLets + 5);
  });
}

TEST(Pipeline, LeavesNoCallsAndNoZips) {
  ir::Arena arena;
  const ir::Expr program = parser::parse(
      "|a: vec[i64], b: vec[i64]| let f = |x: i64| x * 2L; let z = zip(a, b);"
      "f(result(for(z, merger[i64,+], |m, i, e| merge(m, f(e.$0) + e.$1)))) + len(z)",
      arena, {.name = "<program>", .internal = true});
  const ir::Expr optimised = optimise(program, arena, listed({}));
  ir::for_each_node(optimised, [](ir::Expr expr) {
    EXPECT_FALSE(expr.is<ir::Apply>());
    EXPECT_FALSE(expr.is<ir::Zip>());
    const auto* let = expr.as<ir::Let>();
    EXPECT_FALSE(let && let->value.is<ir::Lambda>());
  });
}

}  // namespace
}  // namespace weld::passes
