#include "bench/micro/case.h"
#include "bench/micro/data.h"
#include "bench/micro/native/sorts.h"
#include "runtime/abi.h"

namespace weld::bench::micro {
namespace {

using peers::ColumnView;
using peers::ElementType;
using workloads::StringColumn;
using workloads::native::String;

constexpr std::int64_t kRows = 50'000'000;

template <class T>
struct SortRows {
  T keys;
  Column<double> values;
  Column<std::int64_t> result;
  Column<double> result_values;
  Column<String> result_strings;
  std::vector<double> least;
  native::Sort native;
};

template <class T>
std::shared_ptr<SortRows<T>> sort_one_column(T keys, Prepared& prepared, std::string_view type) {
  auto rows = std::make_shared<SortRows<T>>();
  rows->keys = std::move(keys);
  const ColumnView view = view_of(rows->keys);
  prepared.num_rows = view.length;
  prepared.num_bytes = 2 * view.length * view.stride_bytes;
  prepared.order = RowOrder::kAsIs;
  prepared.tables = {{"t", {{"k", view}}}};
  add_argument(prepared, view);
  prepared.program = "|keys: vec[" + std::string(type) + "]| sort(keys, |key| key)";
  prepared.read = [type = view.type](const codegen::Result& result) {
    return read_vector(result, type, RowOrder::kAsIs);
  };
  prepared.sql = "SELECT k FROM t ORDER BY k";
  prepared.operation = "sort";
  return rows;
}

Digest digest_in_order(const ColumnView& column) {
  return digest_of({&column, 1}, RowOrder::kAsIs);
}

Column<std::int64_t> random_numbers(std::int64_t length) {
  const RandomStream random(31);
  return workloads::make_column<std::int64_t>(length, [&](std::int64_t i) { return random.bits(i); });
}

// About normal: of both signs, most of them near 0.
Column<double> random_floats(std::int64_t length) {
  const RandomStream first(32);
  const RandomStream second(33);
  return workloads::make_column<double>(length, [&](std::int64_t i) {
    return first.uniform(i, -1, 1) + second.uniform(i, -1, 1) + first.uniform(~i, -1, 1);
  });
}

Prepared prepare_i64(double scale) {
  Prepared prepared;
  const auto rows = sort_one_column(random_numbers(scaled(scale, kRows)), prepared, "i64");
  rows->result = Column<std::int64_t>(rows->keys.size());
  prepared.run_native = [rows](int threads) {
    rows->native.numbers(rows->keys.size(), rows->keys.data(), rows->result.data(), threads);
  };
  prepared.read_native = [rows] { return digest_in_order(view_of(rows->result)); };
  return prepared;
}

Prepared prepare_f64(double scale) {
  Prepared prepared;
  const auto rows = sort_one_column(random_floats(scaled(scale, kRows)), prepared, "f64");
  rows->result_values = Column<double>(rows->keys.size());
  prepared.run_native = [rows](int threads) {
    rows->native.floats(rows->keys.size(), rows->keys.data(), rows->result_values.data(), threads);
  };
  prepared.read_native = [rows] { return digest_in_order(view_of(rows->result_values)); };
  return prepared;
}

Prepared prepare_strings(double scale) {
  const std::int64_t length = scaled(scale, kRows);
  const RandomStream random(34);
  std::string word;
  Prepared prepared;
  const auto rows = sort_one_column(workloads::make_strings(length,
                                                            [&](std::int64_t i) {
                                                              std::uint64_t bits = random.bits(i);
                                                              word.resize(4 + bits % 16);
                                                              bits = random.bits(~i);
                                                              for (char& letter : word) {
                                                                letter = static_cast<char>('a' + bits % 26);
                                                                bits = bits / 26 + (bits << 59);
                                                              }
                                                              return std::string_view(word);
                                                            }),
                                    prepared, "vec[i8]");
  prepared.num_bytes = rows->keys.num_bytes() + rows->keys.strings.num_bytes();
  rows->result_strings = Column<String>(length);
  prepared.run_native = [rows](int threads) {
    rows->native.strings(rows->keys.strings.size(), rows->keys.strings.data(), rows->result_strings.data(),
                         threads);
  };
  prepared.read_native = [rows] { return digest_in_order(view_of(rows->result_strings)); };
  return prepared;
}

struct Pair {
  std::int64_t key;
  double value;
};

Prepared prepare_pairs(double scale) {
  Prepared prepared;
  const auto rows = sort_one_column(random_numbers(scaled(scale, kRows)), prepared, "i64");
  const std::int64_t length = rows->keys.size();
  rows->values = small_values(length, 35);
  rows->result = Column<std::int64_t>(length);
  rows->result_values = Column<double>(length);
  prepared.num_bytes *= 2;
  prepared.tables[0].columns.push_back({"v", view_of(rows->values)});
  add_argument(prepared, view_of(rows->values));
  prepared.program = "|keys: vec[i64], values: vec[f64]| sort(zip(keys, values), |row| row.$0)";
  prepared.run_native = [rows](int threads) {
    rows->native.pairs(rows->keys.size(), rows->keys.data(), rows->values.data(), rows->result.data(),
                       rows->result_values.data(), threads);
  };
  prepared.read_native = [rows] {
    const ColumnView columns[] = {view_of(rows->result), view_of(rows->result_values)};
    return digest_of(columns, RowOrder::kAsIs);
  };
  prepared.read = [](const codegen::Result& result) {
    const auto& vector = *static_cast<const runtime::VecView*>(result.data());
    const ColumnView columns[] = {
        field_of(vector.data, sizeof(Pair), offsetof(Pair, key), vector.length, ElementType::kI64),
        field_of(vector.data, sizeof(Pair), offsetof(Pair, value), vector.length, ElementType::kF64)};
    return digest_of(columns, RowOrder::kAsIs);
  };
  prepared.sql = "SELECT k, v FROM t ORDER BY k";
  prepared.operation = "sort_pairs";
  return prepared;
}

Prepared prepare_top(double scale) {
  Prepared prepared;
  const auto rows = sort_one_column(random_floats(scaled(scale, kRows)), prepared, "f64");
  prepared.num_bytes /= 2;
  prepared.program = "|keys: vec[f64]| slice(sort(keys, |key| key), 0L, 100L)";
  prepared.run_native = [rows](int threads) {
    rows->least = native::least(rows->keys.size(), rows->keys.data(), 100, threads);
  };
  prepared.read_native = [rows] {
    return digest_in_order(
        field_of(rows->least.data(), sizeof(double), 0, std::ssize(rows->least), ElementType::kF64));
  };
  prepared.sql = "SELECT k FROM t ORDER BY k LIMIT 100";
  prepared.operation = "top";
  return prepared;
}

}  // namespace

std::vector<Case> sort_cases() {
  constexpr Targets kSorts = {.peer = 1.5, .native = 0.9};
  return {{"sort_i64", "50 M i64 of 64 random bits", kSorts, prepare_i64},
          {"sort_f64", "50 M f64 of both signs", kSorts, prepare_f64},
          {"sort_string", "50 M strings of 4 to 19 letters", kSorts, prepare_strings},
          {"sort_pair", "50 M pairs by an i64", kSorts, prepare_pairs},
          {"top_100", "the least 100 of 50 M f64", {.peer = 3, .native = 0.9}, prepare_top}};
}

}  // namespace weld::bench::micro
