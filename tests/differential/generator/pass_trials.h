#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/differential/generator/comparison.h"

namespace weld::differential {

/// In which orders the passes run over a program.
struct PassSettings {
  bool each_off = true;        ///< the default order, and without each pass that may be switched off
  int num_random_orders = 50;  ///< of random passes, some repeatedly: whatever PipelineOptions::passes accept
  int compiled_every = 20;     ///< one program in so many is also compiled, for several widths and threads
};

struct PassTrialCounts {
  std::uint64_t programs = 0;
  std::uint64_t orders = 0;              ///< run over all programs
  std::uint64_t results = 0;             ///< different programs that came out of them, each run and compared
  std::uint64_t failed = 0;              ///< programs that end with an error
  std::uint64_t skipped = 0;             ///< programs that take too long
  std::uint64_t compiled = 0;            ///< results that were compiled
  std::uint64_t differed = 0;            ///< programs
  std::vector<std::uint64_t> rewritten;  ///< by each of all_passes(): different programs

  PassTrialCounts& operator+=(const PassTrialCounts& other);
};

/// Runs the passes over a random program in the orders of the settings and compares what the interpreter
/// makes of it before and after (LANGUAGE.md §1.4): a success stays an equal value; an error stays an error,
/// unless a pass reported that it dropped a computation, and it was no assertion, foreign call, length of a
/// zip or check of an iterator. Sums of floats in these programs are exact, so that fusion keeps their bits.
///
/// \param text  gets each difference: the guilty pass, a small program for it, and both outcomes
PassTrialCounts run_pass_trial(std::uint64_t seed, const PassSettings& settings, std::string& text);

/// The trials `seed`, `seed` + 1, … on several threads. A crash names its seed on standard error.
PassTrialCounts run_pass_trials(std::uint64_t seed, std::uint64_t num_trials, int num_threads,
                                const PassSettings& settings, void (*report)(const std::string&));

}  // namespace weld::differential
