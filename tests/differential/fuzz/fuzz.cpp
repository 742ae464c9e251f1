#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "passes/pipeline.h"
#include "tests/differential/generator/comparison.h"
#include "tests/differential/generator/pass_trials.h"

namespace {

using namespace weld::differential;

constexpr const char* kUsage =
    "usage: weld-fuzz [--programs N] [--seed S] [--threads T] [--passes each-off|random-orders|all]\n"
    "                 [--orders N] [--compiled-every N]\n"
    "\n"
    "Random programs in both engines; with --passes, random programs before and after the passes in many\n"
    "orders. Exits with 1 if any differs.\n";

struct Request {
  std::uint64_t programs = 2000;
  std::uint64_t seed = 1;
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  bool passes = false;
  PassSettings settings;
};

bool read(int argc, char** argv, Request& request) {
  int num_orders = request.settings.num_random_orders;
  bool random_orders = true;
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc) return false;
    const std::string_view name = argv[i];
    const std::string_view value = argv[i + 1];
    const std::uint64_t number = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--programs") {
      request.programs = number;
    } else if (name == "--seed") {
      request.seed = number;
    } else if (name == "--threads") {
      request.threads = static_cast<int>(number);
    } else if (name == "--orders") {
      num_orders = static_cast<int>(number);
    } else if (name == "--compiled-every") {
      request.settings.compiled_every = static_cast<int>(number);
    } else if (name == "--passes" && (value == "each-off" || value == "random-orders" || value == "all")) {
      request.passes = true;
      request.settings.each_off = value != "random-orders";
      random_orders = value != "each-off";
    } else {
      return false;
    }
  }
  request.settings.num_random_orders = random_orders ? num_orders : 0;
  return true;
}

void report(const std::string& text) {
  fmt::print("{}\n", text);
  std::fflush(stdout);
}

bool compare_engines(const Request& request) {
  const TrialCounts counts = run_trials(request.seed, request.programs, request.threads, report);
  fmt::print("{} programs agreed, {} of them with an error; {} took too long; {} differed\n", counts.agreed,
             counts.failed, counts.skipped, counts.differed);
  return counts.differed == 0;
}

bool compare_orders(const Request& request) {
  const PassTrialCounts counts =
      run_pass_trials(request.seed, request.programs, request.threads, request.settings, report);
  fmt::print(
      "{} programs in {} orders gave {} different results, {} of them compiled; {} ended with an error; "
      "{} took too long; {} differed\n",
      counts.programs, counts.orders, counts.results, counts.compiled, counts.failed, counts.skipped,
      counts.differed);
  for (std::size_t i = 0; i < counts.rewritten.size(); ++i)
    fmt::print("  {} rewrote {} programs\n", weld::passes::all_passes()[i].name, counts.rewritten[i]);
  return counts.differed == 0;
}

}  // namespace

int main(int argc, char** argv) {
  Request request;
  if (!read(argc, argv, request)) {
    fmt::print(stderr, kUsage);
    return 2;
  }
  return (request.passes ? compare_orders(request) : compare_engines(request)) ? 0 : 1;
}
