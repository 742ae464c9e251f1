#pragma once

#include <cstdint>

namespace weld::bench::workloads::native {

// The workloads by hand, the standard that compiled programs are to meet: explicit vectors, SLEEF's vector
// functions, one pass over memory, outputs that bypass the cache where they are larger than it. Each works
// with `threads` threads, and is compiled for the machine at hand. Nothing is allocated in a run that
// depends on the number of rows.

/// Prices of European options; all arrays have `length` elements.
struct BlackScholes {
  std::int64_t length;
  const double* price;
  const double* strike;
  const double* maturity;
  const double* rate;
  const double* volatility;
  double* call;
  double* put;
};
void black_scholes(const BlackScholes& data, int threads);

/// Great-circle distances, in miles, of points in radians from (latitude, longitude).
void haversine(std::int64_t length, const double* latitudes, const double* longitudes, double latitude,
               double longitude, double* miles, int threads);

/// ((x * x + 2 * x) - y) * (x - 0.5) + abs(y - x) for each element.
void expression(std::int64_t length, const double* x, const double* y, double* result, int threads);
/// The sum of these.
double expression_sum(std::int64_t length, const double* x, const double* y, int threads);

/// The sum of x * y over the elements where x is below the limit.
double filtered_sum(std::int64_t length, const double* x, const double* y, double limit, int threads);

/// Gravitational forces, squared distances increased by the softening; all arrays have `length` elements.
struct Bodies {
  std::int64_t length;
  double softening;
  const double* x;
  const double* y;
  const double* z;
  const double* mass;
  double* force_x;
  double* force_y;
  double* force_z;
};
void nbody(const Bodies& bodies, int threads);

/// The gradient of the logistic loss, one value a column, over the rows of a matrix whose columns were
/// brought to mean 0 and standard deviation 1.
struct Logistic {
  std::int64_t num_rows;
  std::int64_t num_columns;
  const double* matrix;   ///< row by row
  const double* labels;   ///< 0 or 1 for each row
  const double* weights;  ///< of columns
  double* gradient;
};
void logistic(const Logistic& data, int threads);

/// In each round: the absolute value of the product with its factor, plus x, minus its offset.
void chain(std::int64_t length, const double* x, std::int64_t rounds, const double* factors,
           const double* offsets, double* result, int threads);

/// Ranks of nodes whose edges are listed by their targets: those of node i come from `sources[first[i]]` up
/// to `sources[first[i + 1] - 1]`.
struct PageRank {
  std::int64_t num_nodes;
  const std::int64_t* first;
  const std::int32_t* sources;
  const double* out_degree;
  const double* initial;
  double damping;
  int iterations;
  double* rank;
  double* shares;  ///< for the time of the call
};
void pagerank(const PageRank& data, int threads);

}  // namespace weld::bench::workloads::native
