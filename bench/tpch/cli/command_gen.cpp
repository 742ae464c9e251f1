#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench/tpch/cli/commands.h"
#include "bench/tpch/cli/interrupts.h"
#include "bench/tpch/cli/progress_bar.h"
#include "bench/tpch/error.h"
#include "bench/tpch/generator.h"

namespace weld::bench::tpch {
namespace {

using Clock = std::chrono::steady_clock;

struct GenOptions {
  double scale_factor = 0;
  std::string folder;
  std::vector<std::string> tables;
  int num_threads = default_num_threads();
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double megabytes_per_second(std::int64_t num_bytes, double seconds) {
  return static_cast<double>(num_bytes) / 1e6 / seconds;
}

std::vector<TableId> chosen_tables(const GenOptions& options) {
  if (options.tables.empty()) return {kAllTables.begin(), kAllTables.end()};
  std::vector<TableId> tables;
  for (const std::string& name : options.tables) tables.push_back(table_named(name));
  return tables;
}

void run_gen(const GenOptions& options) {
  const Scale scale(options.scale_factor);
  const std::vector<TableId> tables = chosen_tables(options);
  const InterruptGuard guard;
  const Clock::time_point start = Clock::now();
  ProgressBar bar;
  std::int64_t num_bytes = 0;
  try {
    for (const TableId table : tables) {
      num_bytes += write_tbl_file(
          scale, table, options.folder, options.num_threads, [&](const WriteProgress& progress) {
            guard.throw_if_interrupted();
            bar.show(schema_of(progress.table).name, progress.fraction,
                     fmt::format("{:8.1f} MB", static_cast<double>(progress.num_bytes) / 1e6));
          });
    }
  } catch (...) {
    bar.erase();
    throw;
  }
  bar.erase();
  const double seconds = seconds_since(start);
  fmt::print(stderr, "{} bytes in {:.2f} s, {:.0f} MB/s\n", num_bytes, seconds,
             megabytes_per_second(num_bytes, seconds));
}

}  // namespace

void add_gen_command(CLI::App& app) {
  const auto options = std::make_shared<GenOptions>();
  CLI::App* command =
      app.add_subcommand("gen", "Write the tables as .tbl files, as the official generator does");
  command->add_option("--sf", options->scale_factor, "Scale factor, from 0.001 to below 30000")->required();
  command->add_option("--out", options->folder, "Folder to write to, made if need be")->required();
  command->add_option("--tables", options->tables, "Tables to write, separated by commas (default: all)")
      ->delimiter(',');
  command->add_option("--threads", options->num_threads, "Threads (default: the hardware's)")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->callback([options] { run_gen(*options); });
}

}  // namespace weld::bench::tpch
