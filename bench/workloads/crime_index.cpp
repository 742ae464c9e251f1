#include <cmath>

#include "bench/workloads/native/tables.h"
#include "bench/workloads/tables.h"
#include "bench/workloads/workloads.h"
#include "runtime/abi.h"

namespace weld::bench::workloads {
namespace {

struct Cities {
  Column<double> inhabitants;
  Column<double> adults;
  Column<double> robberies;
  Column<std::int8_t> states;
  Column<double> sums;
  Column<std::int64_t> counts;
};

ir::Fragment index_by_state(const Cities& cities) {
  const Array inhabitants = input_array(cities.inhabitants, "inhabitants");
  const Array is_large = inhabitants > 500'000.0;
  const Array large = compress(inhabitants, is_large);
  const Array adults = compress(input_array(cities.adults, "adults"), is_large);
  const Array robberies = compress(input_array(cities.robberies, "robberies"), is_large);
  const Array states = compress(input_array(cities.states, "states"), is_large);

  const Array index = exp(large * 1e-7 + adults * 2e-7 - robberies * 2e-4);
  const Array normalised = index / max_of(index) * 0.05;
  const Array capped = where(normalised >= 0.02, 0.032, normalised);
  const Array bounded = where(capped < 0.01, 0.005, capped);
  return entries(group_sum({states}, bounded)).fragment();
}

}  // namespace

Prepared prepare_crime_index(double scale) {
  struct Entry {
    std::int8_t state;
    double sum;
  };
  const std::int64_t length = scaled(scale, 20'000'000);
  const RandomStream size(111);
  const RandomStream adult(112);
  const RandomStream robbery(113);
  const RandomStream state(114);
  const auto data = std::make_shared<Cities>();
  data->inhabitants = make_column<double>(length, [&](auto i) {  // 10,000 to 10 million
    return std::floor(1e4 * std::exp(size.unit(i) * 6.9));
  });
  data->adults = make_column<double>(
      length, [&](auto i) { return std::floor(data->inhabitants[i] * adult.uniform(i, 0.5, 0.8)); });
  data->robberies = make_column<double>(
      length, [&](auto i) { return std::floor(data->inhabitants[i] * robbery.uniform(i, 0.0, 0.002)); });
  data->states = make_column<std::int8_t>(length, [&](auto i) { return state.below(i, native::kStates); });
  data->sums = Column<double>(native::kStates);
  data->counts = Column<std::int64_t>(native::kStates);

  Prepared prepared;
  prepared.num_rows = length;
  prepared.num_bytes = 3 * data->inhabitants.num_bytes() + data->states.num_bytes();
  prepared.tolerance = 1e-9;
  prepared.program = index_by_state(*data);
  prepared.read = [](const codegen::Result& result) {
    const auto& view = *static_cast<const runtime::VecView*>(result.data());
    const std::span groups(reinterpret_cast<const Entry*>(view.data), static_cast<std::size_t>(view.length));
    Outcome outcome;
    std::vector<double> sums;
    for (const Entry& entry : groups) {
      outcome.keys.push_back(std::to_string(entry.state));
      sums.push_back(entry.sum);
    }
    outcome.add(std::move(sums));
    return outcome;
  };
  prepared.run_native = [data, length](int threads) {
    native::crime_index({length, data->inhabitants.data(), data->adults.data(), data->robberies.data(),
                         data->states.data(), data->sums.data(), data->counts.data()},
                        threads);
  };
  prepared.read_native = [data] {
    Outcome outcome;
    std::vector<double> sums;
    for (std::int64_t i = 0; i < native::kStates; ++i) {
      if (data->counts[i] == 0) continue;
      outcome.keys.push_back(std::to_string(i));
      sums.push_back(data->sums[i]);
    }
    outcome.add(std::move(sums));
    return outcome;
  };
  prepared.inputs = {plain_input("inhabitants", data->inhabitants), plain_input("adults", data->adults),
                     plain_input("robberies", data->robberies), plain_input("states", data->states)};
  return prepared;
}

}  // namespace weld::bench::workloads
