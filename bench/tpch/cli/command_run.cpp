#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/report/measurement.h"
#include "bench/tpch/answers.h"
#include "bench/tpch/cli/commands.h"
#include "bench/tpch/cli/interrupts.h"
#include "bench/tpch/cli/progress_bar.h"
#include "bench/tpch/error.h"
#include "bench/tpch/queries/query_run.h"
#include "bench/tpch/reference.h"
#include "bench/tpch/tbl_reader.h"
#include "runtime/memory.h"

namespace weld::bench::tpch {
namespace {

struct RunCommandOptions {
  double scale_factor = 0;
  std::string folder;
  std::vector<std::string> queries = {"all"};
  int num_threads = default_num_threads();
  int num_runs = 5;
  bool verify = false;
  std::string answers;
  std::string json;
};

std::vector<int> chosen_queries(const std::vector<std::string>& names) {
  std::vector<int> queries;
  for (const std::string& name : names) {
    if (name == "all") {
      for (const QueryProgram& program : query_programs()) queries.push_back(program.number);
      continue;
    }
    int number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error != std::errc() || end != name.data() + name.size()) {
      throw DataError(fmt::format("expected the number of a query or 'all', found '{}'", name));
    }
    queries.push_back(query_program(number).number);
  }
  return queries;
}

Database load(const RunCommandOptions& options, const std::vector<int>& queries) {
  const InterruptGuard guard;
  ProgressBar bar;
  const std::vector<std::string> columns = columns_of_queries(queries);
  const FillOptions fill{.num_threads = options.num_threads,
                         .columns = ColumnSelection::named(columns),
                         .progress = [&](TableId table, double fraction) {
                           guard.throw_if_interrupted();
                           bar.show(schema_of(table).name, fraction);
                         }};
  if (!options.folder.empty()) return read_database(options.folder, fill);
  return generate_database(Scale(options.scale_factor), fill);
}

// Where right answers come from: files, the official run, or a computation of our own.
class Answers {
 public:
  Answers(const Database& database, const std::string& folder) : database_(database), folder_(folder) {}

  // What the result is right by, in words. Throws DataError when it is wrong.
  std::string verify(const ResultTable& result) const {
    const QuerySchema& schema = query_schema(result.query());
    if (!folder_.empty()) {
      const std::filesystem::path file = folder_ / fmt::format("q{}.out", schema.number);
      std::ifstream stream(file, std::ios::binary);
      if (!stream) throw DataError(fmt::format("cannot read {}", file.string()));
      const std::string text{std::istreambuf_iterator<char>(stream), {}};
      check(result, parse_answer(schema, text, file.string()), Strictness::kOfficial, {});
      return fmt::format("as in {}", file.string());
    }
    const ResultTable reference = compute_reference(schema.number, database_);
    check(result, reference, Strictness::kExact, finer_values_of(reference));
    if (!is_validation_scale()) return "equals a row-by-row computation";
    for (const Strictness strictness : {Strictness::kOfficial, Strictness::kExact}) {
      check(result, official_answer(schema), strictness, finer_values());
    }
    return "equals the official answer, and a row-by-row computation";
  }

 private:
  // Whether the tables have the sizes of scale factor 1, of which there are official answers.
  bool is_validation_scale() const {
    const std::int64_t lines = database_.table(TableId::kLineitem).num_rows();
    return lines == 6'001'215;
  }

  static void check(const ResultTable& result, const ResultTable& answer, Strictness strictness,
                    std::span<const FinerValue> finer) {
    if (const auto mismatch = find_mismatch(result, answer, strictness, finer)) {
      throw DataError(fmt::format("wrong result: {}", *mismatch));
    }
  }

  const Database& database_;
  std::filesystem::path folder_;
};

std::string workload_name(int query, const RunCommandOptions& options) {
  if (!options.folder.empty()) return fmt::format("q{} {}", query, options.folder);
  return fmt::format("q{} sf {}", query, options.scale_factor);
}

void run_queries(const RunCommandOptions& options) {
  if (options.folder.empty() == (options.scale_factor == 0)) {
    throw DataError("name the data by either --data or --sf");
  }
  const std::vector<int> queries = chosen_queries(options.queries);
  std::optional<Database> database;
  const double load_ms = time_ms([&] { database.emplace(load(options, queries)); });
  fmt::print("{:.0f} MB in columns after {:.2f} s\n\n", static_cast<double>(database->num_bytes()) / 1e6,
             load_ms / 1e3);

  const auto context = std::make_shared<runtime::Context>();
  const codegen::RunOptions run_options{.num_threads = options.num_threads};
  const Answers answers(*database, options.answers);
  std::vector<Measurement> measurements;
  std::vector<std::vector<std::string>> summary = {
      {"query", "compile ms", "run ms", "million rows/s", "GB/s", "peak MB"}};
  for (const int number : queries) {
    const QueryRun query(query_program(number), *database);
    std::int64_t peak_bytes = 0;
    std::vector<double> times;
    std::optional<ResultTable> table;
    for (int run = 0; run <= options.num_runs; ++run) {
      context->reset_peak();
      std::optional<codegen::Result> result;
      const double ms = time_ms([&] { result.emplace(query.run(context, run_options)); });
      if (run == 0) {
        table = query.read(*result);
      } else {
        times.push_back(ms);  // the first one warms up
      }
      peak_bytes = std::max(peak_bytes, context->peak_bytes());
    }
    const double ms = median(times);
    fmt::print("Q{}, {}\n{}", number, query_schema(number).title, render_aligned(*table));
    if (options.verify) fmt::print("verified: {}\n", answers.verify(*table));
    fmt::print("\n");
    summary.push_back({fmt::format("Q{}", number), three_digits(query.compile_ms()), three_digits(ms),
                       three_digits(static_cast<double>(query.num_rows()) / ms / 1e3),
                       three_digits(static_cast<double>(query.num_bytes()) / ms / 1e6),
                       three_digits(static_cast<double>(peak_bytes) / 1e6)});
    measurements.push_back({"tpch", workload_name(number, options), "weld", options.num_threads, ms,
                            options.num_runs, query.num_rows(), query.num_bytes()});
    measurements.push_back(
        {"tpch-compile", workload_name(number, options), "weld", 1, query.compile_ms(), 1, 0, 0});
  }
  fmt::print("{} threads, median of {} runs\n{}", options.num_threads, options.num_runs,
             render_table(summary));
  if (!options.json.empty()) write_json(options.json, measurements);
}

}  // namespace

void add_run_command(CLI::App& app) {
  const auto options = std::make_shared<RunCommandOptions>();
  CLI::App* command = app.add_subcommand("run", "Compile and run queries over tables in memory");
  auto* data = command->add_option("--data", options->folder, "Folder of .tbl files to load");
  command->add_option("--sf", options->scale_factor, "Scale factor of tables to make in memory instead")
      ->excludes(data);
  command->add_option("--query", options->queries, "Queries to run, separated by commas, or all")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--threads", options->num_threads, "Threads (default: the hardware's)")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--runs", options->num_runs, "Runs to take the median of, after one to warm up")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  CLI::Option* verify = command->add_option(
      "--verify", options->answers,
      "Check the results against the answer files q1.out, … in a folder; without one, against the official "
      "answers where the data is of scale factor 1, and a plain computation");
  verify->expected(0, 1);
  command->add_option("--json", options->json, "File for the measurements, a line of JSON each");
  command->callback([options, verify] {
    options->verify = verify->count() > 0;
    run_queries(*options);
  });
}

}  // namespace weld::bench::tpch
