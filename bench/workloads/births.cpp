#include <algorithm>
#include <array>

#include "bench/workloads/native/tables.h"
#include "bench/workloads/strings.h"
#include "bench/workloads/tables.h"
#include "bench/workloads/workloads.h"
#include "runtime/abi.h"

namespace weld::bench::workloads {
namespace {

constexpr std::int64_t kFirstYear = 1880;
constexpr std::int64_t kYears = 140;

struct Births {
  StringColumn names;
  Column<std::int64_t> years;
  Column<std::int8_t> sexes;  // 0 or 1
  Column<std::int64_t> births;
  native::NameSums sums;
  Column<std::int64_t> pivot;  // of each year: both sexes
};

// Some thousand names of three to nine letters, a few of which begin with "Lesl".
std::vector<std::string> make_names() {
  constexpr std::int64_t kNames = 20'000;
  constexpr std::array<std::string_view, 5> kLeslie = {"Leslie", "Lesley", "Lesly", "Leslee", "Leslieann"};
  const RandomStream random(81);
  std::vector<std::string> names(kLeslie.begin(), kLeslie.end());
  std::int64_t next = 0;
  while (std::ssize(names) < kNames) {
    std::string name;
    const std::int64_t length = 3 + random.below(next++, 7);
    for (std::int64_t k = 0; k < length; ++k)
      name += static_cast<char>((k == 0 ? 'A' : 'a') + random.below(next++, 26));
    names.push_back(name);
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  return names;
}

std::shared_ptr<Births> make_births(double scale, Prepared& prepared) {
  const std::int64_t length = scaled(scale, 10'000'000);
  const std::vector<std::string> names = make_names();
  const RandomStream name(82);
  const RandomStream year(83);
  const RandomStream sex(84);
  const RandomStream number(85);
  auto data = std::make_shared<Births>();
  data->names = make_strings(length, [&](std::int64_t i) -> std::string_view {
    const double u = name.unit(i);  // names are popular to different degrees
    return names[static_cast<std::size_t>(u * u * static_cast<double>(names.size()))];
  });
  data->years = make_column<std::int64_t>(length, [&](auto i) { return kFirstYear + year.below(i, kYears); });
  data->sexes = make_column<std::int8_t>(length, [&](auto i) { return sex.below(i, 2); });
  data->births = make_column<std::int64_t>(length, [&](auto i) { return 5 + number.below(i, 1000); });
  data->pivot = Column<std::int64_t>(2 * kYears);
  prepared.num_rows = length;
  prepared.tolerance = 0;
  return data;
}

void add_pivot_inputs(Prepared& prepared, const Births& data) {
  prepared.inputs.push_back(plain_input("years", data.years));
  prepared.inputs.push_back(plain_input("sexes", data.sexes));
  prepared.inputs.push_back(plain_input("births", data.births));
}

Outcome read_pivot(const codegen::Result& result) {
  const auto* views = static_cast<const runtime::VecView*>(result.data());
  Outcome outcome;
  for (int column = 0; column < 3; ++column) {
    const auto* values = reinterpret_cast<const std::int64_t*>(views[column].data);
    outcome.add({values, values + views[column].length});
  }
  return outcome;
}

Outcome read_native_pivot(const Births& data) {
  std::array<std::vector<double>, 3> columns;
  for (std::int64_t year = 0; year < kYears; ++year) {
    const std::int64_t* const sums = &data.pivot[2 * year];
    if (sums[0] + sums[1] == 0) continue;
    columns[0].push_back(static_cast<double>(kFirstYear + year));
    columns[1].push_back(static_cast<double>(sums[0]));
    columns[2].push_back(static_cast<double>(sums[1]));
  }
  Outcome outcome;
  for (std::vector<double>& column : columns) outcome.add(std::move(column));
  return outcome;
}

}  // namespace

Prepared prepare_births_group(double scale) {
  struct Entry {
    native::String name;
    std::int64_t births;
  };
  Prepared prepared;
  const auto data = make_births(scale, prepared);
  prepared.num_bytes = data->names.num_bytes() + data->births.num_bytes();
  prepared.program =
      entries(group_sum({input_strings(data->names, "names")}, input_array(data->births, "births")))
          .fragment();
  prepared.read = [](const codegen::Result& result) {
    const auto& view = *static_cast<const runtime::VecView*>(result.data());
    const std::span groups(reinterpret_cast<const Entry*>(view.data), static_cast<std::size_t>(view.length));
    Outcome outcome;
    std::vector<double> sums;
    for (const Entry& entry : groups) {
      outcome.keys.emplace_back(entry.name.view());
      sums.push_back(static_cast<double>(entry.births));
    }
    outcome.add(std::move(sums));
    return outcome;
  };
  prepared.run_native = [data](int threads) {
    native::births_by_name({data->names.strings.data(), data->births.data(), data->births.size()}, data->sums,
                           threads);
  };
  prepared.read_native = [data] {
    Outcome outcome;
    for (const native::String name : data->sums.names) outcome.keys.emplace_back(name.view());
    outcome.add({data->sums.sums.begin(), data->sums.sums.end()});
    return outcome;
  };
  add_inputs(prepared, "names", data->names);
  prepared.inputs.push_back(plain_input("births", data->births));
  return prepared;
}

Prepared prepare_births_pivot_names(double scale) {
  Prepared prepared;
  const auto data = make_births(scale, prepared);
  prepared.num_bytes = data->names.num_bytes();
  const Array mask = starts_with(input_strings(data->names, "names"), "Lesl");
  const Array years = compress(input_array(data->years, "years"), mask);
  const Array sexes = compress(input_array(data->sexes, "sexes"), mask);
  const Array births = compress(input_array(data->births, "births"), mask);
  prepared.program = unstack(group_sum({years, sexes}, births), {0, 1});
  prepared.read = read_pivot;
  prepared.run_native = [data](int threads) {
    native::pivot_births({data->names.strings.data(), "Lesl", data->years.data(), data->sexes.data(),
                          data->births.data(), data->births.size(), kFirstYear, kYears, data->pivot.data()},
                         threads);
  };
  prepared.read_native = [data] { return read_native_pivot(*data); };
  add_inputs(prepared, "names", data->names);
  add_pivot_inputs(prepared, *data);
  return prepared;
}

Prepared prepare_births_pivot(double scale) {
  Prepared prepared;
  const auto data = make_births(scale, prepared);
  prepared.num_bytes = data->years.num_bytes() + data->sexes.num_bytes() + data->births.num_bytes();
  prepared.program = unstack(group_sum({input_array(data->years, "years"), input_array(data->sexes, "sexes")},
                                       input_array(data->births, "births")),
                             {0, 1});
  prepared.read = read_pivot;
  prepared.run_native = [data](int threads) {
    native::pivot_births({nullptr, "", data->years.data(), data->sexes.data(), data->births.data(),
                          data->births.size(), kFirstYear, kYears, data->pivot.data()},
                         threads);
  };
  prepared.read_native = [data] { return read_native_pivot(*data); };
  add_pivot_inputs(prepared, *data);
  return prepared;
}

}  // namespace weld::bench::workloads
