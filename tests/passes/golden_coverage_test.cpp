#include <gtest/gtest.h>

#include <algorithm>

#include "passes/pipeline.h"
#include "tests/passes/golden_cases.h"

namespace weld::tests {
namespace {

TEST(GoldenFiles, CoverEveryPass) {
  const std::vector<GoldenFile> files = read_golden_files();
  for (const passes::Pass& pass : passes::all_passes()) {
    const auto is_of_pass = [&](const GoldenFile& file) { return file.cases.front().pass == pass.name; };
    EXPECT_EQ(std::ranges::count_if(files, is_of_pass), 1) << "tests/golden has no file for " << pass.name;
  }
}

// What a pass must leave alone is as easily broken as what it rewrites. Mandatory ones rewrite whatever they
// are there for.
TEST(GoldenFiles, HaveAsManyRefusalsAsRewrites) {
  for (const GoldenFile& file : read_golden_files()) {
    const auto refusals = std::ranges::count_if(file.cases, &GoldenCase::unchanged);
    const auto rewrites = std::ssize(file.cases) - refusals;
    const passes::Pass* pass = passes::find_pass(file.cases.front().pass);
    if (pass && !pass->mandatory) EXPECT_GE(refusals, rewrites) << file.path;
  }
}

}  // namespace
}  // namespace weld::tests
