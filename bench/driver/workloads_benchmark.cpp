#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <thread>

#include "bench/driver/benchmark.h"
#include "bench/peers/python_peer.h"
#include "bench/workloads/workload.h"
#include "ir/printer.h"
#include "passes/pipeline.h"
#include "runtime/memory.h"

namespace weld::bench {
namespace {

using workloads::Prepared;
using workloads::WeldRun;
using workloads::Workload;

constexpr std::string_view kWeld = "weld";
constexpr std::string_view kNative = "native";
constexpr std::string_view kAblation = "ablation";

// What is switched off together to see what it contributes.
struct PassGroup {
  std::string_view name;
  std::vector<std::string_view> passes;
};
const std::vector<PassGroup>& pass_groups() {
  static const std::vector<PassGroup> kGroups = {
      {"fusion", {"fuse_loops", "fuse_siblings"}},
      {"vectorisation", {"vectorise_loops"}},
      {"predication", {"predicate_merges", "order_conjuncts"}},
      {"sizes", {"infer_sizes"}},
      {"layout", {"unroll_structs", "split_vectors", "drop_dead_fields"}},
      {"CSE", {"eliminate_common_subexpressions"}},
      {"tiling", {"tile_loops"}},
  };
  return kGroups;
}

// Peers that need this long for a run are run fewer times.
constexpr double kSlowMs = 300;
constexpr int kSlowRuns = 3;

// Of the rows are left when passes are switched off: 200 operations that are not fused hold 200 arrays.
constexpr double kAblationScale = 0.1;

// Before each run: the threads of the system before may still spin, waiting for work, and would take a
// processor from this one (Numba's do for milliseconds).
void settle() {
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

double geometric_mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += std::log(value);
  return std::exp(sum / static_cast<double>(values.size()));
}

// Milliseconds by system.
using Times = std::map<std::string, double, std::less<>>;

class Runner {
 public:
  explicit Runner(const BenchmarkOptions& options) : options_(options) {}

  void run(const Workload& workload) {
    try {
      measure(workload);
    } catch (const std::exception& error) {
      report_.failures.push_back(fmt::format("{}: {}", workload.name, error.what()));
    }
  }

  Report finish() {
    if (!options_.programs.empty()) return std::move(report_);
    report_.text = fmt::format("ms, medians; scale {:g}\n", options_.scale);
    for (const int threads : options_.threads) report_.text += '\n' + render_times(threads);
    if (ablation_.size() > 1) {
      report_.text +=
          fmt::format(
              "\nTimes without some passes, as multiples of the time with all; 1 thread, scale {:g}\n",
              options_.scale * kAblationScale) +
          render_table(ablation_);
    }
    return std::move(report_);
  }

 private:
  // What became of a workload with some number of threads.
  struct Row {
    const Workload* workload;
    int threads;
    double compile_ms;
    Times times;
  };

  bool is_wanted(std::string_view system) const {
    return options_.systems.empty() || std::ranges::find(options_.systems, system) != options_.systems.end();
  }
  bool wants_peers() const {
    return std::ranges::any_of(
               options_.systems,
               [](std::string_view name) { return name != kWeld && name != kNative && name != kAblation; }) ||
           options_.systems.empty();
  }

  codegen::CompileOptions compile_options() const {
    codegen::CompileOptions options;
    if (!options_.passes.empty()) options.pipeline.passes = options_.passes;
    return options;
  }

  peers::PythonPeer* peer(int threads) {
    auto [place, is_new] = peers_.try_emplace(threads);
    if (is_new && wants_peers()) place->second = peers::PythonPeer::start(threads);
    return place->second.get();
  }

  void measure(const Workload& workload) {
    const Prepared prepared = workload.prepare(options_.scale);
    if (!options_.programs.empty()) return write_program(workload, prepared);
    // By hand whatever is asked for: it is what the others are compared with.
    prepared.run_native(1);
    const workloads::Outcome reference = prepared.read_native();
    std::optional<WeldRun> weld;
    if (is_wanted(kWeld)) {
      weld.emplace(prepared.program, compile_options());
      for (const int threads : options_.threads) check(workload, prepared, *weld, threads, "", reference);
    }
    for (const int threads : options_.threads) {
      Row row{&workload, threads, weld ? weld->compile_ms() : 0, {}};
      time_in_turn(workload, prepared, weld ? &*weld : nullptr, reference, row);
      for (const auto& [system, ms] : row.times) {
        report_.measurements.push_back({"workloads", std::string(workload.name), system, threads, ms,
                                        options_.runs, prepared.num_rows, prepared.num_bytes});
      }
      rows_.push_back(std::move(row));
    }
    if (is_wanted(kAblation)) measure_ablation(workload);
  }

  void write_program(const Workload& workload, const Prepared& prepared) const {
    const std::filesystem::path file =
        std::filesystem::path(options_.programs) / fmt::format("{}.weld", workload.name);
    std::ofstream stream(file);
    stream << ir::print(ir::assemble(prepared.program).lambda) << '\n';
    stream.close();
    if (!stream) throw std::runtime_error(fmt::format("cannot write {}", file.string()));
  }

  void check(const Workload& workload, const Prepared& prepared, const WeldRun& weld, int threads,
             std::string_view without, const workloads::Outcome& reference) {
    const codegen::Result result = weld.run(std::make_shared<runtime::Context>(), threads);
    const auto mismatch = workloads::find_mismatch(prepared.read(result), reference, prepared.tolerance);
    if (!mismatch) return;
    report_.failures.push_back(fmt::format("{}, weld{}{}, {} threads: {}", workload.name,
                                           without.empty() ? "" : " without ", without, threads, *mismatch));
  }

  void time_in_turn(const Workload& workload, const Prepared& prepared, const WeldRun* weld,
                    const workloads::Outcome& reference, Row& row) {
    const auto context = std::make_shared<runtime::Context>();
    peers::PythonPeer* const python = peer(row.threads);
    std::vector<std::string> systems;
    if (python) systems = python->load(workload.peers, prepared);
    std::erase_if(systems, [&](const std::string& system) { return !is_wanted(system); });
    std::map<std::string, std::vector<double>, std::less<>> times;
    for (const std::string& system : systems) {  // warms up
      python->run_ms(system);
      times[system] = {};
      const auto mismatch =
          workloads::find_mismatch(python->result(), reference, std::max(prepared.tolerance, kPeerTolerance));
      if (mismatch) report_.failures.push_back(fmt::format("{}, {}: {}", workload.name, system, *mismatch));
    }
    for (int run = 0; run <= options_.runs; ++run) {
      if (weld) {
        settle();
        const double ms = time_ms([&] { weld->run(context, row.threads); });
        if (run > 0) times[std::string(kWeld)].push_back(ms);
      }
      if (is_wanted(kNative)) {
        settle();
        const double ms = time_ms([&] { prepared.run_native(row.threads); });
        if (run > 0) times[std::string(kNative)].push_back(ms);
      }
      if (run == 0) continue;
      for (const std::string& system : systems) {
        std::vector<double>& of_system = times[system];
        if (of_system.size() >= kSlowRuns && median(of_system) > kSlowMs) continue;
        settle();
        of_system.push_back(python->run_ms(system));
      }
    }
    for (const auto& [system, of_system] : times) row.times[system] = median(of_system);
  }

  void measure_ablation(const Workload& workload) {
    const Prepared prepared = workload.prepare(options_.scale * kAblationScale);
    prepared.run_native(1);
    const workloads::Outcome reference = prepared.read_native();
    std::vector<std::unique_ptr<WeldRun>> runs;
    runs.push_back(std::make_unique<WeldRun>(prepared.program, compile_options()));
    std::vector<std::string> header = {"without"};
    for (const PassGroup& group : pass_groups()) {
      header.emplace_back(group.name);
      codegen::CompileOptions options = compile_options();
      for (const std::string_view pass : group.passes) {
        if (passes::find_pass(pass)) options.pipeline.switched_off.emplace_back(pass);
      }
      if (options.pipeline.switched_off.empty()) {
        runs.push_back(nullptr);
        continue;
      }
      runs.push_back(std::make_unique<WeldRun>(prepared.program, options));
      check(workload, prepared, *runs.back(), options_.threads.back(), group.name, reference);
    }
    if (ablation_.empty()) ablation_.push_back(header);

    const auto context = std::make_shared<runtime::Context>();
    const int num_runs = std::min(options_.runs, 5);
    std::vector<std::vector<double>> times(runs.size());
    for (int run = 0; run <= num_runs; ++run) {
      for (std::size_t i = 0; i < runs.size(); ++i) {
        if (!runs[i] || (run > 1 && times[i].back() > kSlowMs)) continue;
        const double ms = time_ms([&] { runs[i]->run(context, 1); });
        if (run > 0) times[i].push_back(ms);
      }
    }
    const double all = median(times[0]);
    std::vector<std::string>& row = ablation_.emplace_back();
    row.emplace_back(workload.name);
    for (std::size_t i = 1; i < runs.size(); ++i) {
      if (!runs[i]) {
        row.emplace_back("-");
        continue;
      }
      const double ms = median(times[i]);
      row.push_back(fmt::format("{:.2f}", ms / all));
      report_.measurements.push_back({"workloads", std::string(workload.name),
                                      fmt::format("weld without {}", pass_groups()[i - 1].name), 1, ms,
                                      num_runs, prepared.num_rows, prepared.num_bytes});
    }
  }

  // The fastest system that is neither ours nor written by hand.
  static const std::pair<const std::string, double>* best_peer(const Times& times) {
    const std::pair<const std::string, double>* best = nullptr;
    for (const auto& entry : times) {
      if (entry.first == kWeld || entry.first == kNative) continue;
      if (!best || entry.second < best->second) best = &entry;
    }
    return best;
  }

  // Ratios above 1 are in our favour.
  std::string render_times(int threads) const {
    std::vector<std::string> systems;
    for (const Row& row : rows_) {
      for (const auto& [system, ms] : row.times) {
        if (system != kWeld && system != kNative && std::ranges::find(systems, system) == systems.end())
          systems.push_back(system);
      }
    }
    std::vector<std::string> header = {threads == 1 ? "1 thread" : fmt::format("{} threads", threads),
                                       "compile", std::string(kWeld), std::string(kNative), "native/weld"};
    header.insert(header.end(), systems.begin(), systems.end());
    header.insert(header.end(), {"best", "best/weld"});
    std::vector<std::vector<std::string>> table = {header};
    std::map<std::string, std::vector<double>> ratios;
    for (const Row& row : rows_) {
      if (row.threads != threads) continue;
      const auto cell = [&](std::string_view system) {
        const auto found = row.times.find(system);
        return found == row.times.end() ? "-" : three_digits(found->second);
      };
      std::vector<std::string>& line = table.emplace_back();
      line.assign(
          {std::string(row.workload->name), three_digits(row.compile_ms), cell(kWeld), cell(kNative)});
      const bool is_array = row.workload->kind == workloads::Kind::kArray;
      const auto add_ratio = [&](const char* name, double ratio) {
        line.push_back(fmt::format("{:.2f}", ratio));
        ratios[std::string("all workloads, ") + name].push_back(ratio);
        if (is_array) ratios[std::string("array workloads, ") + name].push_back(ratio);
      };
      const auto weld = row.times.find(kWeld);
      const auto native = row.times.find(kNative);
      if (weld != row.times.end() && native != row.times.end()) {
        add_ratio("native/weld", native->second / weld->second);
      } else {
        line.emplace_back("-");
      }
      for (const std::string& system : systems) line.push_back(cell(system));
      const auto* best = best_peer(row.times);
      line.push_back(best ? best->first : "-");
      if (best && weld != row.times.end()) {
        add_ratio("best peer/weld", best->second / weld->second);
      } else {
        line.emplace_back("-");
      }
    }
    std::string text = render_table(table);
    for (const auto& [name, values] : ratios) {
      text += fmt::format("{}: geometric mean {:.2f}, least {:.2f}\n", name, geometric_mean(values),
                          std::ranges::min(values));
    }
    return text;
  }

  // Scalar functions of other libraries differ in the last places.
  static constexpr double kPeerTolerance = 1e-9;

  const BenchmarkOptions& options_;
  Report report_;
  std::vector<Row> rows_;
  std::vector<std::vector<std::string>> ablation_;
  std::map<int, std::unique_ptr<peers::PythonPeer>> peers_;
};

}  // namespace

Report run_workloads_benchmark(const BenchmarkOptions& options) {
  Runner runner(options);
  for (const Workload& workload : workloads::all_workloads()) {
    const bool chosen =
        options.only.empty() || std::ranges::any_of(options.only, [&](const std::string& name) {
          return workload.name.starts_with(name);
        });
    if (chosen) runner.run(workload);
  }
  return runner.finish();
}

}  // namespace weld::bench
