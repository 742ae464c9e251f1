#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "tests/differential/generator/comparison.h"

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

}  // namespace
}  // namespace weld::differential
