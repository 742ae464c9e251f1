#include "passes/rewrite_moments.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "ir/interpret.h"
#include "parser/parser.h"
#include "passes/pass.h"

namespace weld::tests {
namespace {

constexpr const char* kVariance = R"(
|v: vec[f64]|
  let mean = result(for(v, merger[f64,+], |b, i, x| merge(b, x + sin(x * 0.0) + sin(x * 0.0)))) / f64(len(v));
  result(for(v, merger[f64,+], |b, i, x| let d = x + sin(x * 0.0) + sin(x * 0.0) - mean; merge(b, d * d))) / f64(len(v)))";

struct Variances {
  double two_passes;
  double rewritten;
  double exact;
};

Variances variances(double centre, double deviation, int length) {
  std::mt19937_64 random(11);
  std::normal_distribution<double> normal(centre, deviation);
  std::vector<double> numbers(static_cast<std::size_t>(length));
  for (double& number : numbers) number = normal(random);

  ir::Arena arena;
  passes::PassContext context{.arena = arena, .options = {}, .target = {}, .deadline = {}, .remarks = {}};
  const ir::Expr program = parser::parse(kVariance, arena);
  const ir::Expr rewritten = passes::rewrite_moments(program, context);
  EXPECT_NE(program.get(), rewritten.get());
  std::vector<ir::Value> elements;
  for (double number : numbers) elements.push_back(ir::Value::of(number));
  const std::vector<ir::Value> arguments{ir::Value::vector(ir::Type::scalar(ir::ScalarKind::kF64), elements)};
  const auto run = [&](ir::Expr expr) { return ir::interpret(expr, arguments).value().as<double>(); };

  long double sum = 0;
  for (double number : numbers) sum += number;
  const long double mean = sum / length;
  long double squares = 0;
  for (double number : numbers) squares += (number - mean) * (number - mean);
  return {run(program), run(rewritten), static_cast<double>(squares / length)};
}

TEST(RewriteMoments, IsAsAccurateAsTwoPasses) {
  for (const int length : {1, 2, 2047, 2048, 2049, 5000, 20'000}) {
    for (const double centre : {0.0, 1.0, 1e9, -1e12}) {
      const Variances found = variances(centre, 1.0, length);
      const double error = std::abs(found.rewritten - found.exact);
      EXPECT_LE(error, 1e-12 * found.exact + 2 * std::abs(found.two_passes - found.exact))
          << length << " numbers about " << centre;
    }
  }
}

TEST(RewriteMoments, LosesNoDigitsWhereSumsOfSquaresLoseAll) {
  const Variances found = variances(1e9, 1.0, 20'000);
  EXPECT_NEAR(found.rewritten, found.exact, 1e-12 * found.exact);
}

}  // namespace
}  // namespace weld::tests
