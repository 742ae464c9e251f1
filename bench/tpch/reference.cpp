#include "bench/tpch/reference.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "bench/tpch/dates.h"

namespace weld::bench::tpch {
namespace {

std::int32_t day(std::string_view date) {
  return parse_date(date).value();
}

// A column of words, as text.
class Words {
 public:
  explicit Words(const Column& column) : column_(column), codes_(column.values<std::uint8_t>()) {}
  const std::string& operator[](std::size_t row) const { return column_.words()[codes_[row]]; }

 private:
  const Column& column_;
  std::span<const std::uint8_t> codes_;
};

// Collects a result row by row: texts, and units of exact numbers.
class Rows {
 public:
  explicit Rows(std::vector<ResultValues> empty_columns) : columns_(std::move(empty_columns)) {}

  void add(const auto&... values) {
    std::size_t column = 0;
    (append(columns_[column++], values), ...);
  }
  ResultTable table(int query) && { return ResultTable(query_schema(query), std::move(columns_)); }

 private:
  static void append(ResultValues& column, const std::string& text) {
    std::get<TextValues>(column).push_back(text);
  }
  static void append(ResultValues& column, std::int64_t units) {
    std::get<ExactValues>(column).units.push_back(units);
  }

  std::vector<ResultValues> columns_;
};

ExactValues exact(int scale) {
  return {{}, scale};
}

constexpr int kAverageScale = 12;

// sum / 10^scale / count in units of 10^-kAverageScale, rounded down.
std::int64_t average(std::int64_t sum, int scale, std::int64_t count) {
  __int128 units = sum;
  for (int i = scale; i < kAverageScale; ++i) units *= 10;
  return static_cast<std::int64_t>(units / count);
}

ResultTable compute_q1(const Database& database) {
  const Words flag(database.column("l_returnflag"));
  const Words status(database.column("l_linestatus"));
  const auto quantity = database.column("l_quantity").values<std::int8_t>();
  const auto price = database.column("l_extendedprice").values<std::int32_t>();
  const auto discount = database.column("l_discount").values<std::int8_t>();
  const auto tax = database.column("l_tax").values<std::int8_t>();
  const auto shipdate = database.column("l_shipdate").values<std::int32_t>();
  const std::int32_t last_shipdate = day("1998-12-01") - 90;
  struct Sums {
    std::int64_t quantity = 0, price = 0, discounted = 0, charge = 0, discount = 0, lines = 0;
  };
  std::map<std::pair<std::string, std::string>, Sums> groups;
  for (std::size_t row = 0; row < shipdate.size(); ++row) {
    if (shipdate[row] > last_shipdate) continue;
    Sums& sums = groups[{flag[row], status[row]}];
    const std::int64_t discounted = std::int64_t{price[row]} * (100 - discount[row]);
    sums.quantity += quantity[row];
    sums.price += price[row];
    sums.discounted += discounted;
    sums.charge += discounted * (100 + tax[row]);
    sums.discount += discount[row];
    sums.lines += 1;
  }
  Rows rows({TextValues{}, TextValues{}, exact(0), exact(2), exact(4), exact(6), exact(kAverageScale),
             exact(kAverageScale), exact(kAverageScale), exact(0)});
  for (const auto& [group, sums] : groups) {
    rows.add(group.first, group.second, sums.quantity, sums.price, sums.discounted, sums.charge,
             average(sums.quantity, 0, sums.lines), average(sums.price, 2, sums.lines),
             average(sums.discount, 2, sums.lines), sums.lines);
  }
  return std::move(rows).table(1);
}

ResultTable compute_q3(const Database& database) {
  const std::int32_t date = day("1995-03-15");
  const auto customer = database.column("c_custkey").values<std::int32_t>();
  const Words segment(database.column("c_mktsegment"));
  std::unordered_set<std::int32_t> customers;
  for (std::size_t row = 0; row < customer.size(); ++row) {
    if (segment[row] == "BUILDING") customers.insert(customer[row]);
  }

  struct Order {
    std::int32_t date;
    std::int8_t priority;
    std::int64_t revenue = 0;
    bool has_lines = false;
  };
  const auto order_key = database.column("o_orderkey").values<std::int32_t>();
  const auto order_customer = database.column("o_custkey").values<std::int32_t>();
  const auto order_date = database.column("o_orderdate").values<std::int32_t>();
  const auto priority = database.column("o_shippriority").values<std::int8_t>();
  std::unordered_map<std::int32_t, Order> orders;
  for (std::size_t row = 0; row < order_key.size(); ++row) {
    if (order_date[row] >= date || !customers.contains(order_customer[row])) continue;
    orders.emplace(order_key[row], Order{order_date[row], priority[row]});
  }

  const auto line_order = database.column("l_orderkey").values<std::int32_t>();
  const auto price = database.column("l_extendedprice").values<std::int32_t>();
  const auto discount = database.column("l_discount").values<std::int8_t>();
  const auto shipdate = database.column("l_shipdate").values<std::int32_t>();
  for (std::size_t row = 0; row < line_order.size(); ++row) {
    if (shipdate[row] <= date) continue;
    const auto order = orders.find(line_order[row]);
    if (order == orders.end()) continue;
    order->second.revenue += std::int64_t{price[row]} * (100 - discount[row]);
    order->second.has_lines = true;
  }

  std::vector<std::pair<std::int32_t, Order>> found;
  for (const auto& entry : orders) {
    if (entry.second.has_lines) found.push_back(entry);
  }
  std::ranges::sort(found, {}, [](const auto& entry) {
    return std::tuple(-entry.second.revenue, entry.second.date, entry.first);
  });
  Rows rows({exact(0), exact(4), exact(0), exact(0)});
  for (const auto& [key, order] : std::span(found).first(std::min<std::size_t>(found.size(), 10))) {
    rows.add(std::int64_t{key}, order.revenue, std::int64_t{order.date}, std::int64_t{order.priority});
  }
  return std::move(rows).table(3);
}

ResultTable compute_q6(const Database& database) {
  const auto quantity = database.column("l_quantity").values<std::int8_t>();
  const auto price = database.column("l_extendedprice").values<std::int32_t>();
  const auto discount = database.column("l_discount").values<std::int8_t>();
  const auto shipdate = database.column("l_shipdate").values<std::int32_t>();
  const std::int32_t begin = day("1994-01-01");
  const std::int32_t end = day("1995-01-01");
  std::int64_t revenue = 0;
  for (std::size_t row = 0; row < shipdate.size(); ++row) {
    if (shipdate[row] < begin || shipdate[row] >= end) continue;
    if (discount[row] < 5 || discount[row] > 7 || quantity[row] >= 24) continue;
    revenue += std::int64_t{price[row]} * discount[row];
  }
  Rows rows({exact(4)});
  rows.add(revenue);
  return std::move(rows).table(6);
}

ResultTable compute_q12(const Database& database) {
  const auto order_key = database.column("o_orderkey").values<std::int32_t>();
  const Words priority(database.column("o_orderpriority"));
  std::unordered_map<std::int32_t, bool> is_high;
  for (std::size_t row = 0; row < order_key.size(); ++row) {
    is_high[order_key[row]] = priority[row] == "1-URGENT" || priority[row] == "2-HIGH";
  }
  const auto line_order = database.column("l_orderkey").values<std::int32_t>();
  const Words mode(database.column("l_shipmode"));
  const auto shipdate = database.column("l_shipdate").values<std::int32_t>();
  const auto commitdate = database.column("l_commitdate").values<std::int32_t>();
  const auto receiptdate = database.column("l_receiptdate").values<std::int32_t>();
  const std::int32_t begin = day("1994-01-01");
  const std::int32_t end = day("1995-01-01");
  struct Counts {
    std::int64_t high = 0, low = 0;
  };
  std::map<std::string, Counts> modes;
  for (std::size_t row = 0; row < line_order.size(); ++row) {
    if (mode[row] != "MAIL" && mode[row] != "SHIP") continue;
    if (shipdate[row] >= commitdate[row] || commitdate[row] >= receiptdate[row]) continue;
    if (receiptdate[row] < begin || receiptdate[row] >= end) continue;
    const auto order = is_high.find(line_order[row]);
    if (order == is_high.end()) continue;
    Counts& counts = modes[mode[row]];
    ++(order->second ? counts.high : counts.low);
  }
  Rows rows({TextValues{}, exact(0), exact(0)});
  for (const auto& [name, counts] : modes) rows.add(name, counts.high, counts.low);
  return std::move(rows).table(12);
}

}  // namespace

ResultTable compute_reference(int query, const Database& database) {
  switch (query_schema(query).number) {
    case 1:
      return compute_q1(database);
    case 3:
      return compute_q3(database);
    case 6:
      return compute_q6(database);
    default:
      return compute_q12(database);
  }
}

std::vector<FinerValue> finer_values_of(const ResultTable& answer) {
  std::vector<FinerValue> finer;
  for (const auto& [schema, values] : answer.columns()) {
    const auto* exact = std::get_if<ExactValues>(&values);
    if (!exact || schema.type != ResultType::kDecimal) continue;
    for (std::size_t row = 0; row < exact->units.size(); ++row) {
      finer.push_back({answer.query(), row, std::string(schema.name), {exact->units[row], exact->scale}});
    }
  }
  return finer;
}

}  // namespace weld::bench::tpch
