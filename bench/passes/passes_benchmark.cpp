#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/driver/benchmark.h"
#include "parser/parser.h"
#include "passes/pass.h"

namespace weld::bench {
namespace {

constexpr int kSizes[] = {10, 40, 100, 1000, 10'000};

// Element-wise operations, each on the result of the one before.
std::string chain_of(int num_fragments) {
  std::string text = "|x: vec[f64], y: vec[f64]| let v0 = x;\n";
  for (int i = 1; i < num_fragments; ++i) {
    text += fmt::format(
        "let v{} = result(for(zip(v{}, y), appender[f64], |b, i, e| merge(b, e.$0 * {}.5 + e.$1)));\n", i,
        i - 1, i % 7);
  }
  return text + fmt::format("result(for(v{}, merger[f64,+], |b, i, e| merge(b, e)))", num_fragments - 1);
}

// Columns of a table computed from columns before, every tenth a sum that later ones use.
std::string table_of(int num_fragments) {
  std::mt19937 random(1);
  std::string text = "|x: vec[f64], y: vec[f64]| let v0 = x; let v1 = y; let s0 = 1.0;\n";
  std::string results;
  int sum = 0;
  int columns = 2;
  for (int i = 2; i < num_fragments; ++i) {
    const int left = columns - 1 - static_cast<int>(random() % static_cast<unsigned>(std::min(columns, 8)));
    const int right = static_cast<int>(random() % static_cast<unsigned>(columns));
    if (i % 10 == 0) {
      text += fmt::format("let s{} = result(for(v{}, merger[f64,+], |b, i, e| merge(b, e * s{})));\n",
                          sum + 1, left, sum);
      results += fmt::format("s{},", ++sum);
    } else {
      text += fmt::format(
          "let v{} = result(for(zip(v{}, v{}), appender[f64], |b, i, e| merge(b, e.$0 * {}.0 + sqrt(e.$1) - "
          "s{})));\n",
          columns, left, right, i % 5, sum);
      ++columns;
    }
  }
  return text + fmt::format("{{{} v{}}}", results, columns - 1);
}

struct PassTimes {
  double total_ms = 0;
  std::map<std::string, double> ms;  // of all runs of a pass together
};

PassTimes optimise_once(const std::shared_ptr<ir::Arena>& source, ir::Expr program) {
  PassTimes times;
  ir::Arena arena;
  arena.retain(source);
  passes::PassContext context{.arena = arena, .options = {}};
  context.options.verify = false;
  context.options.after_pass = [&](const passes::PassReport& report) {
    times.ms[std::string(report.pass.name)] += report.microseconds / 1e3;
  };
  times.total_ms = time_ms([&] { passes::run_pipeline(program, context); });
  return times;
}

PassTimes median_times(std::string_view text, int runs) {
  const auto source = std::make_shared<ir::Arena>();
  const ir::Expr program = parser::parse(text, *source);
  std::vector<double> totals;
  std::map<std::string, std::vector<double>> by_pass;
  optimise_once(source, program);
  for (int run = 0; run < runs; ++run) {
    const PassTimes times = optimise_once(source, program);
    totals.push_back(times.total_ms);
    for (const auto& [pass, ms] : times.ms) by_pass[pass].push_back(ms);
  }
  PassTimes result{.total_ms = median(std::move(totals)), .ms = {}};
  for (auto& [pass, ms] : by_pass) result.ms[pass] = median(std::move(ms));
  return result;
}

void measure_shape(std::string_view name, std::string (*text_of)(int), const BenchmarkOptions& options,
                   Report& report) {
  std::vector<PassTimes> by_size;
  std::vector<std::string> header{fmt::format("{}, ms for fragments", name)};
  for (const int size : kSizes) {
    const int runs = size > 1000 ? std::min(options.runs, 3) : options.runs;
    by_size.push_back(median_times(text_of(size), runs));
    header.push_back(fmt::format("{}", size));
    report.measurements.push_back({"passes", fmt::format("{} of {} fragments", name, size), "weld", 1,
                                   by_size.back().total_ms, runs, size});
    for (const auto& [pass, ms] : by_size.back().ms) {
      report.measurements.push_back(
          {"passes", fmt::format("{} of {} fragments, {}", name, size, pass), "weld", 1, ms, runs, size});
    }
  }
  std::vector<std::vector<std::string>> rows{header};
  rows.push_back({"all passes (40 fragments: ≤ 2 ms)"});
  for (const PassTimes& times : by_size) rows.back().push_back(fmt::format("{:.3f}", times.total_ms));
  rows.push_back({"µs a fragment"});
  for (std::size_t i = 0; i < by_size.size(); ++i) {
    rows.back().push_back(fmt::format("{:.1f}", 1e3 * by_size[i].total_ms / kSizes[i]));
  }
  for (const auto& [pass, ms] : by_size.back().ms) {
    rows.push_back({pass});
    for (const PassTimes& times : by_size) rows.back().push_back(fmt::format("{:.3f}", times.ms.at(pass)));
  }
  report.text += render_table(rows) + "\n";
}

}  // namespace

Report run_passes_benchmark(const BenchmarkOptions& options) {
  Report report;
  measure_shape("chain", chain_of, options, report);
  measure_shape("table", table_of, options, report);
  return report;
}

}  // namespace weld::bench
