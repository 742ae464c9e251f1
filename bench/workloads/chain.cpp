#include "bench/workloads/native/native.h"
#include "bench/workloads/workloads.h"

namespace weld::bench::workloads {
namespace {

constexpr std::int64_t kRounds = 50;  // of four operations

struct Data {
  Column<double> x;
  Column<double> factors;
  Column<double> offsets;
  Column<double> result;
};

}  // namespace

Prepared prepare_chain(double scale) {
  const std::int64_t length = scaled(scale, 50'000'000);
  const auto data = std::make_shared<Data>();
  data->x = uniform_column(length, 61, -1.0, 1.0);
  data->factors = uniform_column(kRounds, 62, 0.5, 0.9);
  data->offsets = uniform_column(kRounds, 63, 0.1, 0.4);
  data->result = Column<double>(length);

  Prepared prepared;
  prepared.num_rows = length;
  prepared.num_bytes = data->x.num_bytes();
  const Array x = input_array(data->x, "x");
  Array value = x;
  for (std::int64_t round = 0; round < kRounds; ++round) {
    value = value * data->factors[round];
    value = abs(value);
    value = value + x;
    value = value - data->offsets[round];
  }
  prepared.program = value.fragment();
  prepared.read = read_arrays;
  prepared.run_native = [data](int threads) {
    native::chain(data->x.size(), data->x.data(), kRounds, data->factors.data(), data->offsets.data(),
                  data->result.data(), threads);
  };
  prepared.read_native = [data] { return Outcome{.columns = {data->result.view()}}; };
  prepared.inputs = {plain_input("x", data->x), plain_input("factors", data->factors),
                     plain_input("offsets", data->offsets)};
  return prepared;
}

}  // namespace weld::bench::workloads
