#include <cmath>

#include "bench/workloads/native/native.h"
#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {

void haversine(std::int64_t length, const double* latitudes, const double* longitudes, double latitude,
               double longitude, double* miles, int threads) {
  constexpr double kEarthMiles = 3959.0;
  const double cosine = std::cos(latitude);
  const auto distance = [&](Vector lat, Vector lon) {
    const Vector s = sin_of((lat - latitude) * 0.5);
    const Vector t = sin_of((lon - longitude) * 0.5);
    const Vector a = s * s + cosine * cos_of(lat) * (t * t);
    return asin_of(sqrt_of(a)) * (2.0 * kEarthMiles);
  };
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes)
      stream(miles + i, distance(load(latitudes + i), load(longitudes + i)));
    if (i < end) {
      const Vector rest =
          distance(load_first(latitudes + i, end - i, 0.0), load_first(longitudes + i, end - i, 0.0));
      store_first(miles + i, rest, end - i);
    }
    end_streaming();
  });
}

}  // namespace weld::bench::workloads::native
