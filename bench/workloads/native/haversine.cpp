#include <cmath>

#include "bench/workloads/native/native.h"
#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {

void haversine(std::int64_t length, const double* latitudes, const double* longitudes, double latitude,
               double longitude, double* miles, int threads) {
  constexpr double kEarthMiles = 3959.0;
  constexpr int kVectors = 4;  // go through each function together: their calls overlap
  const double cosine = std::cos(latitude);
  const auto distances = [&](const Vector(&lat)[kVectors], const Vector(&lon)[kVectors],
                             Vector(&result)[kVectors]) {
    Vector s[kVectors];
    Vector t[kVectors];
    for (int k = 0; k < kVectors; ++k) s[k] = sin_of((lat[k] - latitude) * 0.5);
    for (int k = 0; k < kVectors; ++k) t[k] = sin_of((lon[k] - longitude) * 0.5);
    for (int k = 0; k < kVectors; ++k) {
      result[k] = sqrt_of(s[k] * s[k] + cosine * cos_of(lat[k]) * (t[k] * t[k]));
    }
    for (int k = 0; k < kVectors; ++k) result[k] = asin_of(result[k]) * (2.0 * kEarthMiles);
  };
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
    Vector lat[kVectors] = {};
    Vector lon[kVectors] = {};
    Vector result[kVectors];
    std::int64_t i = begin;
    for (; i + kVectors * kLanes <= end; i += kVectors * kLanes) {
      for (int k = 0; k < kVectors; ++k) {
        lat[k] = load_ahead(latitudes + i + k * kLanes);
        lon[k] = load_ahead(longitudes + i + k * kLanes);
      }
      distances(lat, lon, result);
      for (int k = 0; k < kVectors; ++k) stream(miles + i + k * kLanes, result[k]);
    }
    end_streaming();
    for (; i < end; i += kLanes) {
      const std::int64_t count = end - i < kLanes ? end - i : kLanes;
      lat[0] = load_first(latitudes + i, count, 0.0);
      lon[0] = load_first(longitudes + i, count, 0.0);
      distances(lat, lon, result);
      store_first(miles + i, result[0], count);
    }
  });
}

}  // namespace weld::bench::workloads::native
