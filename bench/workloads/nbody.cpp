#include "bench/workloads/native/native.h"
#include "bench/workloads/workloads.h"

namespace weld::bench::workloads {
namespace {

constexpr double kSoftening = 1e-4;  // added to squared distances

struct Bodies {
  Column<double> x;
  Column<double> y;
  Column<double> z;
  Column<double> mass;
  Column<double> force_x;
  Column<double> force_y;
  Column<double> force_z;
};

ir::Fragment forces(const Array& x, const Array& y, const Array& z, const Array& mass) {
  const Array dx = outer_subtract(x, x);
  const Array dy = outer_subtract(y, y);
  const Array dz = outer_subtract(z, z);
  const Array squared = dx * dx + dy * dy + dz * dz + kSoftening;
  const Array weight = mass / (squared * sqrt(squared));
  return bundle(
      {-mass * sum_rows(dx * weight), -mass * sum_rows(dy * weight), -mass * sum_rows(dz * weight)});
}

}  // namespace

Prepared prepare_nbody(double scale) {
  const std::int64_t length = scaled(scale, 4'000);
  const auto data = std::make_shared<Bodies>();
  data->x = uniform_column(length, 41, -1.0, 1.0);
  data->y = uniform_column(length, 42, -1.0, 1.0);
  data->z = uniform_column(length, 43, -1.0, 1.0);
  data->mass = uniform_column(length, 44, 0.5, 1.5);
  data->force_x = Column<double>(length);
  data->force_y = Column<double>(length);
  data->force_z = Column<double>(length);

  Prepared prepared;
  prepared.num_rows = length;
  prepared.num_bytes = 4 * data->x.num_bytes();
  prepared.tolerance = 1e-10;
  prepared.program = forces(input_array(data->x, "x"), input_array(data->y, "y"), input_array(data->z, "z"),
                            input_array(data->mass, "mass"));
  prepared.read = read_arrays;
  prepared.run_native = [data, length](int threads) {
    native::nbody({length, kSoftening, data->x.data(), data->y.data(), data->z.data(), data->mass.data(),
                   data->force_x.data(), data->force_y.data(), data->force_z.data()},
                  threads);
  };
  prepared.read_native = [data] {
    return Outcome{.columns = {data->force_x.view(), data->force_y.view(), data->force_z.view()}};
  };
  prepared.inputs = {plain_input("x", data->x), plain_input("y", data->y), plain_input("z", data->z),
                     plain_input("mass", data->mass)};
  prepared.parameters = {{"softening", kSoftening}};
  return prepared;
}

}  // namespace weld::bench::workloads
