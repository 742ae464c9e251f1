#include "bench/workloads/native/native.h"
#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {
namespace {

struct Prices {
  Vector call;
  Vector put;
};

inline Prices price_options(Vector price, Vector strike, Vector maturity, Vector rate, Vector volatility) {
  const Vector deviation = volatility * sqrt_of(maturity);
  const Vector d1 = (log_of(price / strike) + (rate + volatility * volatility * 0.5) * maturity) / deviation;
  const Vector d2 = d1 - deviation;
  constexpr double kInverseRoot2 = 0.70710678118654752440;
  const Vector n1 = erf_of(d1 * kInverseRoot2) * 0.5 + 0.5;
  const Vector n2 = erf_of(d2 * kInverseRoot2) * 0.5 + 0.5;
  const Vector discounted = exp_of(-rate * maturity) * strike;
  return {price * n1 - discounted * n2, discounted * (1.0 - n2) - price * (1.0 - n1)};
}

}  // namespace

void black_scholes(const BlackScholes& data, int threads) {
  for_each_part(data.length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      const Prices prices =
          price_options(load(data.price + i), load(data.strike + i), load(data.maturity + i),
                        load(data.rate + i), load(data.volatility + i));
      stream(data.call + i, prices.call);
      stream(data.put + i, prices.put);
    }
    if (i < end) {
      const auto rest = [&](const double* values) { return load_first(values + i, end - i, 1.0); };
      const Prices prices = price_options(rest(data.price), rest(data.strike), rest(data.maturity),
                                          rest(data.rate), rest(data.volatility));
      store_first(data.call + i, prices.call, end - i);
      store_first(data.put + i, prices.put, end - i);
    }
    end_streaming();
  });
}

}  // namespace weld::bench::workloads::native
