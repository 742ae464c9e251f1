#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "passes/pipeline.h"
#include "tests/differential/generator/comparison.h"
#include "tests/differential/generator/pass_trials.h"

namespace weld::differential {
namespace {

// weld-fuzz runs more of them (tests/README.md).
constexpr std::uint64_t kFirstSeed = 1;
constexpr std::uint64_t kNumPrograms = 2000;

TEST(Differential, RandomProgramsAgree) {
  const auto report = [](const std::string& text) { ADD_FAILURE() << text; };
  const int num_threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
  const TrialCounts counts = run_trials(kFirstSeed, kNumPrograms, num_threads, report);
  EXPECT_EQ(counts.differed, 0u);
  EXPECT_GT(counts.agreed, kNumPrograms * 98 / 100);
  EXPECT_GT(counts.failed, kNumPrograms / 20);
}

constexpr std::uint64_t kNumPassPrograms = 300;

TEST(Differential, PassesKeepTheMeaningInAnyOrder) {
  const auto report = [](const std::string& text) { ADD_FAILURE() << text; };
  const int num_threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
  const PassTrialCounts counts = run_pass_trials(kFirstSeed, kNumPassPrograms, num_threads, {}, report);
  EXPECT_EQ(counts.differed, 0u);
  EXPECT_LT(counts.failed, kNumPassPrograms / 4);
  EXPECT_LT(counts.skipped, kNumPassPrograms / 50);
  EXPECT_GT(counts.results, 10 * kNumPassPrograms);
  EXPECT_GT(counts.compiled, kNumPassPrograms / 5);
  for (std::size_t i = 0; i < counts.rewritten.size(); ++i)
    EXPECT_GT(counts.rewritten[i], 0u) << passes::all_passes()[i].name << " found nothing to do";
}

}  // namespace
}  // namespace weld::differential
