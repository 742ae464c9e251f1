#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "bench/driver/benchmark.h"

namespace weld::bench {
namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;

struct Options {
  std::vector<std::string> names;
  std::string json;
  BenchmarkOptions benchmark;
};

// Whether all went well.
bool run(const Options& options) {
  bool is_well = true;
  std::vector<Measurement> measurements;
  for (const Benchmark& benchmark : benchmarks()) {
    const bool chosen =
        options.names.empty() || std::ranges::find(options.names, benchmark.name) != options.names.end();
    if (!chosen) continue;
    const Report report = benchmark.run(options.benchmark);
    fmt::print("{}: {}\n\n{}\n", benchmark.name, benchmark.summary, report.text);
    std::fflush(stdout);
    for (const std::string& failure : report.failures) fmt::print(stderr, "weld-bench: error: {}\n", failure);
    is_well = is_well && report.failures.empty();
    measurements.insert(measurements.end(), report.measurements.begin(), report.measurements.end());
    // After each, so that an interrupted run keeps what it has.
    if (!options.json.empty()) write_json(options.json, measurements);
  }
  return is_well;
}

}  // namespace
}  // namespace weld::bench

int main(int argc, char** argv) {
  using namespace weld::bench;
  CLI::App app("Benchmarks of Weld: medians, and ratios to peers", "weld-bench");
  Options options;
  std::vector<std::string> known;
  for (const Benchmark& benchmark : benchmarks()) known.emplace_back(benchmark.name);
  app.add_option("names", options.names, "Benchmarks to run (default: all)")->check(CLI::IsMember(known));
  app.add_option("--json", options.json, "File for the measurements, a line of JSON each");
  app.add_option("--sf", options.benchmark.scale_factor, "Scale factor of TPC-H")->capture_default_str();
  app.add_option("--runs", options.benchmark.runs, "Runs to take the median of")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app.add_option("--scale", options.benchmark.scale, "Multiplies the rows of workloads and cases")
      ->capture_default_str();
  app.add_option("--only", options.benchmark.only, "Workloads and cases to run, by name or its beginning")
      ->delimiter(',');
  app.add_option("--threads", options.benchmark.threads, "Numbers of threads for workloads and cases")
      ->delimiter(',')
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--systems", options.benchmark.systems,
                 "Systems to run: weld, native, duckdb, pandas, …, and ablation")
      ->delimiter(',');
  app.add_option("--passes", options.benchmark.passes,
                 "Passes for workloads, in the place of the default ones")
      ->delimiter(',');
  app.add_option(
      "--programs", options.benchmark.programs,
      "Folder to write the programs of workloads and cases to, for `weld explain`, instead of running them");
  try {
    app.parse(argc, argv);
    if (!run(options)) return kFailure;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;  // 0 after --help
  } catch (const std::exception& error) {
    fmt::print(stderr, "weld-bench: error: {}\n", error.what());
    return kFailure;
  }
  return 0;
}
