#include "bench/workloads/native/native.h"
#include "bench/workloads/workloads.h"

namespace weld::bench::workloads {
namespace {

constexpr std::int64_t kColumns = 784;

struct Data {
  Column<double> matrix;  // row by row
  Column<double> labels;
  Column<double> weights;
  Column<double> gradient;
};

// The gradient of the logistic loss over rows that were brought to mean 0 and deviation 1 a column.
Array whitened_gradient(const Array& flat, const Array& labels, const Array& weights, std::int64_t num_rows) {
  const double rows = static_cast<double>(num_rows);
  const Array matrix = as_rows(flat, num_rows, kColumns);
  const Array mean = sum_columns(matrix, kColumns) / rows;
  const Array centred = matrix - mean;
  const Array deviation = sqrt(sum_columns(centred * centred, kColumns) / rows);
  const Array whitened = centred * (1.0 / deviation);
  const Array chance = 1.0 / (1.0 + exp(-matrix_vector(whitened, weights)));
  return vector_matrix(chance - labels, whitened, kColumns) / rows;
}

}  // namespace

Prepared prepare_logistic(double scale) {
  const std::int64_t num_rows = scaled(scale, 100'000);
  const auto data = std::make_shared<Data>();
  const RandomStream random(51);
  data->matrix = make_column<double>(num_rows * kColumns, [&](std::int64_t i) {
    const auto column = static_cast<double>(i % kColumns);
    return random.uniform(i, 0.0, 1.0 + 0.01 * column) + 0.1 * column;
  });
  const RandomStream coin(52);
  data->labels = make_column<double>(num_rows, [&](std::int64_t i) { return coin.below(i, 2); });
  data->weights = uniform_column(kColumns, 53, -0.1, 0.1);
  data->gradient = Column<double>(kColumns);

  Prepared prepared;
  prepared.num_rows = num_rows;
  prepared.num_bytes = data->matrix.num_bytes();
  prepared.tolerance = 1e-8;
  prepared.program =
      whitened_gradient(input_array(data->matrix, "matrix"), input_array(data->labels, "labels"),
                        input_array(data->weights, "weights"), num_rows)
          .fragment();
  prepared.read = read_arrays;
  prepared.run_native = [data, num_rows](int threads) {
    native::logistic({num_rows, kColumns, data->matrix.data(), data->labels.data(), data->weights.data(),
                      data->gradient.data()},
                     threads);
  };
  prepared.read_native = [data] { return Outcome{.columns = {data->gradient.view()}}; };
  prepared.inputs = {plain_input("matrix", data->matrix), plain_input("labels", data->labels),
                     plain_input("weights", data->weights)};
  prepared.parameters = {{"columns", kColumns}};
  return prepared;
}

}  // namespace weld::bench::workloads
