#include "bench/workloads/native/native.h"
#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {
namespace {

constexpr int kVectors = 4;  // go through each function together: their calls overlap
using Vectors = Vector[kVectors];

struct Inputs {
  Vectors price;
  Vectors strike;
  Vectors maturity;
  Vectors rate;
  Vectors volatility;
};

struct Prices {
  Vectors call;
  Vectors put;
};

void price_options(const Inputs& in, Prices& prices) {
  constexpr double kInverseRoot2 = 0.70710678118654752440;
  Vectors deviation;
  Vectors d1;
  Vectors n1;
  Vectors n2;
  Vectors discounted;
  for (int k = 0; k < kVectors; ++k) deviation[k] = in.volatility[k] * sqrt_of(in.maturity[k]);
  for (int k = 0; k < kVectors; ++k) d1[k] = log_of(in.price[k] / in.strike[k]);
  for (int k = 0; k < kVectors; ++k) {
    const Vector drift = in.rate[k] + in.volatility[k] * in.volatility[k] * 0.5;
    d1[k] = (d1[k] + drift * in.maturity[k]) / deviation[k];
  }
  for (int k = 0; k < kVectors; ++k) n1[k] = erf_of(d1[k] * kInverseRoot2);
  for (int k = 0; k < kVectors; ++k) n2[k] = erf_of((d1[k] - deviation[k]) * kInverseRoot2);
  for (int k = 0; k < kVectors; ++k) discounted[k] = exp_of(-in.rate[k] * in.maturity[k]);
  for (int k = 0; k < kVectors; ++k) {
    n1[k] = n1[k] * 0.5 + 0.5;
    n2[k] = n2[k] * 0.5 + 0.5;
    discounted[k] *= in.strike[k];
    prices.call[k] = in.price[k] * n1[k] - discounted[k] * n2[k];
    prices.put[k] = discounted[k] * (1.0 - n2[k]) - in.price[k] * (1.0 - n1[k]);
  }
}

}  // namespace

void black_scholes(const BlackScholes& data, int threads) {
  for_each_part(data.length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
    Inputs in;
    Prices prices;
    std::int64_t i = begin;
    for (; i + kVectors * kLanes <= end; i += kVectors * kLanes) {
      for (int k = 0; k < kVectors; ++k) {
        const std::int64_t place = i + k * kLanes;
        in.price[k] = load_ahead(data.price + place);
        in.strike[k] = load_ahead(data.strike + place);
        in.maturity[k] = load_ahead(data.maturity + place);
        in.rate[k] = load_ahead(data.rate + place);
        in.volatility[k] = load_ahead(data.volatility + place);
      }
      price_options(in, prices);
      for (int k = 0; k < kVectors; ++k) {
        stream(data.call + i + k * kLanes, prices.call[k]);
        stream(data.put + i + k * kLanes, prices.put[k]);
      }
    }
    end_streaming();
    for (; i < end; i += kLanes) {
      const std::int64_t count = end - i < kLanes ? end - i : kLanes;
      for (int k = 0; k < kVectors; ++k) {
        in.price[k] = load_first(data.price + i, count, 1.0);
        in.strike[k] = load_first(data.strike + i, count, 1.0);
        in.maturity[k] = load_first(data.maturity + i, count, 1.0);
        in.rate[k] = load_first(data.rate + i, count, 1.0);
        in.volatility[k] = load_first(data.volatility + i, count, 1.0);
      }
      price_options(in, prices);
      store_first(data.call + i, prices.call[0], count);
      store_first(data.put + i, prices.put[0], count);
    }
  });
}

}  // namespace weld::bench::workloads::native
