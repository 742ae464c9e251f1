#include "passes/rewrite_column_moments.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "ir/interpret.h"
#include "parser/parser.h"
#include "passes/pass.h"

namespace weld::tests {
namespace {

constexpr const char* kSquares = R"(
|rows: vec[vec[f64]]|
  let zeros = result(for(rangeiter(0L, 2L, 1L), appender[f64], |b, i, e| merge(b, 0.0)));
  let sums = result(for(rows, vecmerger[f64,+](zeros), |b, i, row| for(row, b, |b2, j, x| merge(b2, {j, x}))));
  let mean = result(for(sums, appender[f64], |b, i, x| merge(b, x / f64(len(rows)))));
  result(for(rows, vecmerger[f64,+](zeros), |b, i, row|
    for(zip(row, mean), b, |b2, j, e| merge(b2, {j, (e.$0 - e.$1) * (e.$0 - e.$1)})))))";

struct Squares {
  double two_passes;
  double rewritten;
  double exact;
};

// Of the second column, beside one of small integers.
Squares squares(int num_rows, const std::function<double(int)>& make) {
  ir::Arena arena;
  passes::PassContext context{.arena = arena, .options = {}, .target = {}, .deadline = {}, .remarks = {}};
  const ir::Expr program = parser::parse(kSquares, arena);
  const ir::Expr rewritten = passes::rewrite_column_moments(program, context);
  EXPECT_NE(program.get(), rewritten.get());

  const ir::Type scalar = ir::Type::scalar(ir::ScalarKind::kF64);
  std::vector<ir::Value> rows;
  long double sum = 0;
  for (int i = 0; i < num_rows; ++i) {
    sum += make(i);
    const std::vector<ir::Value> row{ir::Value::of(static_cast<double>(i % 5)), ir::Value::of(make(i))};
    rows.push_back(ir::Value::vector(scalar, row));
  }
  const std::vector<ir::Value> arguments{ir::Value::vector(arena.vec(scalar), rows)};
  const auto run = [&](ir::Expr expr) {
    return ir::interpret(expr, arguments).value().vector()[1].as<double>();
  };
  const long double mean = sum / num_rows;
  long double exact = 0;
  for (int i = 0; i < num_rows; ++i) exact += (make(i) - mean) * (make(i) - mean);
  return {run(program), run(rewritten), static_cast<double>(exact)};
}

double noise(int i) {
  return static_cast<double>(std::mt19937_64(static_cast<std::uint64_t>(i))() >> 11) * 0x1p-53;
}

void expect_accurate(int num_rows, const std::function<double(int)>& make) {
  const Squares found = squares(num_rows, make);
  EXPECT_LE(std::abs(found.rewritten - found.exact),
            1e-12 * found.exact + 2 * std::abs(found.two_passes - found.exact))
      << num_rows << " rows";
}

TEST(RewriteColumnMoments, IsAsAccurateAsTwoPasses) {
  for (const int num_rows : {1, 2, 63, 64, 65, 1000, 5000}) {
    for (const double centre : {0.0, 1.0, 1e9, -1e12})
      expect_accurate(num_rows, [=](int i) { return centre + noise(i); });
    expect_accurate(num_rows, [](int i) { return static_cast<double>(i); });
  }
}

TEST(RewriteColumnMoments, LooksAgainWhereTheFirstRowsAreUnlikeTheOthers) {
  const auto make = [](int i) { return (i < 64 ? 1e9 : 0.0) + noise(i); };
  expect_accurate(5000, make);
  const auto only_first = [](int i) { return i == 0 ? 1e12 : 1e-3 * noise(i); };
  expect_accurate(5000, only_first);
  // So far from the others that their squares vanish beside those about the first rows' mean.
  const auto about_others = [](int i) { return i < 64 ? (i % 2 == 0 ? 1e9 : -1e9) : noise(i); };
  expect_accurate(5000, about_others);
}

TEST(RewriteColumnMoments, IsTheSameForValuesThatAreNoNumbers) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const int place : {0, 100}) {
    for (const double odd : {kInfinity, -kInfinity, std::numeric_limits<double>::quiet_NaN(), 1e200}) {
      const Squares found = squares(200, [=](int i) { return i == place ? odd : noise(i); });
      EXPECT_EQ(std::isnan(found.rewritten), std::isnan(found.two_passes)) << odd << " in row " << place;
      EXPECT_EQ(std::isinf(found.rewritten), std::isinf(found.two_passes)) << odd << " in row " << place;
    }
  }
}

TEST(RewriteColumnMoments, IsZeroForEqualValues) {
  EXPECT_EQ(squares(1000, [](int) { return 3.0; }).rewritten, 0.0);
  const Squares found = squares(1000, [](int) { return 0.1; });
  EXPECT_LE(found.rewritten, 1e-25);
}

}  // namespace
}  // namespace weld::tests
