#include <gtest/gtest.h>

#include "bench/workloads/workload.h"
#include "passes/pipeline.h"
#include "runtime/memory.h"

namespace weld::bench::workloads {
namespace {

// Small enough for tests, large enough for several morsels; n-body and the matrix have fewer, larger rows.
constexpr double kScale = 0.004;

class Workloads : public testing::TestWithParam<Workload> {};

std::string mismatch_of(const Prepared& prepared, const codegen::CompileOptions& options, int threads) {
  const WeldRun weld(prepared.program, options);
  const codegen::Result result = weld.run(std::make_shared<runtime::Context>(), threads);
  return find_mismatch(prepared.read(result), prepared.read_native(), prepared.tolerance).value_or("");
}

TEST_P(Workloads, AgreeWithCodeByHand) {
  const Prepared prepared = GetParam().prepare(kScale);
  for (const int threads : {1, 2}) {
    prepared.run_native(threads);
    EXPECT_EQ(mismatch_of(prepared, {}, threads), "") << threads << " threads";
  }
}

TEST_P(Workloads, AgreeWithoutOptimisation) {
  const Prepared prepared = GetParam().prepare(kScale);
  prepared.run_native(2);
  codegen::CompileOptions options;
  for (const passes::Pass& pass : passes::all_passes()) {
    if (!pass.mandatory) options.pipeline.switched_off.emplace_back(pass.name);
  }
  EXPECT_EQ(mismatch_of(prepared, options, 2), "");
}

TEST_P(Workloads, AgreeOnFewRows) {
  for (const double scale : {0.0, 1e-6, 2e-6}) {
    const Prepared prepared = GetParam().prepare(scale);
    prepared.run_native(1);
    EXPECT_EQ(mismatch_of(prepared, {}, 2), "") << prepared.num_rows << " rows";
  }
}

INSTANTIATE_TEST_SUITE_P(All, Workloads, testing::ValuesIn(all_workloads().begin(), all_workloads().end()),
                         [](const auto& info) { return std::string(info.param.name); });

// What finds differences has to find them.
TEST(Outcomes, AreComparedWithTolerance) {
  const auto outcome = [](std::vector<std::string> keys, std::vector<double> values) {
    Outcome made{.keys = std::move(keys), .columns = {}, .storage = {}};
    made.add(std::move(values));
    return made;
  };
  EXPECT_FALSE(find_mismatch(outcome({}, {1, 2}), outcome({}, {1, 2.0000001}), 1e-6));
  EXPECT_TRUE(find_mismatch(outcome({}, {1, 2}), outcome({}, {1, 2.1}), 1e-6));
  EXPECT_TRUE(find_mismatch(outcome({}, {1, 2}), outcome({}, {1}), 1e-6));
  EXPECT_TRUE(find_mismatch(outcome({}, {1, 2}), outcome({}, {2, 1}), 1e-6));
  EXPECT_FALSE(find_mismatch(outcome({"a", "b"}, {1, 2}), outcome({"b", "a"}, {2, 1}), 1e-6));
  EXPECT_TRUE(find_mismatch(outcome({"a", "b"}, {1, 2}), outcome({"b", "c"}, {2, 1}), 1e-6));
}

}  // namespace
}  // namespace weld::bench::workloads
