#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/report/measurement.h"

namespace weld::bench {

struct BenchmarkOptions {
  double scale_factor = 1;  ///< of TPC-H
  int runs = 11;            ///< to take the median of
  // Of the benchmarks `workloads` and `micro`:
  double scale = 1;                   ///< multiplies the rows
  std::vector<std::string> only;      ///< names, or how they begin; empty: all
  std::vector<int> threads = {1, 2};  ///< numbers of them
  std::vector<std::string> systems;   ///< `weld`, `native`, `ablation` and peers; empty: all
  std::vector<std::string> passes;    ///< for weld, in the place of the default ones; empty: these
  std::string programs;               ///< a folder for their texts, which are then written and not run
};

/// What a benchmark found: every figure, and tables for people that set them side by side.
struct Report {
  std::vector<Measurement> measurements;
  std::string text;
  std::vector<std::string> failures;  ///< what did not run, or gave a wrong result
};

/// A benchmark that can be asked for by name.
struct Benchmark {
  std::string_view name;
  std::string_view summary;
  Report (*run)(const BenchmarkOptions& options);
};

/// All there are, in the order in which they run.
std::span<const Benchmark> benchmarks();

/// TPC-H's queries at 1 and 2 threads, beside DuckDB where it is installed (bench/peers), and the bandwidth
/// of memory. Runs of the two alternate, so that a change of the machine's speed meets both.
Report run_tpch_benchmark(const BenchmarkOptions& options);

/// Single operations on single distributions of data, beside C++ written by hand, DuckDB, pandas and Polars
/// (runs alternate), with the ratios that are asked for.
Report run_micro_benchmark(const BenchmarkOptions& options);

/// What single parts cost: compiling, starting a run, generating data, reproducible reductions.
Report run_parts_benchmark(const BenchmarkOptions& options);

/// What our passes take, without LLVM, for a chain of element-wise operations and for columns of a table.
Report run_passes_benchmark(const BenchmarkOptions& options);

/// Computations on arrays and tables, emitted as a library would emit them, beside C++ written by hand and
/// Python's libraries (runs alternate), and what single passes contribute.
Report run_workloads_benchmark(const BenchmarkOptions& options);

}  // namespace weld::bench
