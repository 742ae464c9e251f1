#include "bench/driver/benchmark.h"

#include <array>

namespace weld::bench {

std::span<const Benchmark> benchmarks() {
  static constexpr std::array kBenchmarks = {
      Benchmark{"tpch", "TPC-H queries beside DuckDB", run_tpch_benchmark},
      Benchmark{"workloads", "array and table computations beside C++ by hand and Python's libraries",
                run_workloads_benchmark},
      Benchmark{"micro",
                "groups, joins, sorts, filters and scatters beside C++ by hand, DuckDB, pandas and Polars",
                run_micro_benchmark},
      Benchmark{"parts", "compile time, run overhead, generator, reproducible reductions",
                run_parts_benchmark},
      Benchmark{"passes", "time of the optimiser, pass by pass, for programs of 10 to 10,000 fragments",
                run_passes_benchmark},
  };
  return kBenchmarks;
}

}  // namespace weld::bench
