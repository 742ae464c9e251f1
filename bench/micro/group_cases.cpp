#include <fmt/format.h>

#include "bench/micro/case.h"
#include "bench/micro/data.h"
#include "bench/micro/native/groups.h"
#include "runtime/abi.h"

namespace weld::bench::micro {
namespace {

using peers::ColumnView;
using peers::ElementType;
using workloads::StringColumn;
using workloads::native::String;

constexpr std::int64_t kRows = 50'000'000;

// How numbers of keys become keys.
enum class KeyKind { kScattered, kDense, kString };

struct GroupShape {
  KeyKind kind = KeyKind::kScattered;
  Distribution distribution = Distribution::kUniform;
  std::int64_t num_keys = 0;
};

struct Rows {
  Column<std::int64_t> numbers;
  StringColumn strings;
  Column<double> values;

  ColumnView keys() const { return numbers.size() > 0 ? view_of(numbers) : view_of(strings); }
};

// The columns `k` and `v` of the table `t`, which are the program's arguments.
std::shared_ptr<Rows> make_rows(const GroupShape& shape, double scale, Prepared& prepared) {
  const std::int64_t length = scaled(scale, kRows);
  const KeyNumbers numbers(shape.distribution, std::min(shape.num_keys, length), 11);
  auto rows = std::make_shared<Rows>();
  if (shape.kind == KeyKind::kString) {
    rows->strings = workloads::make_strings(length, [&](std::int64_t i) { return WrittenKey(numbers[i]); });
  } else {
    rows->numbers = workloads::make_column<std::int64_t>(length, [&](std::int64_t i) {
      return shape.kind == KeyKind::kDense ? numbers[i] : scattered(numbers[i]);
    });
  }
  rows->values = small_values(length, 12);
  prepared.num_rows = length;
  prepared.num_bytes =
      rows->values.num_bytes() +
      (shape.kind == KeyKind::kString ? rows->strings.num_bytes() : rows->numbers.num_bytes());
  prepared.tables = {{"t", {{"k", rows->keys()}, {"v", view_of(rows->values)}}}};
  add_argument(prepared, rows->keys());
  add_argument(prepared, view_of(rows->values));
  prepared.data = rows;
  return rows;
}

struct NumberEntry {
  std::int64_t key;
  double sum;
};
struct StringEntry {
  String key;
  double sum;
};

template <class Entry>
Digest digest_of_entries(const Entry* entries, std::int64_t length, ElementType key) {
  const ColumnView columns[] = {
      field_of(entries, sizeof(Entry), offsetof(Entry, key), length, key),
      field_of(entries, sizeof(Entry), offsetof(Entry, sum), length, ElementType::kF64)};
  return digest_of(columns, RowOrder::kAny);
}

template <class Entry>
Digest read_entries(const codegen::Result& result, ElementType key) {
  const auto& vector = *static_cast<const runtime::VecView*>(result.data());
  return digest_of_entries(reinterpret_cast<const Entry*>(vector.data), vector.length, key);
}

void group_numbers(Prepared& prepared, const std::shared_ptr<Rows>& rows, std::int64_t num_keys) {
  const auto native = std::make_shared<native::GroupSums<native::NumberSum>>(num_keys);
  prepared.run_native = [rows, native](int threads) {
    native->run(rows->values.size(), rows->numbers.data(), rows->values.data(), threads);
  };
  prepared.read_native = [native] {
    const auto found = native->rows();
    return digest_of_entries(found.data(), std::ssize(found), ElementType::kI64);
  };
  prepared.read = [](const codegen::Result& result) {
    return read_entries<NumberEntry>(result, ElementType::kI64);
  };
}

void group_strings(Prepared& prepared, const std::shared_ptr<Rows>& rows, std::int64_t num_keys) {
  const auto native = std::make_shared<native::GroupSums<native::StringSum>>(num_keys);
  prepared.run_native = [rows, native](int threads) {
    native->run(rows->values.size(), rows->strings.strings.data(), rows->values.data(), threads);
  };
  prepared.read_native = [native] {
    std::vector<StringEntry> entries;
    for (const native::StringSum& row : native->rows()) entries.push_back({row.string(), row.sum});
    return digest_of_entries(entries.data(), std::ssize(entries), ElementType::kString);
  };
  prepared.read = [](const codegen::Result& result) {
    return read_entries<StringEntry>(result, ElementType::kString);
  };
}

Prepared prepare_sums(const GroupShape& shape, double scale) {
  Prepared prepared;
  const auto rows = make_rows(shape, scale, prepared);
  const bool has_strings = shape.kind == KeyKind::kString;
  const std::string_view key = has_strings ? "vec[i8]" : "i64";
  prepared.program = fmt::format(
      "|keys: vec[{0}], values: vec[f64]|\n"
      "  tovec(result(for(zip(keys, values), @(order:any)dictmerger[{0},f64,+],\n"
      "    |b, i, row| merge(b, row))))",
      key);
  if (has_strings) {
    group_strings(prepared, rows, shape.num_keys);
  } else {
    group_numbers(prepared, rows, shape.num_keys);
  }
  prepared.sql = "SELECT k, sum(v) FROM t GROUP BY k";
  prepared.operation = "group_sums";
  return prepared;
}

Prepared prepare_distinct(const GroupShape& shape, double scale) {
  Prepared prepared;
  const auto rows = make_rows(shape, scale, prepared);
  prepared.program =
      "|keys: vec[i64], values: vec[f64]|\n"
      "  map(tovec(result(for(keys, @(order:any)dictmerger[i64,i8,max], |b, i, key| merge(b, {key, 0c})))),\n"
      "    |entry| entry.$0)";
  const auto native = std::make_shared<native::GroupSums<native::Number>>(shape.num_keys);
  prepared.num_bytes = rows->numbers.num_bytes();
  prepared.run_native = [rows, native](int threads) {
    native->run(rows->values.size(), rows->numbers.data(), nullptr, threads);
  };
  prepared.read_native = [native] {
    const auto found = native->rows();
    const ColumnView column =
        field_of(found.data(), sizeof(native::Number), 0, std::ssize(found), ElementType::kI64);
    return digest_of({&column, 1}, RowOrder::kAny);
  };
  prepared.read = [](const codegen::Result& result) {
    return read_vector(result, ElementType::kI64, RowOrder::kAny);
  };
  prepared.sql = "SELECT DISTINCT k FROM t";
  prepared.operation = "distinct";
  return prepared;
}

struct GroupEntry {
  std::int64_t key;
  const double* values;
  std::int64_t length;
};

// Of the keys and the sums of their values, which systems agree about that give the values in any order.
Digest digest_of_groups(const auto* groups, std::int64_t length) {
  std::vector<NumberEntry> entries;
  for (std::int64_t i = 0; i < length; ++i) {
    double sum = 0;
    for (std::int64_t k = 0; k < groups[i].length; ++k) sum += groups[i].values[k];
    entries.push_back({groups[i].key, sum});
  }
  return digest_of_entries(entries.data(), length, ElementType::kI64);
}

Prepared prepare_groups(const GroupShape& shape, double scale) {
  Prepared prepared;
  const auto rows = make_rows(shape, scale, prepared);
  prepared.num_bytes += rows->values.num_bytes();
  prepared.program =
      "|keys: vec[i64], values: vec[f64]|\n"
      "  tovec(result(for(zip(keys, values), @(order:any)groupmerger[i64,f64], |b, i, row| merge(b, row))))";
  const auto native = std::make_shared<native::ValueGroups>(shape.num_keys);
  prepared.run_native = [rows, native](int threads) {
    native->run(rows->values.size(), rows->numbers.data(), rows->values.data(), threads);
  };
  prepared.read_native = [native] {
    return digest_of_groups(native->groups().data(), std::ssize(native->groups()));
  };
  prepared.read = [](const codegen::Result& result) {
    const auto& vector = *static_cast<const runtime::VecView*>(result.data());
    return digest_of_groups(reinterpret_cast<const GroupEntry*>(vector.data), vector.length);
  };
  prepared.sql = "SELECT k, list(v) FROM t GROUP BY k";
  prepared.check_sql = "SELECT k, list_sum(l) FROM (SELECT k, list(v) AS l FROM t GROUP BY k)";
  prepared.operation = "groups";
  return prepared;
}

Case make_case(std::string name, std::string summary, Targets targets, GroupShape shape,
               Prepared (*prepare)(const GroupShape&, double)) {
  return {std::move(name), std::move(summary), targets,
          [shape, prepare](double scale) { return prepare(shape, scale); }};
}

// What the issue asks of sums by that many keys.
Targets targets_of(std::int64_t num_keys) {
  constexpr double kNative = 0.9;
  return {.peer = num_keys == 10'000 ? 1.3 : num_keys == 10'000'000 ? 4 : 1.5, .native = kNative};
}

}  // namespace

std::vector<Case> group_cases() {
  constexpr std::int64_t kKeys[] = {10, 10'000, 1'000'000, 10'000'000, 50'000'000};
  std::vector<Case> cases;
  const auto add = [&](std::string_view name, std::string_view what, GroupShape shape) {
    cases.push_back(make_case(fmt::format("group_{}_{}", name, short_count(shape.num_keys)),
                              fmt::format("sums of 50 M rows by {} {}", short_count(shape.num_keys), what),
                              targets_of(shape.num_keys), shape, prepare_sums));
  };
  for (const std::int64_t keys : kKeys) add("i64", "i64 keys", {.num_keys = keys});
  for (const std::int64_t keys : kKeys)
    add("zipf", "i64 keys, Zipf 1.2", {.distribution = Distribution::kZipf, .num_keys = keys});
  for (const std::int64_t keys : {kKeys[1], kKeys[2], kKeys[3]})
    add("dense", "i64 keys without gaps", {.kind = KeyKind::kDense, .num_keys = keys});
  for (const std::int64_t keys : kKeys)
    add("string", "strings of 12 bytes", {.kind = KeyKind::kString, .num_keys = keys});
  for (const std::int64_t keys : {kKeys[1], kKeys[2]}) {
    add("string_zipf", "strings of 12 bytes, Zipf 1.2",
        {.kind = KeyKind::kString, .distribution = Distribution::kZipf, .num_keys = keys});
  }
  for (const std::int64_t keys : {kKeys[2], kKeys[3]}) {
    cases.push_back(make_case("distinct_" + short_count(keys),
                              fmt::format("{} distinct of 50 M i64", short_count(keys)),
                              {.peer = 1.5, .native = 0.9}, {.num_keys = keys}, prepare_distinct));
  }
  for (const std::int64_t keys : {kKeys[1], kKeys[2]}) {
    cases.push_back(make_case("groups_" + short_count(keys),
                              fmt::format("the values of {} keys, 50 M rows", short_count(keys)),
                              {.peer = 1.5, .native = 0.9}, {.num_keys = keys}, prepare_groups));
  }
  return cases;
}

}  // namespace weld::bench::micro
