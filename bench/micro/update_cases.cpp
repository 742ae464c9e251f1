#include "bench/micro/case.h"
#include "bench/micro/data.h"
#include "bench/micro/native/vectors.h"
#include "runtime/abi.h"

namespace weld::bench::micro {
namespace {

using peers::ColumnView;
using peers::ElementType;

constexpr std::int64_t kRows = 50'000'000;
constexpr std::int64_t kBins = 256;
constexpr std::int64_t kPlaces = 100'000'000;

// What is compared of a vector that most systems give as pairs: the places of what is not 0, and that.
template <class T>
Digest digest_of_filled(const T* values, std::int64_t length) {
  std::vector<std::int64_t> places;
  std::vector<T> filled;
  for (std::int64_t i = 0; i < length; ++i) {
    if (values[i] == 0) continue;
    places.push_back(i);
    filled.push_back(values[i]);
  }
  const std::int64_t count = std::ssize(places);
  constexpr ElementType kType = std::same_as<T, double> ? ElementType::kF64 : ElementType::kI64;
  const ColumnView columns[] = {field_of(places.data(), sizeof(std::int64_t), 0, count, ElementType::kI64),
                                field_of(filled.data(), sizeof(T), 0, count, kType)};
  return digest_of(columns, RowOrder::kAny);
}

template <class T>
Digest read_filled(const codegen::Result& result) {
  const auto& vector = *static_cast<const runtime::VecView*>(result.data());
  return digest_of_filled(reinterpret_cast<const T*>(vector.data), vector.length);
}

Prepared prepare_histogram(double scale) {
  struct Data {
    Column<double> values;
    Column<std::int64_t> start;
    Column<std::int64_t> counts;
  };
  Prepared prepared;
  const auto data = std::make_shared<Data>();
  data->values = workloads::uniform_column(scaled(scale, kRows), 51, 0, 1);
  data->start = Column<std::int64_t>(kBins);
  data->counts = Column<std::int64_t>(kBins);
  prepared.num_rows = data->values.size();
  prepared.num_bytes = data->values.num_bytes();
  prepared.program =
      "|values: vec[f64], start: vec[i64]|\n"
      "  result(for(values, vecmerger[i64,+](start), |b, i, value| merge(b, {i64(value * 256.0), 1L})))";
  prepared.tables = {{"t", {{"k", view_of(data->values)}}}};
  add_argument(prepared, view_of(data->values));
  add_argument(prepared, view_of(data->start));
  prepared.run_native = [data](int threads) {
    native::histogram(data->values.size(), data->values.data(), data->counts.data(), threads);
  };
  prepared.read_native = [data] { return digest_of_filled(data->counts.data(), kBins); };
  prepared.read = read_filled<std::int64_t>;
  prepared.sql = "SELECT CAST(floor(k * 256) AS BIGINT) AS bin, count(*) FROM t GROUP BY bin";
  prepared.operation = "histogram";
  return prepared;
}

Prepared prepare_scatter(double scale) {
  struct Data {
    Column<std::int64_t> places;
    Column<double> values;
    Column<double> start;
    Column<double> result;
    Column<std::int64_t> length;  // one
    native::Scatter native;
  };
  Prepared prepared;
  const auto data = std::make_shared<Data>();
  const std::int64_t num_rows = scaled(scale, kRows);
  const std::int64_t num_places = scaled(scale, kPlaces);
  const RandomStream random(52);
  data->places = workloads::make_column<std::int64_t>(
      num_rows, [&](std::int64_t i) { return random.below(i, num_places); });
  data->values = small_values(num_rows, 53);
  data->start = workloads::make_column<double>(num_places, [](std::int64_t) { return 0; });
  data->result = Column<double>(num_places);
  data->length = Column<std::int64_t>(1);
  data->length[0] = num_places;
  prepared.num_rows = num_rows;
  prepared.num_bytes = data->places.num_bytes() + data->values.num_bytes() + 2 * data->start.num_bytes();
  prepared.program =
      "|places: vec[i64], values: vec[f64], start: vec[f64]|\n"
      "  result(for(zip(places, values), vecmerger[f64,+](start), |b, i, row| merge(b, row)))";
  prepared.tables = {{"t", {{"k", view_of(data->places)}, {"v", view_of(data->values)}}},
                     {"d", {{"length", view_of(data->length)}}}};
  add_argument(prepared, view_of(data->places));
  add_argument(prepared, view_of(data->values));
  add_argument(prepared, view_of(data->start));
  prepared.run_native = [data](int threads) {
    data->native.run(data->places.size(), data->places.data(), data->values.data(), data->start.size(),
                     data->start.data(), data->result.data(), threads);
  };
  prepared.read_native = [data] { return digest_of_filled(data->result.data(), data->result.size()); };
  prepared.read = read_filled<double>;
  prepared.sql = "SELECT k, sum(v) FROM t GROUP BY k";
  prepared.operation = "scatter";
  return prepared;
}

}  // namespace

std::vector<Case> update_cases() {
  return {
      {"histogram", "50 M f64 into 256 bins", {.peer = 1.5, .native = 0.9}, prepare_histogram},
      {"scatter", "50 M f64 added to random places of 100 M", {.peer = 1.5, .native = 0.9}, prepare_scatter}};
}

}  // namespace weld::bench::micro
