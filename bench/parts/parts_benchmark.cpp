#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/driver/benchmark.h"
#include "bench/tpch/generator.h"
#include "bench/tpch/queries/query_programs.h"
#include "bindings/c/weld.h"
#include "codegen/engine.h"
#include "parser/parser.h"
#include "runtime/memory.h"

namespace weld::bench {
namespace {

std::shared_ptr<const codegen::Program> compile(std::string_view text,
                                                const codegen::CompileOptions& options) {
  ir::Arena arena;
  return codegen::Program::compile(parser::parse(text, arena), options);
}

class Table {
 public:
  explicit Table(Report& report) : report_(report) {}

  // A figure in milliseconds; `printed` is what people read instead of them, `target` what it should be.
  void add(Measurement measurement, std::string printed, std::string target) {
    rows_.push_back({fmt::format("{} ({})", measurement.workload, measurement.system), std::move(printed),
                     std::move(target)});
    report_.measurements.push_back(std::move(measurement));
  }
  void add_ms(Measurement measurement, std::string target) {
    std::string printed = three_digits(measurement.ms) + " ms";
    add(std::move(measurement), std::move(printed), std::move(target));
  }
  std::string render() const { return render_table(rows_); }

 private:
  Report& report_;
  std::vector<std::vector<std::string>> rows_ = {{"what", "measured", "target"}};
};

// Programs that differ in a constant are compiled apart, others come from the cache.
void measure_compilation(const BenchmarkOptions& options, Table& table) {
  constexpr std::string_view kOneLoop =
      "|x: vec[f64]| result(for(x, merger[f64,+], |b, i, e| merge(b, e * {}.5)))";
  int next = 0;
  double cold = 0;
  const auto one_loop = [&] { return compile(fmt::format(kOneLoop, next++), {}); };
  cold = time_ms(one_loop);
  table.add_ms({"parts", "compile one loop, first in the process", "weld", 1, cold, 1}, "");
  table.add_ms({"parts", "compile one loop", "weld", 1, median_ms(options.runs, one_loop), options.runs},
               "≤ 15 ms");
  table.add_ms({"parts", "compile one loop, known", "weld", 1,
                median_ms(options.runs, [&] { return compile(fmt::format(kOneLoop, 0), {}); }), options.runs},
               "");
  const std::string_view q1 = tpch::query_program(1).text;
  // A different number of hundredths in the place of the last, so that the text is new.
  const auto anew = [&] {
    std::string text(q1);
    const auto place = text.rfind("100.0");
    return compile(text.replace(place, 5, fmt::format("{}.0", 101 + next++)), {});
  };
  table.add_ms({"parts", "compile Q1", "weld", 1, median_ms(options.runs, anew), options.runs}, "≤ 60 ms");
  table.add_ms({"parts", "compile Q1, known", "weld", 1,
                median_ms(options.runs, [&] { return compile(q1, {}); }), options.runs},
               "");
}

void check(weld_error_t error) {
  if (weld_error_code(error) != Success) throw std::runtime_error(weld_error_message(error));
}

// On several threads the loop may be shared, but is too short to be.
void measure_small_run(const BenchmarkOptions& options, int length, int threads, Table& table) {
  constexpr int kRuns = 20'000;
  const weld_conf_t conf = weld_conf_new();
  weld_conf_set(conf, "weld.threads", std::to_string(threads).c_str());
  const weld_error_t error = weld_error_new();
  const weld_module_t module =
      weld_module_compile("|x: vec[f64]| result(for(x, merger[f64,+], |b, i, e| merge(b, e)))", conf, error);
  check(error);
  const weld_context_t context = weld_context_new(conf);
  std::vector<double> values(static_cast<std::size_t>(length), 1.5);
  weld_vector_t vector{values.data(), length};
  const weld_value_t argument = weld_value_new(&vector);
  const double ms = median_ms(options.runs, [&] {
    for (int run = 0; run < kRuns; ++run) weld_value_free(weld_module_run(module, context, argument, error));
  });
  check(error);
  weld_value_free(argument);
  weld_context_free(context);
  weld_module_free(module);
  weld_error_free(error);
  weld_conf_free(conf);
  table.add({"parts",
             fmt::format("run on {} elements through the C API, {} thread{}", length, threads,
                         threads == 1 ? "" : "s"),
             "weld", threads, ms / kRuns, options.runs, length},
            fmt::format("{:.2f} µs", 1e3 * ms / kRuns), "≤ 1 µs");
}

void measure_generator(const BenchmarkOptions& options, Table& table) {
  const tpch::Scale scale(0.1);
  std::int64_t num_bytes = 0;
  const auto generate = [&] {
    num_bytes = 0;
    for (const tpch::TableId id : tpch::kAllTables) {
      tpch::generate_text(scale, id, tpch::all_units(id, scale), 1,
                          [&](std::string_view text) { num_bytes += std::ssize(text); });
    }
  };
  const double ms = median_ms(std::min(options.runs, 5), generate);
  table.add({"parts", "TPC-H generator, all tables", "weld", 1, ms, std::min(options.runs, 5), 0, num_bytes},
            fmt::format("{:.0f} MB/s", static_cast<double>(num_bytes) / ms / 1e3), "≥ 100 MB/s");
}

struct ReductionCase {
  std::string_view name;
  std::string_view text;
  std::int64_t num_keys;  // 0: no keys
};

constexpr std::string_view kGroup =
    "|x: vec[f64], y: vec[f64], k: vec[i64]| "
    "result(for(zip(k, x), dictmerger[i64,f64,+], |b, i, e| merge(b, {e.$0, e.$1})))";
constexpr ReductionCase kReductions[] = {
    {"f64 sum",
     "|x: vec[f64], y: vec[f64], k: vec[i64]| result(for(x, merger[f64,+], |b, i, e| merge(b, e)))", 0},
    {"dot product",
     "|x: vec[f64], y: vec[f64], k: vec[i64]| "
     "result(for(zip(x, y), merger[f64,+], |b, i, e| merge(b, e.$0 * e.$1)))",
     0},
    {"f64 sums of 10 keys", kGroup, 10},
    {"f64 sums of 10,000 keys", kGroup, 10'000},
    {"f64 sums of 1,000,000 keys", kGroup, 1'000'000},
};

// What keeping the order of float sums costs: the same program compiled with and without.
void measure_reductions(const BenchmarkOptions& options, Report& report) {
  constexpr std::int64_t kElements = 10'000'000;
  std::mt19937_64 random(7);
  std::vector<double> x(kElements);
  std::vector<double> y(kElements);
  std::vector<std::int64_t> keys(kElements);
  for (double& value : x) value = static_cast<double>(random() >> 11) * 0x1p-53;
  for (double& value : y) value = static_cast<double>(random() >> 11) * 0x1p-53;
  struct {
    double* x;
    std::int64_t num_x;
    double* y;
    std::int64_t num_y;
    std::int64_t* keys;
    std::int64_t num_keys;
  } arguments{x.data(), kElements, y.data(), kElements, keys.data(), kElements};

  const auto context = std::make_shared<runtime::Context>();
  std::vector<std::vector<std::string>> rows = {{"10 million elements, ms", "reproducible t1", "free t1",
                                                 "ratio", "reproducible t2", "free t2", "ratio"}};
  for (const ReductionCase& reduction : kReductions) {
    for (std::int64_t& key : keys) {
      key = reduction.num_keys == 0
                ? 0
                : static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(reduction.num_keys));
    }
    codegen::CompileOptions free_order;
    free_order.deterministic = false;
    const auto reproducible = compile(reduction.text, {});
    const auto free = compile(reduction.text, free_order);
    std::vector<std::string>& row = rows.emplace_back();
    row.emplace_back(reduction.name);
    const int runs = reduction.num_keys > 100'000 ? std::min(options.runs, 3) : options.runs;
    for (const int threads : {1, 2}) {
      std::vector<double> times[2];
      for (int run = 0; run <= runs; ++run) {
        for (const bool is_free : {false, true}) {
          const codegen::Program& program = is_free ? *free : *reproducible;
          const double ms = time_ms([&] {
            const auto result = program.run(context, &arguments, {.num_threads = threads});
            if (!result) throw std::runtime_error(result.error().render());
          });
          if (run > 0) times[is_free].push_back(ms);
        }
      }
      const double ms[2] = {median(times[0]), median(times[1])};
      const std::int64_t bytes =
          kElements * (reduction.num_keys == 0 && reduction.name == "f64 sum" ? 8 : 16);
      report.measurements.push_back({"parts", std::string(reduction.name) + ", reproducible", "weld", threads,
                                     ms[0], runs, kElements, bytes});
      report.measurements.push_back({"parts", std::string(reduction.name) + ", free order", "weld", threads,
                                     ms[1], runs, kElements, bytes});
      for (const double value : ms) row.push_back(three_digits(value));
      row.push_back(fmt::format("{:.2f}", ms[0] / ms[1]));
    }
  }
  report.text += '\n' + render_table(rows);
}

}  // namespace

Report run_parts_benchmark(const BenchmarkOptions& options) {
  Report report;
  Table table(report);
  measure_compilation(options, table);
  for (const int length : {10, 1000}) {
    for (const int threads : {1, 2}) measure_small_run(options, length, threads, table);
  }
  measure_generator(options, table);
  report.text = table.render();
  measure_reductions(options, report);
  return report;
}

}  // namespace weld::bench
