#include "runtime/variants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

namespace weld::runtime {
namespace {

constexpr std::int64_t kRows = 65536;
constexpr std::int64_t kBlock = 4096;

// Cycles a row of each variant at a morsel.
using Costs = std::function<std::vector<double>(std::int64_t morsel)>;

struct Outcome {
  double cycles = 0;
  double best_fixed = 0;
  std::vector<std::uint32_t> best_after;  // each morsel
};

// Runs a loop of that many morsels whose costs vary by up to `noise` of themselves.
Outcome simulate(VariantSelector& selector, std::int64_t num_morsels, const Costs& costs, double noise) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> factor(1 - noise, 1 + noise);
  Outcome outcome;
  std::vector<double> fixed(costs(0).size());
  for (std::int64_t morsel = 0; morsel < num_morsels; ++morsel) {
    const std::vector<double> cost = costs(morsel);
    for (std::size_t i = 0; i < cost.size(); ++i) fixed[i] += cost[i] * kRows;
    for (std::int64_t done = 0; done < kRows;) {
      const VariantSelector::Choice choice = selector.choose(kRows - done, kBlock);
      const double cycles = cost[choice.variant] * factor(random) * static_cast<double>(choice.rows);
      selector.report(choice, static_cast<std::uint64_t>(cycles));
      outcome.cycles += cost[choice.variant] * static_cast<double>(choice.rows);
      done += choice.rows;
    }
    outcome.best_after.push_back(selector.best());
  }
  outcome.best_fixed = *std::ranges::min_element(fixed);
  return outcome;
}

TEST(VariantSelector, GivesWholeRowsOfKnownVariants) {
  VariantSelector selector(3);
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t rows = 1 + (i * 7919) % 100'000;
    const VariantSelector::Choice choice = selector.choose(rows, kBlock);
    EXPECT_LT(choice.variant, 3u);
    EXPECT_GE(choice.rows, 1);
    EXPECT_TRUE(choice.rows == rows || (choice.rows < rows && choice.rows % kBlock == 0));
    selector.report(choice, static_cast<std::uint64_t>(choice.rows));
  }
}

TEST(VariantSelector, OneVariantGetsWholeMorsels) {
  VariantSelector selector(1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(selector.choose(kRows, kBlock).rows, kRows);
}

TEST(VariantSelector, CostsLittleMoreThanTheBestOnSteadyData) {
  const std::vector<std::vector<double>> cases{{1, 1},      {1, 1.1},     {2, 1},       {1, 4},
                                               {20, 1},     {1, 100},     {1, 2, 3},    {4, 4, 1},
                                               {3, 1, 100}, {1, 4, 4, 4}, {8, 8, 8, 1}, {1, 1.01, 1.02}};
  for (const std::vector<double>& costs : cases) {
    for (const double noise : {0.0, 0.1, 0.3}) {
      VariantSelector selector(static_cast<std::uint32_t>(costs.size()));
      const Outcome outcome = simulate(selector, 2000, [&](std::int64_t) { return costs; }, noise);
      EXPECT_LE(outcome.cycles, 1.05 * outcome.best_fixed)
          << testing::PrintToString(costs) << " noise " << noise;
    }
  }
}

TEST(VariantSelector, FindsTheBestAgainAfterAChange) {
  constexpr std::int64_t kChange = 300;
  struct Case {
    std::vector<double> before;
    std::vector<double> after;
    std::uint32_t best;
  };
  const std::vector<Case> cases{{{1, 2}, {2, 1}, 1},       {{1, 2}, {3, 2}, 1},
                                {{2, 4}, {2, 1}, 1},       {{2, 3}, {2, 1.5}, 1},
                                {{1, 2, 3}, {3, 2, 1}, 2}, {{1, 5, 5}, {9, 5, 5.5}, 1},
                                {{5, 1, 2}, {1, 4, 2}, 0}, {{1, 1.5}, {6, 1.5}, 1}};
  for (const Case& each : cases) {
    VariantSelector selector(static_cast<std::uint32_t>(each.before.size()));
    const Costs costs = [&](std::int64_t morsel) { return morsel < kChange ? each.before : each.after; };
    const Outcome outcome = simulate(selector, kChange + 20, costs, 0.05);
    EXPECT_EQ(outcome.best_after.back(), each.best)
        << testing::PrintToString(each.before) << " then " << testing::PrintToString(each.after);
  }
}

TEST(VariantSelector, FollowsCostsThatDrift) {
  // A branch that is taken in 1 % of the rows at the begin, and in 99 % at the end; and one without branch.
  constexpr std::int64_t kMorsels = 800;
  const Costs costs = [](std::int64_t morsel) {
    const double share = 0.01 + 0.98 * static_cast<double>(morsel) / kMorsels;
    return std::vector<double>{1 + 20 * share * (1 - share) + share, 3.0};
  };
  VariantSelector selector(2);
  const Outcome outcome = simulate(selector, kMorsels, costs, 0.05);
  double best = 0;
  for (std::int64_t morsel = 0; morsel < kMorsels; ++morsel)
    best += std::ranges::min(costs(morsel)) * static_cast<double>(kRows);
  EXPECT_LE(outcome.cycles, 1.05 * best);
}

TEST(VariantSelector, ForgivesAnInterruption) {
  VariantSelector selector(2);
  const Outcome outcome = simulate(
      selector, 500,
      [](std::int64_t morsel) {
        const double stall = morsel % 50 == 25 ? 30.0 : 1.0;
        return std::vector<double>{1.0 * stall, 2.0 * stall};
      },
      0.0);
  EXPECT_LE(outcome.cycles, 1.05 * outcome.best_fixed);
}

}  // namespace
}  // namespace weld::runtime
