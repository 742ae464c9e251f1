#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>

#include "bench/driver/benchmark.h"
#include "bench/micro/case.h"
#include "bench/peers/duckdb.h"
#include "bench/peers/table_peer.h"
#include "parser/parser.h"
#include "runtime/memory.h"

namespace weld::bench {
namespace {

using micro::Case;
using micro::Digest;
using micro::Prepared;

constexpr std::string_view kWeld = "weld";
constexpr std::string_view kNative = "native";
constexpr std::string_view kDuckDb = "duckdb";
constexpr std::string_view kPandas = "pandas";
constexpr std::string_view kPolars = "polars";

// Systems that need this long for a run are run fewer times.
constexpr double kSlowMs = 300;
constexpr int kSlowRuns = 3;
// Systems that are faster run once before each run that is timed, so that none finds the caches as another left
// them.
constexpr double kShortMs = 50;

// Milliseconds by system.
using Times = std::map<std::string, double, std::less<>>;

std::shared_ptr<const codegen::Program> compile(const std::string& text) {
  ir::Arena arena;
  return codegen::Program::compile(parser::parse(text, arena), {});
}

// A way to run a case again and again.
struct System {
  std::string name;
  std::function<double()> run_ms;
  std::function<Digest()> digest;  // of the last run, or of a run of its own
};

class Runner {
 public:
  explicit Runner(const BenchmarkOptions& options) : options_(options) {}

  void run(const Case& of_case) {
    try {
      measure(of_case);
    } catch (const std::exception& error) {
      report_.failures.push_back(fmt::format("{}: {}", of_case.name, error.what()));
    }
  }

  Report finish() {
    if (!options_.programs.empty()) return std::move(report_);
    report_.text = fmt::format(
        "ms, medians; scale {:g}. Ratios above 1 are in our favour, `!` marks those that miss their "
        "target.\n",
        options_.scale);
    for (const int threads : options_.threads) report_.text += '\n' + render_times(threads);
    if (options_.threads.size() > 1) report_.text += '\n' + render_threads();
    report_.text += render_fixed();
    return std::move(report_);
  }

 private:
  struct Row {
    const Case* of_case;
    int threads;
    std::int64_t num_bytes;
    Times times;
  };

  bool is_wanted(std::string_view system) const {
    return options_.systems.empty() || std::ranges::find(options_.systems, system) != options_.systems.end();
  }

  void measure(const Case& of_case) {
    const Prepared prepared = of_case.prepare(options_.scale);
    if (!options_.programs.empty()) return write_program(of_case, prepared);
    // By hand whatever is asked for: it is what the others are compared with.
    prepared.run_native(1);
    const Digest reference = prepared.read_native();
    std::optional<peers::DuckDb> duckdb = open_duckdb(prepared);
    for (const int threads : options_.threads) {
      std::vector<System> systems;
      add_weld(prepared, threads, systems);
      if (is_wanted(kNative)) {
        systems.push_back({std::string(kNative),
                           [&] { return time_ms([&] { prepared.run_native(threads); }); },
                           prepared.read_native});
      }
      if (duckdb) add_duckdb(prepared, *duckdb, threads, systems);
      add_libraries(prepared, threads, systems);
      Row row{&of_case, threads, prepared.num_bytes, time_in_turn(of_case, systems, threads, reference)};
      forget();
      for (const auto& [system, ms] : row.times) {
        report_.measurements.push_back({"micro", of_case.name, system, threads, ms, options_.runs,
                                        prepared.num_rows, prepared.num_bytes});
      }
      show(row);
      rows_.push_back(std::move(row));
    }
  }

  void write_program(const Case& of_case, const Prepared& prepared) const {
    const std::filesystem::path file =
        std::filesystem::path(options_.programs) / fmt::format("{}.weld", of_case.name);
    std::ofstream stream(file);
    stream << prepared.program << '\n';
    stream.close();
    if (!stream) throw std::runtime_error(fmt::format("cannot write {}", file.string()));
  }

  void add_weld(const Prepared& prepared, int threads, std::vector<System>& systems) {
    if (!is_wanted(kWeld)) return;
    const auto add = [&](std::string name, const std::string& text) {
      const auto program = compile(text);
      const auto context = std::make_shared<runtime::Context>();
      const auto last = std::make_shared<std::optional<codegen::Result>>();
      const auto run = [&prepared, program, context, last, threads] {
        last->reset();
        return time_ms([&] {
          auto result = program->run(context, prepared.arguments.data(), {.num_threads = threads});
          if (!result) throw std::runtime_error(result.error().render());
          last->emplace(std::move(*result));
        });
      };
      systems.push_back({std::move(name), run, [&prepared, last] {
                           const Digest digest = prepared.read(**last);
                           return digest;
                         }});
    };
    add(std::string(kWeld), prepared.program);
    for (const auto& [name, text] : prepared.fixed_variants) add(fmt::format("weld {}", name), text);
  }

  std::optional<peers::DuckDb> open_duckdb(const Prepared& prepared) const {
    if (!is_wanted(kDuckDb) || prepared.sql.empty()) return std::nullopt;
    const auto library = peers::find_duckdb();
    if (!library) return std::nullopt;
    peers::DuckDb duckdb(*library);
    for (const peers::PlainTable& table : prepared.tables) duckdb.load(table);
    return duckdb;
  }

  static void add_duckdb(const Prepared& prepared, peers::DuckDb& duckdb, int threads,
                         std::vector<System>& systems) {
    duckdb.set_threads(threads);
    systems.push_back({std::string(kDuckDb), [&] { return time_ms([&] { duckdb.execute(prepared.sql); }); },
                       [&] {
                         return digest_of(
                             duckdb.fetch(prepared.check_sql.empty() ? prepared.sql : prepared.check_sql),
                             prepared.order);
                       }});
  }

  // pandas and NumPy run these operations in one thread, whatever is asked for.
  void add_libraries(const Prepared& prepared, int threads, std::vector<System>& systems) {
    if (prepared.operation.empty()) return;
    const auto add = [&](std::string_view name, peers::TablePeer* peer) {
      if (!peer || !peer->load(prepared.operation, prepared.tables)) return;
      systems.push_back({std::string(name), [peer] { return peer->run_ms(); },
                         [peer, &prepared] { return digest_of(peer->result(), prepared.order); }});
    };
    if (is_wanted(kPandas)) {
      if (!pandas_) pandas_ = peers::TablePeer::start_pandas();
      add(kPandas, pandas_.get());
    }
    if (is_wanted(kPolars)) {
      auto [place, is_new] = polars_.try_emplace(threads);
      if (is_new) place->second = peers::TablePeer::start_polars(threads);
      add(kPolars, place->second.get());
    }
  }

  // One case's data at a time.
  void forget() {
    if (pandas_) pandas_->forget();
    for (const auto& [threads, peer] : polars_)
      if (peer) peer->forget();
  }

  // The median of each system's runs, which alternate, after one whose result is compared.
  Times time_in_turn(const Case& of_case, const std::vector<System>& systems, int threads,
                     const Digest& reference) {
    std::vector<std::vector<double>> times(systems.size());
    std::vector<bool> is_well(systems.size(), true);
    const auto attempt = [&](std::size_t i, auto&& body) {
      if (!is_well[i]) return;
      try {
        body();
      } catch (const std::exception& error) {
        is_well[i] = false;
        report_.failures.push_back(
            fmt::format("{}, {}, {} threads: {}", of_case.name, systems[i].name, threads, error.what()));
      }
    };
    for (std::size_t i = 0; i < systems.size(); ++i) {
      attempt(i, [&] {
        systems[i].run_ms();
        const Digest digest = systems[i].digest();
        if (digest == reference) return;
        throw std::runtime_error(fmt::format("{} instead of {}", to_string(digest), to_string(reference)));
      });
    }
    for (int run = 0; run < options_.runs; ++run) {
      for (std::size_t i = 0; i < systems.size(); ++i) {
        if (run >= kSlowRuns && is_well[i] && median(times[i]) > kSlowMs) continue;
        attempt(i, [&] {
          if (run > 0 && times[i].back() < kShortMs) systems[i].run_ms();
          times[i].push_back(systems[i].run_ms());
        });
      }
    }
    Times medians;
    for (std::size_t i = 0; i < systems.size(); ++i)
      if (is_well[i]) medians[systems[i].name] = median(times[i]);
    return medians;
  }

  static std::optional<double> time_of(const Row& row, std::string_view system) {
    const auto found = row.times.find(system);
    return found == row.times.end() ? std::nullopt : std::optional(found->second);
  }

  struct Best {
    std::string name;
    double ms;
  };
  static std::optional<Best> best_of(const Row& row, auto&& is_candidate) {
    std::optional<Best> best;
    for (const auto& [name, ms] : row.times)
      if (is_candidate(name) && (!best || ms < best->ms)) best = {name, ms};
    return best;
  }
  static std::optional<Best> best_peer(const Row& row) {
    return best_of(row, [](std::string_view name) { return !name.starts_with(kWeld) && name != kNative; });
  }
  static std::optional<Best> best_fixed(const Row& row) {
    return best_of(row, [](std::string_view name) { return name.starts_with("weld "); });
  }

  // While a long benchmark runs.
  static void show(const Row& row) {
    std::string line = fmt::format("{}, {} threads:", row.of_case->name, row.threads);
    for (const auto& [name, ms] : row.times) line += fmt::format(" {} {}", name, three_digits(ms));
    fmt::print(stderr, "{}\n", line);
  }

  // A ratio of two times, marked when it is below its target.
  static std::string ratio_cell(std::optional<double> time, std::optional<double> ours, double target) {
    if (!time || !ours) return "-";
    const double ratio = *time / *ours;
    return fmt::format("{:.2f}{}", ratio, ratio < target ? "!" : "");
  }

  std::string render_times(int threads) const {
    std::vector<std::vector<std::string>> table = {
        {threads == 1 ? "1 thread" : fmt::format("{} threads", threads), "weld", "native", "native/weld",
         "duckdb", "pandas", "polars", "best/weld", "target", "GB/s"}};
    int num_met = 0;
    int num_targets = 0;
    const auto count = [&](const std::string& cell, double target) {
      if (target == 0 || cell == "-") return;
      ++num_targets;
      num_met += !cell.ends_with("!");
    };
    for (const Row& row : rows_) {
      if (row.threads != threads) continue;
      const auto cell = [&](std::string_view system) {
        const auto time = time_of(row, system);
        return time ? three_digits(*time) : "-";
      };
      const std::optional<double> ours = time_of(row, kWeld);
      const micro::Targets& targets = row.of_case->targets;
      const auto peer = best_peer(row);
      const std::string to_native = ratio_cell(time_of(row, kNative), ours, targets.native);
      const std::string to_peer =
          ratio_cell(peer ? std::optional(peer->ms) : std::nullopt, ours, targets.peer);
      count(to_native, targets.native);
      count(to_peer, targets.peer);
      table.push_back({row.of_case->name, cell(kWeld), cell(kNative), to_native, cell(kDuckDb), cell(kPandas),
                       cell(kPolars), to_peer, targets.peer > 0 ? fmt::format("{:g}", targets.peer) : "-",
                       ours ? fmt::format("{:.1f}", static_cast<double>(row.num_bytes) / *ours / 1e6) : "-"});
    }
    return render_table(table) + fmt::format("{} of {} targets met\n", num_met, num_targets);
  }

  // What more threads bring.
  std::string render_threads() const {
    std::vector<std::string> header = {"times faster than with 1 thread"};
    for (const int threads : options_.threads)
      if (threads != 1)
        header.insert(header.end(), {fmt::format("weld t{}", threads), fmt::format("native t{}", threads)});
    std::vector<std::vector<std::string>> table = {header};
    for (const Row& one : rows_) {
      if (one.threads != 1) continue;
      std::vector<std::string>& line = table.emplace_back();
      line.push_back(one.of_case->name);
      for (const Row& row : rows_) {
        if (row.of_case != one.of_case || row.threads == 1) continue;
        constexpr double kTarget = 1.8;
        line.push_back(ratio_cell(time_of(one, kWeld), time_of(row, kWeld), kTarget));
        line.push_back(ratio_cell(time_of(one, kNative), time_of(row, kNative), 0));
      }
    }
    return render_table(table);
  }

  // Where variants may be chosen: how far what was chosen is from the best fixed one.
  std::string render_fixed() const {
    std::vector<std::vector<std::string>> table = {
        {"variants", "threads", "weld", "best fixed", "ms", "weld/fixed", "at most"}};
    for (const Row& row : rows_) {
      const auto fixed = best_fixed(row);
      const auto ours = time_of(row, kWeld);
      const double target = row.of_case->targets.fixed;
      if (!fixed || !ours) continue;
      const double ratio = *ours / fixed->ms;
      table.push_back({row.of_case->name, std::to_string(row.threads), three_digits(*ours), fixed->name,
                       three_digits(fixed->ms), fmt::format("{:.2f}{}", ratio, ratio > target ? "!" : ""),
                       fmt::format("{:g}", target)});
    }
    return table.size() > 1 ? '\n' + render_table(table) : "";
  }

  const BenchmarkOptions& options_;
  Report report_;
  std::vector<Row> rows_;
  std::unique_ptr<peers::TablePeer> pandas_;
  std::map<int, std::unique_ptr<peers::TablePeer>> polars_;
};

// What a loop that may run in parallel costs where it is short: the time of 1,000 rows on 2 threads, less
// that of the same loop kept to one thread.
std::string measure_overhead(const BenchmarkOptions& options, Report& report) {
  constexpr int kCalls = 20'000;
  constexpr std::int64_t kElements = 1'000;
  std::vector<double> values(kElements, 1.0);
  struct {
    const double* data;
    std::int64_t length;
  } arguments{values.data(), kElements};
  const auto context = std::make_shared<runtime::Context>();
  const std::vector<std::pair<std::string, std::shared_ptr<const codegen::Program>>> programs = {
      {"parallel", compile("|x: vec[f64]| result(for(x, merger[f64,+], |b, i, e| merge(b, e)))")},
      {"sequential",
       compile("|x: vec[f64]| result(@(parallel:false)for(x, merger[f64,+], |b, i, e| merge(b, e)))")}};
  std::vector<double> times[2];
  for (int run = 0; run <= options.runs; ++run) {
    for (std::size_t i = 0; i < programs.size(); ++i) {
      const double ms = time_ms([&] {
        for (int call = 0; call < kCalls; ++call) {
          if (!programs[i].second->run(context, &arguments, {.num_threads = 2}))
            throw std::runtime_error("a run failed");
        }
      });
      if (run > 0) times[i].push_back(ms / kCalls);
    }
  }
  for (std::size_t i = 0; i < programs.size(); ++i) {
    report.measurements.push_back({"micro", "loop of 1,000 rows, " + programs[i].first, "weld", 2,
                                   median(times[i]), options.runs, kElements, 8 * kElements});
  }
  const double parallel = 1e3 * median(times[0]);
  const double sequential = 1e3 * median(times[1]);
  return fmt::format(
      "\nA run of 1,000 rows on 2 threads takes {:.2f} µs, {:.2f} µs kept to one thread: {:.2f} µs more "
      "(at most 1){}\n",
      parallel, sequential, parallel - sequential, parallel - sequential > 1 ? "!" : "");
}

}  // namespace

Report run_micro_benchmark(const BenchmarkOptions& options) {
  Runner runner(options);
  const std::vector<Case> cases = micro::all_cases();
  const auto is_chosen = [&](std::string_view name) {
    return options.only.empty() ||
           std::ranges::any_of(options.only, [&](const std::string& only) { return name.starts_with(only); });
  };
  for (const Case& of_case : cases)
    if (is_chosen(of_case.name)) runner.run(of_case);
  Report report = runner.finish();
  if (is_chosen("overhead") && options.programs.empty()) report.text += measure_overhead(options, report);
  return report;
}

}  // namespace weld::bench
