#include <fmt/format.h>

#include "bench/micro/case.h"
#include "bench/micro/data.h"
#include "bench/micro/native/vectors.h"

namespace weld::bench::micro {
namespace {

constexpr std::int64_t kRows = 50'000'000;

enum class Output { kVector, kSum };

struct FilterShape {
  Output output;
  double first_share = 0;  ///< of the values that pass where the data begins
  double last_share = 0;   ///< and where it ends
};

struct Values {
  Column<double> keys;
  Column<double> limit;  // one
  Column<double> result;
  std::int64_t num_results = 0;
  double sum = 0;
};

// Multiples of 2^-20 in [0, 1), whose sums are exact. A share of them is below 1/2, each half uniform.
Column<double> make_values(const FilterShape& shape, std::int64_t length) {
  const RandomStream half(41);
  const RandomStream random(42);
  return workloads::make_column<double>(length, [&](std::int64_t i) {
    const double along = static_cast<double>(i) / static_cast<double>(length);
    const double share = shape.first_share + (shape.last_share - shape.first_share) * along;
    const double value = static_cast<double>(random.bits(i) >> 45) * 0x1p-20;
    return half.unit(i) < share ? value : value + 0.5;
  });
}

std::string program_of(Output output, std::string_view annotation) {
  return fmt::format(
      "|keys: vec[f64], limit: f64|\n"
      "  result(for(keys, {}, |b, i, key| {}if(key < limit, merge(b, key), b)))",
      output == Output::kVector ? "appender[f64]" : "merger[f64,+]", annotation);
}

Prepared prepare(const FilterShape& shape, double scale) {
  Prepared prepared;
  const auto values = std::make_shared<Values>();
  values->keys = make_values(shape, scaled(scale, kRows));
  values->limit = Column<double>(1);
  values->limit[0] = 0.5;
  const std::int64_t length = values->keys.size();
  const double share = (shape.first_share + shape.last_share) / 2;
  const bool is_vector = shape.output == Output::kVector;
  prepared.num_rows = length;
  prepared.num_bytes = values->keys.num_bytes();
  prepared.order = shape.output == Output::kVector ? RowOrder::kAsIs : RowOrder::kAny;
  prepared.program = program_of(shape.output, "");
  prepared.fixed_variants = {{"branch", program_of(shape.output, "@(predicate:false)")},
                             {"select", program_of(shape.output, "@(predicate:true)")}};
  prepared.tables = {{"t", {{"k", view_of(values->keys)}}}, {"d", {{"bound", view_of(values->limit)}}}};
  add_argument(prepared, view_of(values->keys));
  add_argument(prepared, values->limit[0]);
  if (is_vector) {
    prepared.num_bytes += std::llround(static_cast<double>(prepared.num_bytes) * share);
    values->result = Column<double>(length + 8);
    prepared.run_native = [values, length](int threads) {
      values->num_results =
          native::filter(length, values->keys.data(), values->limit[0], values->result.data(), threads);
    };
    prepared.read_native = [values] {
      peers::ColumnView column = view_of(values->result);
      column.length = values->num_results;
      return digest_of({&column, 1}, RowOrder::kAsIs);
    };
    prepared.read = [](const codegen::Result& result) {
      return read_vector(result, peers::ElementType::kF64, RowOrder::kAsIs);
    };
  } else {
    prepared.run_native = [values, length](int threads) {
      values->sum = native::filter_sum(length, values->keys.data(), values->limit[0], threads);
    };
    prepared.read_native = [values] { return digest_of_number(values->sum); };
    prepared.read = read_number;
  }
  prepared.sql =
      is_vector ? "SELECT k FROM t WHERE k < 0.5::DOUBLE" : "SELECT sum(k) FROM t WHERE k < 0.5::DOUBLE";
  prepared.operation = is_vector ? "filter_rows" : "filter_sum";
  return prepared;
}

}  // namespace

std::vector<Case> filter_cases() {
  std::vector<Case> cases;
  const auto add = [&](std::string name, std::string summary, double fixed, FilterShape shape) {
    cases.push_back(
        {std::move(name), std::move(summary), {.native = 0.9, .fixed = fixed}, [shape](double scale) {
           return prepare(shape, scale);
         }});
  };
  for (const Output output : {Output::kVector, Output::kSum}) {
    const std::string name = output == Output::kVector ? "filter" : "filter_sum";
    const std::string_view what = output == Output::kVector ? "to a vector" : "summed";
    for (const int percent : {1, 10, 50, 90, 99}) {
      const double share = percent / 100.0;
      add(fmt::format("{}_{}", name, percent), fmt::format("{} % of 50 M f64 {}", percent, what), 1.15,
          {output, share, share});
    }
    add(name + "_drift", fmt::format("1 to 99 % of 50 M f64 {}", what), 1.2, {output, 0.01, 0.99});
  }
  return cases;
}

}  // namespace weld::bench::micro
