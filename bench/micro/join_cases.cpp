#include <fmt/format.h>

#include "bench/micro/case.h"
#include "bench/micro/data.h"
#include "bench/micro/native/joins.h"

namespace weld::bench::micro {
namespace {

constexpr std::int64_t kRows = 50'000'000;

struct JoinShape {
  std::int64_t num_keys = 0;
  bool is_dense = false;
  double share = 1;  ///< of the rows whose key is in the other table
};

struct Tables {
  Column<std::int64_t> keys;
  Column<double> values;
  Column<std::int64_t> table_keys;  // distinct, in no order
  Column<double> payloads;
  native::Join native;
  double result = 0;
};

std::shared_ptr<Tables> make_tables(const JoinShape& shape, double scale, Prepared& prepared) {
  const std::int64_t length = scaled(scale, kRows);
  const KeyNumbers numbers(Distribution::kUniform, shape.num_keys, 21);
  const RandomStream present(22);
  const auto key_of = [&](std::int64_t number) { return shape.is_dense ? number : scattered(number); };
  auto tables = std::make_shared<Tables>();
  tables->keys = workloads::make_column<std::int64_t>(length, [&](std::int64_t i) {
    return key_of(numbers[i] + (present.unit(i) < shape.share ? 0 : shape.num_keys));
  });
  tables->values = small_values(length, 23);
  // A step without a common divisor goes through all numbers once.
  tables->table_keys = workloads::make_column<std::int64_t>(
      shape.num_keys, [&](std::int64_t i) { return key_of(i * 7919 % shape.num_keys); });
  tables->payloads = small_values(shape.num_keys, 24);
  prepared.num_rows = length;
  prepared.num_bytes = tables->keys.num_bytes() + tables->values.num_bytes();
  prepared.tables = {{"t", {{"k", view_of(tables->keys)}, {"v", view_of(tables->values)}}},
                     {"d", {{"k", view_of(tables->table_keys)}, {"p", view_of(tables->payloads)}}}};
  for (const peers::PlainTable& table : prepared.tables)
    for (const auto& column : table.columns) add_argument(prepared, column.values);
  prepared.read = read_number;
  prepared.read_native = [tables] { return digest_of_number(tables->result); };
  return tables;
}

constexpr std::string_view kParameters =
    "|keys: vec[i64], values: vec[f64], table_keys: vec[i64], payloads: vec[f64]|\n";

Prepared prepare_join(const JoinShape& shape, double scale) {
  Prepared prepared;
  const auto tables = make_tables(shape, scale, prepared);
  prepared.program = std::string(kParameters) +
                     "  let table = result(for(zip(table_keys, payloads), dictmerger[i64,f64,+],\n"
                     "    |b, i, row| merge(b, row)));\n"
                     "  result(for(zip(keys, values), merger[f64,+], |b, i, row|\n"
                     "    let found = optlookup(table, row.$0);\n"
                     "    if(found.$0, merge(b, row.$1 * found.$1), b)))";
  prepared.run_native = [tables](int threads) {
    tables->result = tables->native.sum_products(tables->keys.size(), tables->keys.data(),
                                                 tables->values.data(), tables->table_keys.size(),
                                                 tables->table_keys.data(), tables->payloads.data(), threads);
  };
  prepared.sql = "SELECT sum(t.v * d.p) FROM t JOIN d ON t.k = d.k";
  prepared.operation = "join";
  return prepared;
}

Prepared prepare_semi_join(const JoinShape& shape, double scale) {
  Prepared prepared;
  const auto tables = make_tables(shape, scale, prepared);
  prepared.program =
      std::string(kParameters) +
      "  let table = result(for(table_keys, dictmerger[i64,i8,max], |b, i, key| merge(b, {key, 0c})));\n"
      "  result(for(zip(keys, values), merger[f64,+], |b, i, row|\n"
      "    if(keyexists(table, row.$0), merge(b, row.$1), b)))";
  const bool few = shape.share < 0.1;
  prepared.run_native = [tables, few](int threads) {
    tables->result =
        tables->native.sum_present(tables->keys.size(), tables->keys.data(), tables->values.data(),
                                   tables->table_keys.size(), tables->table_keys.data(), few, threads);
  };
  prepared.sql = "SELECT sum(v) FROM t WHERE k IN (SELECT k FROM d)";
  prepared.operation = "semi_join";
  return prepared;
}

Case make_case(std::string name, std::string summary, JoinShape shape,
               Prepared (*prepare)(const JoinShape&, double)) {
  return {std::move(name), std::move(summary), {.peer = 1.5, .native = 0.9}, [shape, prepare](double scale) {
            return prepare(shape, scale);
          }};
}

}  // namespace

std::vector<Case> join_cases() {
  constexpr std::int64_t kKeys[] = {1'000, 1'000'000, 10'000'000};
  std::vector<Case> cases;
  for (const std::int64_t keys : kKeys) {
    cases.push_back(make_case("join_" + short_count(keys),
                              fmt::format("50 M rows with {} keys", short_count(keys)), {.num_keys = keys},
                              prepare_join));
  }
  for (const std::int64_t keys : {kKeys[1], kKeys[2]}) {
    cases.push_back(make_case("join_dense_" + short_count(keys),
                              fmt::format("50 M rows with {} keys without gaps", short_count(keys)),
                              {.num_keys = keys, .is_dense = true}, prepare_join));
  }
  for (const int percent : {1, 50}) {
    cases.push_back(make_case(fmt::format("semi_join_{}", percent),
                              fmt::format("{} % of 50 M rows are among 1 M keys", percent),
                              {.num_keys = kKeys[1], .share = percent / 100.0}, prepare_semi_join));
  }
  return cases;
}

}  // namespace weld::bench::micro
