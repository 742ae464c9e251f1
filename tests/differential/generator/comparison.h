#pragma once

#include <string>
#include <vector>

#include "tests/differential/generator/random.h"
#include "tests/differential/support/run_both.h"

namespace weld::differential {

/// A program with arguments, and how to compile and run it.
struct Trial {
  ir::Expr program;
  std::vector<ir::Value> arguments;
  CompileWay compile;
  std::vector<RunWay> runs;
};

/// What a trial showed.
struct Verdict {
  enum class Kind { kAgreed, kSkipped, kDiffered };

  Kind kind = Kind::kAgreed;
  bool failed = false;     ///< both ended with the same error
  std::string difference;  ///< `between what: …` over several lines

  std::string between() const { return difference.substr(0, difference.find(':')); }
};

/// The ways of a trial: unoptimised code most of the time, for it compiles quickly.
CompileWay random_compile_way(Random& random);
std::vector<RunWay> random_run_ways(Random& random);

/// Compares the interpreter before and after the passes, and after them with compiled code; also that the
/// printed program is read back as it was. Skipped when the interpreter takes too long or too much memory.
Verdict judge(const Trial& trial, const std::shared_ptr<runtime::Context>& context);

/// Why the program is not read back as it is printed; empty mostly.
std::string printing_error(ir::Expr program);

/// Makes a crash of this thread name the seed on standard error.
void name_seed_of_crashes(std::uint64_t seed);

/// The program as text, the arguments and the ways.
std::string to_text(const Trial& trial);

/// One random trial. The text to report; empty when both agreed.
struct TrialReport {
  Verdict::Kind kind = Verdict::Kind::kAgreed;
  bool failed = false;
  std::string text;
};
TrialReport run_trial(std::uint64_t seed);

struct TrialCounts {
  std::uint64_t agreed = 0;
  std::uint64_t failed = 0;  ///< of those, with an error
  std::uint64_t skipped = 0;
  std::uint64_t differed = 0;
};

/// Runs the trials `seed`, `seed` + 1, … on several threads, and reports those that differ. A crash names its
/// seed on standard error.
TrialCounts run_trials(std::uint64_t seed, std::uint64_t num_trials, int num_threads,
                       void (*report)(const std::string&));

}  // namespace weld::differential
