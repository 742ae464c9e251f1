#pragma once

#include "bench/workloads/workload.h"

namespace weld::bench::workloads {

// The workloads, each in the file of its name. Their data come from a fixed seed.

Prepared prepare_black_scholes(double scale);
Prepared prepare_haversine(double scale);
Prepared prepare_expression(double scale);
Prepared prepare_expression_sum(double scale);
Prepared prepare_filtered_sum_1(double scale);
Prepared prepare_filtered_sum_50(double scale);
Prepared prepare_filtered_sum_99(double scale);
Prepared prepare_nbody(double scale);
Prepared prepare_logistic(double scale);
Prepared prepare_chain(double scale);
Prepared prepare_pagerank(double scale);

Prepared prepare_births_group(double scale);
Prepared prepare_births_pivot_names(double scale);
Prepared prepare_births_pivot(double scale);
Prepared prepare_ratings_1(double scale);
Prepared prepare_ratings_20(double scale);
Prepared prepare_zip_codes(double scale);
Prepared prepare_crime_index(double scale);

}  // namespace weld::bench::workloads
