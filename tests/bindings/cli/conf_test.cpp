#include "bindings/c/conf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/error.h"

namespace weld::bindings {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string problem_of(const Conf& conf) {
  try {
    parse_conf(conf);
  } catch (const ir::UserError& error) {
    EXPECT_EQ(error.code(), ErrorCode::kConfigurationError);
    return error.what();
  }
  return "none";
}

TEST(Conf, HasDefaults) {
  const Settings settings = parse_conf({});
  EXPECT_GE(settings.num_threads, 1);
  EXPECT_EQ(settings.memory_limit_bytes, 0);
  EXPECT_EQ(settings.compile.optimization_level, 2);
  EXPECT_FALSE(settings.compile.interpret);
  EXPECT_TRUE(settings.compile.deterministic);
  EXPECT_FALSE(settings.compile.dump);
  EXPECT_TRUE(settings.warnings.empty());
}

TEST(Conf, ReadsValues) {
  const Settings settings = parse_conf({{"weld.memory.limit", "12345"},
                                        {"weld.threads", "3"},
                                        {"weld.llvm.optimization.level", "1"},
                                        {"weld.simd.width", "512"},
                                        {"weld.deadline.ms", "50"},
                                        {"weld.interpret", "true"},
                                        {"weld.deterministic", "false"},
                                        {"weld.impl.lookup", "plain"},
                                        {"weld.cache.dir", "/tmp/cache"},
                                        {"weld.optimization.passes", "inline-lets, fold_constants"}});
  EXPECT_EQ(settings.memory_limit_bytes, 12345);
  EXPECT_EQ(settings.num_threads, 3);
  EXPECT_EQ(settings.compile.optimization_level, 1);
  EXPECT_EQ(settings.compile.simd_width_bits, 512);
  EXPECT_EQ(settings.deadline_ms, 50);
  EXPECT_TRUE(settings.compile.interpret);
  EXPECT_FALSE(settings.compile.deterministic);
  EXPECT_EQ(settings.compile.probes, codegen::ProbeStyle::kPlain);
  EXPECT_EQ(settings.compile.cache_dir, "/tmp/cache");
  EXPECT_THAT(*settings.compile.pipeline.passes, ElementsAre("inline-lets", "fold_constants"));
}

TEST(Conf, SaysWhatAKeyAccepts) {
  EXPECT_THAT(problem_of({{"weld.threads", "0"}}),
              HasSubstr("weld.threads accepts a number from 1 to 1024, not \"0\""));
  EXPECT_THAT(problem_of({{"weld.threads", "2x"}}), HasSubstr("weld.threads accepts"));
  EXPECT_THAT(problem_of({{"weld.memory.limit", "-1"}}),
              HasSubstr("weld.memory.limit accepts a number of bytes"));
  EXPECT_THAT(problem_of({{"weld.memory.limit", "99999999999999999999"}}),
              HasSubstr("weld.memory.limit accepts"));
  EXPECT_THAT(problem_of({{"weld.interpret", "yes"}}), HasSubstr("weld.interpret accepts true or false"));
  EXPECT_THAT(problem_of({{"weld.simd.width", "300"}}),
              HasSubstr("weld.simd.width accepts auto, 1 (no SIMD), 128, 256 or 512"));
  EXPECT_THAT(problem_of({{"weld.llvm.optimization.level", "4"}}), HasSubstr("accepts 0, 1, 2 or 3"));
  EXPECT_THAT(problem_of({{"weld.compile.dumpCodeFormats", "weld,java"}}),
              HasSubstr("weldopt, llvm, llvmopt"));
  EXPECT_THAT(problem_of({{"weld.optimization.passes", "faster"}}), HasSubstr("there is no pass faster"));
  EXPECT_THAT(problem_of({{"weld.nothing", "1"}}), HasSubstr("weld.nothing is no key of a conf"));
}

TEST(Conf, ReportsAllProblemsAtOnce) {
  const std::string problems = problem_of({{"weld.threads", "x"}, {"weld.interpret", "x"}});
  EXPECT_THAT(problems, HasSubstr("weld.threads"));
  EXPECT_THAT(problems, HasSubstr("weld.interpret"));
}

TEST(Conf, WarnsAboutWhatIsRetired) {
  const Settings settings = parse_conf({{"weld.compile.multithreadSupport", "false"},
                                        {"weld.compile.dumpCodeFormats", "sir"},
                                        {"weld.optimization.passes", "measurement"}});
  EXPECT_EQ(settings.warnings.size(), 3u);
}

}  // namespace
}  // namespace weld::bindings
