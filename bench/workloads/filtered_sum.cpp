#include "bench/workloads/native/native.h"
#include "bench/workloads/workloads.h"

namespace weld::bench::workloads {
namespace {

struct Data {
  Column<double> x;
  Column<double> y;
  double sum = 0;
};

// The values of `x` lie in [0, 1), so the limit is the share of rows that pass.
Prepared prepare(double scale, double limit) {
  const std::int64_t length = scaled(scale, 60'000'000);
  const auto data = std::make_shared<Data>();
  data->x = uniform_column(length, 31, 0.0, 1.0);
  data->y = uniform_column(length, 32, 0.0, 1.0);

  Prepared prepared;
  prepared.num_rows = length;
  prepared.num_bytes = 2 * data->x.num_bytes();
  const Array x = input_array(data->x, "x");
  const Array y = input_array(data->y, "y");
  const Array mask = x < limit;
  prepared.program = sum(compress(x, mask) * compress(y, mask)).fragment();
  prepared.read = read_scalars;
  prepared.run_native = [data, limit](int threads) {
    data->sum = native::filtered_sum(data->x.size(), data->x.data(), data->y.data(), limit, threads);
  };
  prepared.read_native = [data] { return Outcome{.columns = {{&data->sum, 1}}}; };
  prepared.inputs = {plain_input("x", data->x), plain_input("y", data->y)};
  prepared.parameters = {{"limit", limit}};
  return prepared;
}

}  // namespace

Prepared prepare_filtered_sum_1(double scale) {
  return prepare(scale, 0.01);
}
Prepared prepare_filtered_sum_50(double scale) {
  return prepare(scale, 0.5);
}
Prepared prepare_filtered_sum_99(double scale) {
  return prepare(scale, 0.99);
}

}  // namespace weld::bench::workloads
