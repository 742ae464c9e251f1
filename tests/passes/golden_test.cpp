#include <gtest/gtest.h>

#include <cstring>
#include <iostream>

#include "ir/equality.h"
#include "ir/error.h"
#include "ir/interpret.h"
#include "ir/printer.h"
#include "ir/verify.h"
#include "parser/parser.h"
#include "passes/pass.h"
#include "tests/passes/golden_cases.h"
#include "tests/passes/samples.h"

namespace weld::tests {

void PrintTo(const GoldenCase& golden, std::ostream* stream) {
  *stream << golden.pass << ": " << golden.title;
}

namespace {

// Internal, so that calls of functions are not inlined by the parser.
ir::Expr parse(const std::string& text, ir::Arena& arena) {
  return parser::parse(text, arena, {.name = "<golden>", .internal = true});
}

ir::Expr run_pass(const GoldenCase& golden, ir::Expr program, ir::Arena& arena) {
  passes::PassContext context{.arena = arena, .options = {}, .target = {}, .deadline = {}, .remarks = {}};
  const passes::Pass* pass = passes::find_pass(golden.pass);
  if (!pass) throw std::runtime_error("there is no pass " + golden.pass);
  return pass->run(program, context);
}

std::string outcome(const std::expected<ir::Value, ir::RunError>& result) {
  return result ? ir::to_text(*result) : std::string(error_name(result.error().code));
}

// Ends samples for which an iterate goes on and on.
class BoundedHost : public ir::Host {
 public:
  ErrorCode poll() noexcept override {
    return ++polls_ > kMaxPolls ? ErrorCode::kDeadlineExceeded : ErrorCode::kSuccess;
  }

 private:
  static constexpr int kMaxPolls = 20;  // one in a thousand iterations
  int polls_ = 0;
};

std::expected<ir::Value, ir::RunError> run(ir::Expr program, std::span<const ir::Value> arguments) {
  BoundedHost host;
  return ir::interpret(program, arguments, host);
}

// Where `any_error`, which of several errors is reported may change.
void expect_same_meaning(ir::Expr before, ir::Expr after, bool any_error) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20; ++i) {
    const std::vector<ir::Value> arguments = sample_arguments(before, random);
    const auto expected = run(before, arguments);
    const auto found = run(after, arguments);
    EXPECT_EQ(found.has_value(), expected.has_value()) << outcome(found);
    if (!any_error) EXPECT_EQ(outcome(found), outcome(expected));
    if (found && expected) EXPECT_TRUE(ir::same_bits(*found, *expected)) << outcome(found);
  }
}

// Passes leave internal forms alone, wherever they run.
bool is_core(ir::Expr program) {
  try {
    ir::verify(program, ir::Stage::kCore);
    return true;
  } catch (const ir::UserError&) {
    return false;
  }
}

class GoldenPass : public testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenPass, RewritesAsRecorded) {
  const GoldenCase& golden = GetParam();
  ir::Arena arena;
  const ir::Expr before = parse(golden.input, arena);
  const ir::Expr after = run_pass(golden, before, arena);
  ir::verify(after, is_core(before) ? passes::find_pass(golden.pass)->stage : ir::Stage::kInternal);

  const ir::Expr expected = parse(golden.expected, arena);
  EXPECT_TRUE(ir::alpha_equal(after, expected)) << ir::print(after);
  EXPECT_EQ(ir::alpha_equal(before, after), golden.unchanged);
  if (golden.unchanged) EXPECT_EQ(before.get(), after.get()) << "a new tree for an unchanged program";
  expect_same_meaning(before, after, golden.pass.starts_with("fuse_"));
}

std::vector<GoldenCase> all_cases() {
  std::vector<GoldenCase> cases;
  for (const GoldenFile& file : read_golden_files())
    cases.insert(cases.end(), file.cases.begin(), file.cases.end());
  return cases;
}

std::string name_of(const testing::TestParamInfo<GoldenCase>& info) {
  std::string name = info.param.pass + "_" + info.param.title;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Passes, GoldenPass, testing::ValuesIn(all_cases()), name_of);

// Writes what the passes do now into the files, to be reviewed as a diff.
void update_golden_files() {
  for (GoldenFile& file : read_golden_files()) {
    for (GoldenCase& golden : file.cases) {
      ir::Arena arena;
      const ir::Expr before = parse(golden.input, arena);
      const ir::Expr after = run_pass(golden, before, arena);
      golden.unchanged = ir::alpha_equal(before, after);
      if (!ir::alpha_equal(after, parse(golden.expected, arena))) golden.expected = ir::print(after);
    }
    write_golden_file(file);
    std::cout << file.path << "\n";
  }
}

}  // namespace
}  // namespace weld::tests

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1 && std::strcmp(argv[1], "--update") == 0) {
    weld::tests::update_golden_files();
    return 0;
  }
  return RUN_ALL_TESTS();
}
