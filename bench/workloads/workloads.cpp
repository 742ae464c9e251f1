#include "bench/workloads/workloads.h"

#include <array>

namespace weld::bench::workloads {

std::span<const Workload> all_workloads() {
  using enum Kind;
  static constexpr std::array kWorkloads = {
      Workload{"black_scholes", "Black-Scholes, 10 M options, call and put", kArray, "black_scholes",
               prepare_black_scholes},
      Workload{"haversine", "haversine, 20 M points", kArray, "haversine", prepare_haversine},
      Workload{"expression", "fused expression, 50 M, to an array", kArray, "expression", prepare_expression},
      Workload{"expression_sum", "fused expression, 50 M, summed", kArray, "expression_sum",
               prepare_expression_sum},
      Workload{"filtered_sum_1", "filtered sum of products, 60 M, 1 % pass", kArray, "filtered_sum",
               prepare_filtered_sum_1},
      Workload{"filtered_sum_50", "filtered sum of products, 60 M, 50 % pass", kArray, "filtered_sum",
               prepare_filtered_sum_50},
      Workload{"filtered_sum_99", "filtered sum of products, 60 M, 99 % pass", kArray, "filtered_sum",
               prepare_filtered_sum_99},
      Workload{"nbody", "n-body forces, 4,000 bodies, one step", kArray, "nbody", prepare_nbody},
      Workload{"logistic", "whitening 100k x 784 and one logistic gradient", kArray, "logistic",
               prepare_logistic},
      Workload{"pagerank", "PageRank, 1 M nodes, 16 M edges, 10 iterations", kArray, "pagerank",
               prepare_pagerank},
      Workload{"chain", "200 element-wise operations on 50 M elements", kArray, "chain", prepare_chain},
      Workload{"births_group", "births: group 10 M rows by name", kTable, "births_group",
               prepare_births_group},
      Workload{"births_pivot_names", "births: names that start with \"Lesl\", pivot year x sex", kTable,
               "births_pivot_names", prepare_births_pivot_names},
      Workload{"births_pivot", "births: pivot all", kTable, "births_pivot", prepare_births_pivot},
      Workload{"ratings_1", "ratings: join of 3 tables and group mean, 1 M", kTable, "ratings",
               prepare_ratings_1},
      Workload{"ratings_20", "ratings: join of 3 tables and group mean, 20 M", kTable, "ratings",
               prepare_ratings_20},
      Workload{"zip_codes", "clean 10 M zip codes, then unique", kTable, "zip_codes", prepare_zip_codes},
      Workload{"crime_index", "crime index of 20 M cities, grouped by state", kTable, "crime_index",
               prepare_crime_index},
  };
  return kWorkloads;
}

}  // namespace weld::bench::workloads
