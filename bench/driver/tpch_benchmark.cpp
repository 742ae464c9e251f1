#include <fmt/format.h>

#include <array>
#include <memory>
#include <optional>

#include "bench/driver/benchmark.h"
#include "bench/peers/duckdb.h"
#include "bench/peers/read_bandwidth.h"
#include "bench/tpch/answers.h"
#include "bench/tpch/generator.h"
#include "bench/tpch/queries/query_run.h"
#include "bench/tpch/reference.h"
#include "runtime/memory.h"

namespace weld::bench {
namespace {

using tpch::Database;
using tpch::QueryRun;

constexpr std::array kThreads = {1, 2};

struct Times {
  double weld = 0;
  double duckdb = 0;
};

// DuckDB with all tables that the queries read.
std::optional<peers::DuckDb> open_duckdb(const Database& database) {
  const auto library = peers::find_duckdb();
  if (!library) return std::nullopt;
  peers::DuckDb duckdb(*library);
  for (const tpch::TableId table : tpch::kAllTables) duckdb.load(database.table(table));
  return duckdb;
}

// Medians of runs in turn.
Times time_in_turn(const QueryRun& query, peers::DuckDb* duckdb, int threads, int runs) {
  const auto context = std::make_shared<runtime::Context>();
  const codegen::RunOptions options{.num_threads = threads};
  const std::string_view sql = duckdb ? peers::duckdb_query(query.query().number) : "";
  std::vector<double> weld;
  std::vector<double> peer;
  for (int run = 0; run <= runs; ++run) {
    weld.push_back(time_ms([&] { query.run(context, options); }));
    if (duckdb) peer.push_back(time_ms([&] { duckdb->execute(sql); }));
    if (run == 0) {  // warms up
      weld.clear();
      peer.clear();
    }
  }
  return {median(weld), duckdb ? median(peer) : 0};
}

void check(const QueryRun& query, const Database& database) {
  const auto context = std::make_shared<runtime::Context>();
  const tpch::ResultTable reference = tpch::compute_reference(query.query().number, database);
  const tpch::ResultTable result = query.read(query.run(context, {.num_threads = 2}));
  const auto mismatch =
      tpch::find_mismatch(result, reference, tpch::Strictness::kExact, tpch::finer_values_of(reference));
  if (mismatch) throw std::runtime_error(fmt::format("wrong result: {}", *mismatch));
}

}  // namespace

Report run_tpch_benchmark(const BenchmarkOptions& options) {
  std::vector<int> queries;
  for (const tpch::QueryProgram& program : tpch::query_programs()) queries.push_back(program.number);
  const std::vector<std::string> columns = tpch::columns_of_queries(queries);
  const Database database = tpch::generate_database(tpch::Scale(options.scale_factor),
                                                    {.columns = tpch::ColumnSelection::named(columns)});
  std::optional<peers::DuckDb> duckdb = open_duckdb(database);

  Report report;
  constexpr std::size_t kBandwidthBytes = std::size_t{1} << 30;
  std::array<double, 2> bandwidth;
  for (std::size_t i = 0; i < kThreads.size(); ++i) {
    bandwidth[i] = peers::read_bandwidth(kThreads[i], kBandwidthBytes, options.runs);
    report.measurements.push_back({"tpch", "streaming read", "c++", kThreads[i],
                                   static_cast<double>(kBandwidthBytes) / bandwidth[i] / 1e6, options.runs, 0,
                                   static_cast<std::int64_t>(kBandwidthBytes)});
  }

  std::vector<std::vector<std::string>> table = {{"query", "compile ms", "weld t1", "t2", "t1/t2",
                                                  "duckdb t1", "t2", "duckdb/weld t1", "t2", "GB/s t1", "t2",
                                                  "of bandwidth t2"}};
  for (const int number : queries) {
    const QueryRun query(tpch::query_program(number), database);
    check(query, database);
    const std::string workload = fmt::format("q{} sf {}", number, options.scale_factor);
    std::array<Times, 2> times;
    for (std::size_t i = 0; i < kThreads.size(); ++i) {
      if (duckdb) duckdb->set_threads(kThreads[i]);
      times[i] = time_in_turn(query, duckdb ? &*duckdb : nullptr, kThreads[i], options.runs);
      report.measurements.push_back({"tpch", workload, "weld", kThreads[i], times[i].weld, options.runs,
                                     query.num_rows(), query.num_bytes()});
      if (!duckdb) continue;
      report.measurements.push_back({"tpch", workload, "duckdb", kThreads[i], times[i].duckdb, options.runs,
                                     query.num_rows(), query.num_bytes()});
    }
    const auto peer = [&](double value) { return duckdb ? three_digits(value) : "-"; };
    const auto rate = [&](const Times& time) {
      return static_cast<double>(query.num_bytes()) / time.weld / 1e6;
    };
    table.push_back(
        {fmt::format("Q{}", number), three_digits(query.compile_ms()), three_digits(times[0].weld),
         three_digits(times[1].weld), three_digits(times[0].weld / times[1].weld), peer(times[0].duckdb),
         peer(times[1].duckdb), peer(times[0].duckdb / times[0].weld), peer(times[1].duckdb / times[1].weld),
         three_digits(rate(times[0])), three_digits(rate(times[1])),
         fmt::format("{:.0f} %", 100 * rate(times[1]) / bandwidth[1])});
  }
  report.text = fmt::format(
      "Scale factor {}, ms, medians of {} runs; streaming read {} GB/s t1, {} t2; {}\n{}",
      options.scale_factor, options.runs, three_digits(bandwidth[0]), three_digits(bandwidth[1]),
      duckdb ? "DuckDB " + duckdb->version() : "no DuckDB: run bench/peers/install.sh", render_table(table));
  return report;
}

}  // namespace weld::bench
