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

}  // namespace weld::bench::workloads::native
