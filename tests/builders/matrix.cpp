#include "tests/builders/matrix.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>

#include "parser/parser.h"

namespace weld::builders {
namespace {

using differential::Outcome;
using differential::RunWay;
using runtime::ExecutorKind;

constexpr std::array kWays = {RunWay{1, ExecutorKind::kInline},  RunWay{2, ExecutorKind::kTbb},
                              RunWay{4, ExecutorKind::kThreads}, RunWay{8, ExecutorKind::kTbb},
                              RunWay{1, ExecutorKind::kTbb},     RunWay{2, ExecutorKind::kThreads},
                              RunWay{8, ExecutorKind::kThreads}, RunWay{4, ExecutorKind::kTbb}};
constexpr std::size_t kWaysATime = 2;

// Blocks of this many iterations, which a morsel has at least one of.
constexpr std::string_view kManyMorsels = "@(block:512)";

std::string with(std::string text, std::string_view mark, std::string_view replacement) {
  for (auto place = text.find(mark); place != std::string::npos; place = text.find(mark))
    text.replace(place, mark.size(), replacement);
  return text;
}

}  // namespace

Matrix::Matrix(std::string program, std::span<const std::string_view> strategies)
    : text_(with(std::move(program), "$loop", kManyMorsels)) {
  for (const std::string_view strategy : strategies) {
    const std::string annotation = strategy.empty() ? "" : fmt::format("@(impl:{})", strategy);
    // Code that is optimised less compiles faster.
    const int level = programs_.empty() ? 2 : 0;
    const differential::CompileWay way{.level = level};
    auto arena = std::make_unique<ir::Arena>();
    auto program =
        codegen::Program::compile(parser::parse(with(text_, "$impl", annotation), *arena), way.options());
    programs_.push_back({strategy, std::move(arena), std::move(program)});
  }
}

ir::Type Matrix::element(std::size_t parameter) const {
  return programs_.front().program->parameter_types()[parameter].as<ir::VecType>()->element;
}

void Matrix::check(std::span<const ir::Value> arguments, std::string_view what) {
  const Outcome expected = differential::run_interpreter(programs_.front().program->optimized(), arguments);
  for (const Compiled& compiled : programs_) {
    for (std::size_t i = 0; i < kWaysATime; ++i) {
      const RunWay& way = kWays[next_way_++ % kWays.size()];
      const Outcome found = differential::run_compiled(*compiled.program, context_, arguments, way);
      const std::string difference = differential::difference(expected, found);
      EXPECT_EQ(difference, "") << what << ", strategy \"" << compiled.strategy << "\", " << way.text()
                                << ", of\n"
                                << text_;
    }
  }
  ++next_way_;  // so that ways and strategies are not in step
}

}  // namespace weld::builders
