#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "tests/differential/generator/comparison.h"

// weld-fuzz [--programs N] [--seed S] [--threads T]: random programs in both engines. Exits with 1 if any
// differs.
int main(int argc, char** argv) {
  std::uint64_t programs = 2000;
  std::uint64_t seed = 1;
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::uint64_t number = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--programs") {
      programs = number;
    } else if (name == "--seed") {
      seed = number;
    } else if (name == "--threads") {
      threads = static_cast<int>(number);
    } else {
      fmt::print(stderr, "usage: weld-fuzz [--programs N] [--seed S] [--threads T]\n");
      return 2;
    }
  }
  const auto report = [](const std::string& text) {
    fmt::print("{}\n", text);
    std::fflush(stdout);
  };
  const weld::differential::TrialCounts counts =
      weld::differential::run_trials(seed, programs, threads, report);
  fmt::print("{} programs agreed, {} of them with an error; {} took too long; {} differed\n", counts.agreed,
             counts.failed, counts.skipped, counts.differed);
  return counts.differed == 0 ? 0 : 1;
}
