#include <numbers>

#include "bench/workloads/native/native.h"
#include "bench/workloads/workloads.h"

namespace weld::bench::workloads {
namespace {

constexpr double kLatitude = 0.70984286;  // radians
constexpr double kLongitude = -1.29044513;

struct Points {
  Column<double> latitudes;
  Column<double> longitudes;
  Column<double> miles;
};

Array distances(const Array& latitudes, const Array& longitudes) {
  constexpr double kEarthMiles = 3959.0;
  const Array s = sin((latitudes - kLatitude) / 2.0);
  const Array t = sin((longitudes - kLongitude) / 2.0);
  const Array a = s * s + cos(kLatitude) * cos(latitudes) * (t * t);
  return 2.0 * asin(sqrt(a)) * kEarthMiles;
}

}  // namespace

Prepared prepare_haversine(double scale) {
  constexpr double kPi = std::numbers::pi;
  const std::int64_t length = scaled(scale, 20'000'000);
  const auto data = std::make_shared<Points>();
  data->latitudes = uniform_column(length, 11, -kPi / 2, kPi / 2);
  data->longitudes = uniform_column(length, 12, -kPi, kPi);
  data->miles = Column<double>(length);

  Prepared prepared;
  prepared.num_rows = length;
  prepared.num_bytes = 2 * data->latitudes.num_bytes();
  prepared.program =
      distances(input_array(data->latitudes, "latitudes"), input_array(data->longitudes, "longitudes"))
          .fragment();
  prepared.read = read_arrays;
  prepared.run_native = [data, length](int threads) {
    native::haversine(length, data->latitudes.data(), data->longitudes.data(), kLatitude, kLongitude,
                      data->miles.data(), threads);
  };
  prepared.read_native = [data] { return Outcome{.columns = {data->miles.view()}}; };
  prepared.inputs = {plain_input("latitudes", data->latitudes), plain_input("longitudes", data->longitudes)};
  prepared.parameters = {{"latitude", kLatitude}, {"longitude", kLongitude}};
  return prepared;
}

}  // namespace weld::bench::workloads
