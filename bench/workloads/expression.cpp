#include "bench/workloads/native/native.h"
#include "bench/workloads/workloads.h"

namespace weld::bench::workloads {
namespace {

struct Data {
  Column<double> x;
  Column<double> y;
  Column<double> result;
  double sum = 0;
};

Array evaluate(const Array& x, const Array& y) {
  return ((x * x + 2.0 * x) - y) * (x - 0.5) + abs(y - x);
}

std::shared_ptr<Data> make_data(double scale, Prepared& prepared) {
  const std::int64_t length = scaled(scale, 50'000'000);
  auto data = std::make_shared<Data>();
  data->x = uniform_column(length, 21, -1.0, 1.0);
  data->y = uniform_column(length, 22, -1.0, 1.0);
  prepared.num_rows = length;
  prepared.num_bytes = 2 * data->x.num_bytes();
  prepared.inputs = {plain_input("x", data->x), plain_input("y", data->y)};
  return data;
}

}  // namespace

Prepared prepare_expression(double scale) {
  Prepared prepared;
  const auto data = make_data(scale, prepared);
  data->result = Column<double>(data->x.size());
  prepared.program = evaluate(input_array(data->x, "x"), input_array(data->y, "y")).fragment();
  prepared.read = read_arrays;
  prepared.run_native = [data](int threads) {
    native::expression(data->x.size(), data->x.data(), data->y.data(), data->result.data(), threads);
  };
  prepared.read_native = [data] { return Outcome{.columns = {data->result.view()}}; };
  return prepared;
}

Prepared prepare_expression_sum(double scale) {
  Prepared prepared;
  const auto data = make_data(scale, prepared);
  prepared.tolerance = 1e-9;  // numbers of both signs
  prepared.program = sum(evaluate(input_array(data->x, "x"), input_array(data->y, "y"))).fragment();
  prepared.read = read_scalars;
  prepared.run_native = [data](int threads) {
    data->sum = native::expression_sum(data->x.size(), data->x.data(), data->y.data(), threads);
  };
  prepared.read_native = [data] { return Outcome{.columns = {{&data->sum, 1}}}; };
  return prepared;
}

}  // namespace weld::bench::workloads
