#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "ir/equality.h"
#include "ir/fields.h"
#include "ir/verify.h"
#include "parser/parser.h"
#include "tests/differential/support/run_both.h"
#include "tests/differential/support/value_text.h"
#include "tests/language/language_cases.h"

namespace weld::language {
namespace {

using differential::CompileWay;
using differential::Outcome;
using differential::RunWay;
using differential::ValueReader;
using ir::Value;

const std::vector<Case>& all_cases() {
  static const std::vector<Case> cases = read_cases(WELD_SOURCE_DIR "/tests/language/cases");
  return cases;
}

constexpr std::array kCompileWays{
    CompileWay{},
    CompileWay{.optimise = false, .level = 0},
    CompileWay{.level = 1, .simd_width_bits = 1},
    CompileWay{.interpret = true},
};

/// A check, read.
struct Expectation {
  std::vector<Value> arguments;
  std::optional<Outcome> outcome;  // nothing: anything
};

Outcome read_error(ValueReader& reader) {
  std::string text(reader.rest());
  const std::size_t blank = text.find(' ');
  Outcome outcome;
  const std::string name = text.substr(0, blank);
  for (std::uint32_t code = 1; code <= 16; ++code) {
    if (error_name(static_cast<ErrorCode>(code)) == name) outcome.code = static_cast<ErrorCode>(code);
  }
  if (outcome.succeeded()) throw std::runtime_error("there is no error " + name);
  if (blank != std::string::npos) {
    const std::size_t colon = text.find(':', blank);
    outcome.line = static_cast<std::uint32_t>(std::stoul(text.substr(blank)));
    outcome.column = static_cast<std::uint32_t>(std::stoul(text.substr(colon + 1)));
  }
  return outcome;
}

Expectation read_check(const Check& check, std::span<const ir::Type> parameters, ir::Type result) {
  ValueReader reader(check.text);
  Expectation expectation;
  for (const ir::Type parameter : parameters) {
    if (!expectation.arguments.empty()) reader.expect(",");
    expectation.arguments.push_back(reader.read(parameter));
  }
  if (reader.accept("!!")) {
    expectation.outcome = read_error(reader);
  } else {
    reader.expect("=>");
    if (reader.accept("*")) return expectation;
    expectation.outcome.emplace().value = reader.read(result);
    if (!reader.at_end()) throw std::runtime_error(fmt::format("text after the value: {}", reader.rest()));
  }
  return expectation;
}

// The same error at another place is a difference too, where the place is given.
std::string mismatch(const Outcome& expected, const Outcome& found) {
  std::string text = difference(expected, found);
  if (text.empty() && expected.line != 0 &&
      (expected.line != found.line || expected.column != found.column)) {
    text = fmt::format("expected {}\n   found {}", to_text(expected), to_text(found));
  }
  return text;
}

void report(const std::string& mismatch, const std::string& where) {
  if (!mismatch.empty()) ADD_FAILURE() << where << "\n" << mismatch;
}

void expect_rejected(const Case& c) {
  // `rejected line:column message`
  ir::Arena arena;
  try {
    ir::verify(parser::parse(c.program, arena), ir::Stage::kCore);
  } catch (const ir::UserError& error) {
    const ir::Diagnostic& diagnostic = error.diagnostics().front();
    const std::string found = fmt::format(" rejected {}:{} {}", diagnostic.location.line,
                                          diagnostic.location.column, diagnostic.message);
    EXPECT_TRUE(found.starts_with(c.checks[0].text)) << "found" << found;
    return;
  }
  ADD_FAILURE() << "the program is accepted";
}

/// A compiled program, and what the interpreter makes of it by check.
struct Oracle {
  std::shared_ptr<const codegen::Program> compiled;
  std::vector<Outcome> outcomes;
};

class Language : public testing::TestWithParam<std::size_t> {};

TEST_P(Language, RunsAsExpected) {
  const Case& c = all_cases()[GetParam()];
  SCOPED_TRACE(c.place() + ": " + c.name + "\n" + c.program);
  ASSERT_FALSE(c.checks.empty()) << "the case checks nothing";
  if (c.checks[0].text.starts_with(" rejected")) {
    expect_rejected(c);
    return;
  }
  ir::Arena arena;
  ir::Expr program;
  try {
    program = parser::parse(c.program, arena);
    ir::verify(program, ir::Stage::kCore);
  } catch (const ir::UserError& error) {
    FAIL() << error.what();
  }
  std::vector<ir::Type> parameters;
  const auto* lambda = program.as<ir::Lambda>();
  if (lambda) {
    for (const ir::Parameter& parameter : lambda->parameters) parameters.push_back(parameter.type);
  }
  const ir::Type result = lambda ? lambda->body.type() : program.type();
  std::vector<Expectation> expectations;
  for (const Check& check : c.checks) {
    try {
      expectations.push_back(read_check(check, parameters, result));
    } catch (const std::exception& error) {
      FAIL() << c.file << ".weld:" << check.line << ": " << error.what() << ", result type "
             << ir::to_string(result);
    }
    const Outcome found = differential::run_interpreter(program, expectations.back().arguments);
    if (!expectations.back().outcome) expectations.back().outcome = found;
    report(mismatch(*expectations.back().outcome, found), fmt::format("interpreter, line {}", check.line));
  }
  const auto context = differential::make_context();
  std::vector<Oracle> oracles;
  for (const CompileWay& way : kCompileWays) {
    SCOPED_TRACE(way.text());
    std::shared_ptr<const codegen::Program> compiled;
    try {
      compiled = codegen::Program::compile(program, way.options());
    } catch (const std::exception& error) {
      ADD_FAILURE() << "compiling: " << error.what();
      continue;
    }
    EXPECT_EQ(compiled->interpreted(), way.interpret);
    // Programs that are the same after the passes have the same outcomes.
    auto oracle_of = std::ranges::find_if(oracles, [&](const Oracle& oracle) {
      return ir::alpha_equal(oracle.compiled->optimized(), compiled->optimized());
    });
    if (oracle_of == oracles.end()) {
      Oracle oracle{compiled, {}};
      for (std::size_t i = 0; i < expectations.size(); ++i) {
        oracle.outcomes.push_back(
            differential::run_interpreter(compiled->optimized(), expectations[i].arguments));
        report(mismatch(*expectations[i].outcome, oracle.outcomes.back()),
               fmt::format("interpreter after passes, line {}", c.checks[i].line));
      }
      oracle_of = oracles.insert(oracles.end(), std::move(oracle));
    }
    for (std::size_t i = 0; i < expectations.size(); ++i) {
      const Outcome& oracle = oracle_of->outcomes[i];
      for (const RunWay& run : differential::all_run_ways()) {
        if (way.interpret && run.threads > 1) continue;
        Outcome found;
        try {
          found = differential::run_compiled(*compiled, context, expectations[i].arguments, run);
        } catch (const std::exception& error) {
          found = {.code = ErrorCode::kUnknown, .message = error.what()};
        }
        const std::string text = mismatch(oracle, found);
        report(text, fmt::format("{}, line {}", run.text(), c.checks[i].line));
        if (!text.empty()) return;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Language, testing::Range(std::size_t{0}, all_cases().size()),
                         [](const auto& info) {
                           const Case& c = all_cases()[info.param];
                           return c.file + "_" + std::to_string(c.line);
                         });

// Every node kind, operator, type and error of the language occurs in a case.
TEST(Language, CasesCoverTheLanguage) {
  std::set<std::size_t> nodes, builders, casts;
  std::set<int> unary, binary, iterators, merge_ops, scalars;
  std::set<std::string> errors;
  for (const Case& c : all_cases()) {
    for (const Check& check : c.checks) {
      if (const auto at = check.text.find("!! "); at != std::string::npos) {
        std::string name = check.text.substr(at + 3);
        errors.insert(name.substr(0, name.find(' ')));
      }
    }
    if (c.checks[0].text.starts_with(" rejected")) continue;
    ir::Arena arena;
    try {
      const ir::Expr program = parser::parse(c.program, arena);
      ir::for_each_node(program, [&](ir::Expr expr) {
        nodes.insert(expr.record().node.index());
        if (const auto* node = expr.as<ir::Unary>()) unary.insert(static_cast<int>(node->op));
        if (const auto* node = expr.as<ir::Binary>()) binary.insert(static_cast<int>(node->op));
        if (const auto* node = expr.as<ir::Cast>()) casts.insert(static_cast<std::size_t>(node->kind));
        if (const auto* scalar = expr.type().as<ir::ScalarType>())
          scalars.insert(static_cast<int>(scalar->kind));
        if (const auto* node = expr.as<ir::NewBuilder>()) {
          builders.insert(node->builder.record().node.index());
          if (const auto* type = node->builder.as<ir::MergerType>())
            merge_ops.insert(static_cast<int>(type->op));
          if (const auto* type = node->builder.as<ir::DictMergerType>())
            merge_ops.insert(10 + static_cast<int>(type->op));
          if (const auto* type = node->builder.as<ir::VecMergerType>())
            merge_ops.insert(20 + static_cast<int>(type->op));
        }
        if (const auto* node = expr.as<ir::For>()) {
          for (const ir::Iterator& it : node->iterators)
            iterators.insert(static_cast<int>(it.kind) * 2 + (it.start ? 1 : 0));
        }
      });
    } catch (const ir::UserError& error) {
      ADD_FAILURE() << c.place() << ": " << error.what();
    }
  }
  // All but Apply, which the parser resolves, and the internal forms: masked merges, sorts of the first
  // elements, gather, any_lane, map_lanes, for_lanes, lookups in lanes, variants.
  EXPECT_GE(nodes.size(), std::variant_size_v<ir::Node> - 9);
  EXPECT_EQ(unary.size(), ir::kNumUnaryOps);
  EXPECT_EQ(binary.size(), ir::kNumBinaryOps);
  EXPECT_EQ(casts.size(), ir::kNumScalarKinds);
  EXPECT_EQ(scalars.size(), ir::kNumScalarKinds);
  EXPECT_EQ(builders.size(), 5u);
  EXPECT_EQ(merge_ops.size(), 12u);
  EXPECT_EQ(iterators.size(), 9u);  // a rangeiter always has bounds
  for (const std::string name :
       {"ArrayOutOfBounds", "BadIteratorLength", "MismatchedZipSize", "DeserializationError",
        "KeyNotFoundError", "AssertionError", "ArithmeticError"}) {
    EXPECT_TRUE(errors.contains(name)) << name;
  }
}

}  // namespace
}  // namespace weld::language
