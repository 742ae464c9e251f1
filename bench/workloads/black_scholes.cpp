#include "bench/workloads/native/native.h"
#include "bench/workloads/workloads.h"

namespace weld::bench::workloads {
namespace {

struct Options {
  Column<double> price;
  Column<double> strike;
  Column<double> maturity;
  Column<double> rate;
  Column<double> volatility;
  Column<double> call;
  Column<double> put;
};

ir::Fragment price_options(const Array& price, const Array& strike, const Array& maturity, const Array& rate,
                           const Array& volatility) {
  const Array deviation = volatility * sqrt(maturity);
  const Array d1 = (log(price / strike) + (rate + volatility * volatility * 0.5) * maturity) / deviation;
  const Array d2 = d1 - deviation;
  constexpr double kInverseRoot2 = 0.70710678118654752440;
  const Array n1 = erf(d1 * kInverseRoot2) * 0.5 + 0.5;
  const Array n2 = erf(d2 * kInverseRoot2) * 0.5 + 0.5;
  const Array discounted = exp(-rate * maturity) * strike;
  const Array call = price * n1 - discounted * n2;
  const Array put = discounted * (1.0 - n2) - price * (1.0 - n1);
  return bundle({call, put});
}

}  // namespace

Prepared prepare_black_scholes(double scale) {
  const std::int64_t length = scaled(scale, 10'000'000);
  const auto data = std::make_shared<Options>();
  data->price = uniform_column(length, 1, 10.0, 50.0);
  data->strike = uniform_column(length, 2, 10.0, 50.0);
  data->maturity = uniform_column(length, 3, 1.0, 2.0);
  data->rate = uniform_column(length, 4, 0.01, 0.1);
  data->volatility = uniform_column(length, 5, 0.2, 0.5);
  data->call = Column<double>(length);
  data->put = Column<double>(length);

  Prepared prepared;
  prepared.num_rows = length;
  prepared.num_bytes = 5 * data->price.num_bytes();
  prepared.program = price_options(input_array(data->price, "price"), input_array(data->strike, "strike"),
                                   input_array(data->maturity, "maturity"), input_array(data->rate, "rate"),
                                   input_array(data->volatility, "volatility"));
  prepared.read = read_arrays;
  prepared.run_native = [data, length](int threads) {
    native::black_scholes({length, data->price.data(), data->strike.data(), data->maturity.data(),
                           data->rate.data(), data->volatility.data(), data->call.data(), data->put.data()},
                          threads);
  };
  prepared.read_native = [data] { return Outcome{.columns = {data->call.view(), data->put.view()}}; };
  prepared.inputs = {plain_input("price", data->price), plain_input("strike", data->strike),
                     plain_input("maturity", data->maturity), plain_input("rate", data->rate),
                     plain_input("volatility", data->volatility)};
  return prepared;
}

}  // namespace weld::bench::workloads
