#include "bench/peers/duckdb.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace weld::bench::peers {
namespace {

// What we use of DuckDB's C API: handles are pointers, a state of 0 is success, indices are 64 bits.
using Handle = void*;
using Index = std::uint64_t;

struct QueryResult {
  Index deprecated[3];
  void* deprecated_columns;
  char* deprecated_error;
  void* internal;
};

enum TypeId : std::uint32_t { kInteger = 4, kBigint = 5, kDouble = 11, kDate = 13, kVarchar = 17 };

// A string in a vector: as it is up to 12 bytes, else its first 4 and a pointer to all.
struct VectorString {
  std::uint32_t length;
  char bytes[12];

  std::string_view view() const {
    if (length <= sizeof bytes) return {bytes, length};
    const char* text;
    std::memcpy(&text, bytes + 4, sizeof text);
    return {text, length};
  }
};

struct Api {
  const char* (*library_version)();
  int (*open)(const char* path, Handle* database);
  void (*close)(Handle* database);
  int (*connect)(Handle database, Handle* connection);
  void (*disconnect)(Handle* connection);
  int (*query)(Handle connection, const char* sql, QueryResult* result);
  const char* (*result_error)(QueryResult* result);
  void (*destroy_result)(QueryResult* result);
  Index (*column_count)(QueryResult* result);
  Index (*row_count)(QueryResult* result);
  char* (*value_varchar)(QueryResult* result, Index column, Index row);
  void (*free)(void* memory);
  std::uint32_t (*column_type)(QueryResult* result, Index column);
  Handle (*fetch_chunk)(QueryResult result);
  Index (*data_chunk_get_size)(Handle chunk);
  Handle (*create_logical_type)(std::uint32_t type);
  Handle (*create_decimal_type)(std::uint8_t width, std::uint8_t scale);
  void (*destroy_logical_type)(Handle* type);
  Handle (*create_data_chunk)(Handle* types, Index num_columns);
  void (*destroy_data_chunk)(Handle* chunk);
  void (*data_chunk_reset)(Handle chunk);
  Handle (*data_chunk_get_vector)(Handle chunk, Index column);
  void (*data_chunk_set_size)(Handle chunk, Index size);
  Index (*vector_size)();
  void* (*vector_get_data)(Handle vector);
  void (*vector_assign_string_element_len)(Handle vector, Index row, const char* text, Index num_bytes);
  int (*appender_create)(Handle connection, const char* schema, const char* table, Handle* appender);
  int (*append_data_chunk)(Handle appender, Handle chunk);
  int (*appender_destroy)(Handle* appender);
};

template <typename Function>
void find_symbol(void* library, const char* name, Function& function) {
  void* const symbol = dlsym(library, fmt::format("duckdb_{}", name).c_str());
  if (!symbol) throw DuckDbError(fmt::format("the library of DuckDB has no function duckdb_{}", name));
  function = reinterpret_cast<Function>(symbol);
}

Api open_api(const std::filesystem::path& path) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw DuckDbError(fmt::format("cannot load {}: {}", path.string(), dlerror()));
  Api api;
  find_symbol(library, "library_version", api.library_version);
  find_symbol(library, "open", api.open);
  find_symbol(library, "close", api.close);
  find_symbol(library, "connect", api.connect);
  find_symbol(library, "disconnect", api.disconnect);
  find_symbol(library, "query", api.query);
  find_symbol(library, "result_error", api.result_error);
  find_symbol(library, "destroy_result", api.destroy_result);
  find_symbol(library, "column_count", api.column_count);
  find_symbol(library, "row_count", api.row_count);
  find_symbol(library, "value_varchar", api.value_varchar);
  find_symbol(library, "free", api.free);
  find_symbol(library, "column_type", api.column_type);
  find_symbol(library, "fetch_chunk", api.fetch_chunk);
  find_symbol(library, "data_chunk_get_size", api.data_chunk_get_size);
  find_symbol(library, "create_logical_type", api.create_logical_type);
  find_symbol(library, "create_decimal_type", api.create_decimal_type);
  find_symbol(library, "destroy_logical_type", api.destroy_logical_type);
  find_symbol(library, "create_data_chunk", api.create_data_chunk);
  find_symbol(library, "destroy_data_chunk", api.destroy_data_chunk);
  find_symbol(library, "data_chunk_reset", api.data_chunk_reset);
  find_symbol(library, "data_chunk_get_vector", api.data_chunk_get_vector);
  find_symbol(library, "data_chunk_set_size", api.data_chunk_set_size);
  find_symbol(library, "vector_size", api.vector_size);
  find_symbol(library, "vector_get_data", api.vector_get_data);
  find_symbol(library, "vector_assign_string_element_len", api.vector_assign_string_element_len);
  find_symbol(library, "appender_create", api.appender_create);
  find_symbol(library, "append_data_chunk", api.append_data_chunk);
  find_symbol(library, "appender_destroy", api.appender_destroy);
  return api;
}

// TPC-H calls a quantity a decimal; we store whole numbers, since there are no others.
bool is_whole_decimal(const tpch::ColumnSchema& schema) {
  return schema.name == "l_quantity";
}

bool is_decimal(const tpch::ColumnSchema& schema) {
  return schema.kind == tpch::ColumnKind::kHundredths || is_whole_decimal(schema);
}

constexpr int kDecimalWidth = 15;
constexpr int kDecimalScale = 2;

std::string sql_type(const tpch::ColumnSchema& schema) {
  if (is_decimal(schema)) return fmt::format("DECIMAL({},{})", kDecimalWidth, kDecimalScale);
  if (schema.kind == tpch::ColumnKind::kDate) return "DATE";
  return schema.kind == tpch::ColumnKind::kWord ? "VARCHAR" : "INTEGER";
}

std::int64_t whole_number(const tpch::Column& column, std::int64_t row) {
  const auto index = static_cast<std::size_t>(row);
  switch (column.schema().element) {
    case tpch::ElementType::kI8:
      return column.values<std::int8_t>()[index];
    case tpch::ElementType::kI16:
      return column.values<std::int16_t>()[index];
    case tpch::ElementType::kI32:
      return column.values<std::int32_t>()[index];
    case tpch::ElementType::kU8:
      break;
  }
  return column.values<std::uint8_t>()[index];
}

// Makes the strings that end at these places of the column's text.
void point_into_text(ResultColumn& column, const std::vector<std::size_t>& ends) {
  column.elements.resize(ends.size() * sizeof(workloads::native::String));
  std::size_t begin = 0;
  for (std::size_t row = 0; row < ends.size(); ++row) {
    const workloads::native::String string{reinterpret_cast<const std::uint8_t*>(column.text.data()) + begin,
                                           static_cast<std::int64_t>(ends[row] - begin)};
    std::memcpy(column.elements.data() + row * sizeof string, &string, sizeof string);
    begin = ends[row];
  }
}

}  // namespace

std::optional<std::filesystem::path> find_duckdb() {
  if (const char* named = std::getenv("WELD_DUCKDB")) return named;
  const std::filesystem::path installed =
      std::filesystem::path(WELD_PEERS_DIR) / "@duckdb/node-bindings-linux-x64/libduckdb.so";
  if (std::filesystem::exists(installed)) return installed;
  return std::nullopt;
}

struct DuckDb::State {
  explicit State(const std::filesystem::path& library) : api(open_api(library)) {
    if (api.open(nullptr, &database) != 0 || api.connect(database, &connection) != 0) {
      throw DuckDbError("cannot open a database in memory");
    }
  }
  ~State() {
    api.disconnect(&connection);
    api.close(&database);
  }

  // Runs a statement; the result is to be destroyed.
  QueryResult run(std::string_view sql) const {
    QueryResult result{};
    if (api.query(connection, std::string(sql).c_str(), &result) != 0) {
      const char* const message = api.result_error(&result);
      const std::string text = message ? message : "unknown error";
      api.destroy_result(&result);
      throw DuckDbError(text);
    }
    return result;
  }

  // Copies rows [first, first + num_rows) of a column to a vector.
  void fill(Handle vector, const tpch::Column& column, std::int64_t first, std::int64_t num_rows) const {
    void* const data = api.vector_get_data(vector);
    const std::int64_t factor = is_whole_decimal(column.schema()) ? 100 : 1;
    for (std::int64_t i = 0; i < num_rows; ++i) {
      const std::int64_t value = whole_number(column, first + i);
      if (column.schema().kind == tpch::ColumnKind::kWord) {
        const std::string& word = column.words()[static_cast<std::size_t>(value)];
        api.vector_assign_string_element_len(vector, static_cast<Index>(i), word.data(), word.size());
      } else if (is_decimal(column.schema())) {
        static_cast<std::int64_t*>(data)[i] = factor * value;
      } else {
        static_cast<std::int32_t*>(data)[i] = static_cast<std::int32_t>(value);
      }
    }
  }

  // Likewise.
  void fill(Handle vector, const ColumnView& column, std::int64_t first, std::int64_t num_rows) const {
    if (column.type == ElementType::kString) {
      for (std::int64_t i = 0; i < num_rows; ++i) {
        const std::string_view text = column.at<workloads::native::String>(first + i).view();
        api.vector_assign_string_element_len(vector, static_cast<Index>(i), text.data(), text.size());
      }
    } else {
      std::memcpy(api.vector_get_data(vector), column.first + first * column.stride_bytes,
                  static_cast<std::size_t>(num_rows * column.stride_bytes));
    }
  }

  // Appends rows to a table; `fill(vector, column, first row, number of rows)` makes the parts of its
  // columns. Takes the types.
  void append(std::string_view table, std::vector<Handle>& types, std::int64_t num_rows, auto&& fill) const {
    Handle chunk = api.create_data_chunk(types.data(), types.size());
    for (Handle& type : types) api.destroy_logical_type(&type);
    Handle appender = nullptr;
    bool failed = api.appender_create(connection, nullptr, std::string(table).c_str(), &appender) != 0;
    const auto chunk_rows = static_cast<std::int64_t>(api.vector_size());
    for (std::int64_t first = 0; first < num_rows && !failed; first += chunk_rows) {
      const std::int64_t count = std::min(chunk_rows, num_rows - first);
      api.data_chunk_reset(chunk);
      for (std::size_t i = 0; i < types.size(); ++i)
        fill(api.data_chunk_get_vector(chunk, i), i, first, count);
      api.data_chunk_set_size(chunk, static_cast<Index>(count));
      failed = api.append_data_chunk(appender, chunk) != 0;
    }
    api.destroy_data_chunk(&chunk);
    failed = api.appender_destroy(&appender) != 0 || failed;
    if (failed) throw DuckDbError(fmt::format("cannot append to {}", table));
  }

  Handle logical_type(const tpch::ColumnSchema& schema) const {
    if (is_decimal(schema)) return api.create_decimal_type(kDecimalWidth, kDecimalScale);
    if (schema.kind == tpch::ColumnKind::kDate) return api.create_logical_type(kDate);
    return api.create_logical_type(schema.kind == tpch::ColumnKind::kWord ? kVarchar : kInteger);
  }

  Api api;
  Handle database = nullptr;
  Handle connection = nullptr;
};

DuckDb::DuckDb(const std::filesystem::path& library) : state_(std::make_unique<State>(library)) {}
DuckDb::DuckDb(DuckDb&&) noexcept = default;
DuckDb::~DuckDb() = default;

std::string DuckDb::version() const {
  return state_->api.library_version();
}

void DuckDb::set_threads(int threads) {
  execute(fmt::format("SET threads = {}", threads));
}

std::vector<std::string> DuckDb::query(std::string_view sql) {
  const Api& api = state_->api;
  QueryResult result = state_->run(sql);
  std::vector<std::string> rows;
  for (Index row = 0; row < api.row_count(&result); ++row) {
    std::string& text = rows.emplace_back();
    for (Index column = 0; column < api.column_count(&result); ++column) {
      char* const value = api.value_varchar(&result, column, row);
      text += fmt::format("{}{}", column == 0 ? "" : "|", value ? value : "");
      api.free(value);
    }
  }
  api.destroy_result(&result);
  return rows;
}

void DuckDb::execute(std::string_view sql) {
  QueryResult result = state_->run(sql);
  state_->api.destroy_result(&result);
}

void DuckDb::load(const tpch::Table& table) {
  std::vector<const tpch::Column*> columns;
  std::vector<Handle> types;
  std::string definitions;
  for (const tpch::Column& column : table.columns()) {
    if (column.schema().kind == tpch::ColumnKind::kText) continue;
    definitions += fmt::format("{}{} {} NOT NULL", columns.empty() ? "" : ", ", column.schema().name,
                               sql_type(column.schema()));
    columns.push_back(&column);
    types.push_back(state_->logical_type(column.schema()));
  }
  if (columns.empty()) return;
  execute(fmt::format("CREATE TABLE {} ({})", table.name(), definitions));

  state_->append(table.name(), types, table.num_rows(),
                 [&](Handle vector, std::size_t column, std::int64_t first, std::int64_t num_rows) {
                   state_->fill(vector, *columns[column], first, num_rows);
                 });
}

void DuckDb::load(const PlainTable& table) {
  std::vector<Handle> types;
  std::string definitions;
  for (const PlainTable::Column& column : table.columns) {
    const bool is_string = column.values.type == ElementType::kString;
    const bool is_i64 = column.values.type == ElementType::kI64;
    definitions += fmt::format("{}{} {} NOT NULL", types.empty() ? "" : ", ", column.name,
                               is_string ? "VARCHAR"
                               : is_i64  ? "BIGINT"
                                         : "DOUBLE");
    types.push_back(state_->api.create_logical_type(is_string ? kVarchar : is_i64 ? kBigint : kDouble));
  }
  execute(fmt::format("CREATE TABLE {} ({})", table.name, definitions));
  state_->append(table.name, types, table.num_rows(),
                 [&](Handle vector, std::size_t column, std::int64_t first, std::int64_t num_rows) {
                   state_->fill(vector, table.columns[column].values, first, num_rows);
                 });
}

std::vector<ResultColumn> DuckDb::fetch(std::string_view sql) {
  const Api& api = state_->api;
  QueryResult result = state_->run(sql);
  std::vector<ResultColumn> columns(api.column_count(&result));
  std::vector<std::vector<std::size_t>> ends(columns.size());  // of strings, in the text
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::uint32_t type = api.column_type(&result, i);
    if (type != kBigint && type != kDouble && type != kVarchar) {
      api.destroy_result(&result);
      throw DuckDbError(fmt::format("column {} is no BIGINT, DOUBLE or VARCHAR", i));
    }
    columns[i].type = type == kBigint   ? ElementType::kI64
                      : type == kDouble ? ElementType::kF64
                                        : ElementType::kString;
  }
  while (Handle chunk = api.fetch_chunk(result)) {
    const Index num_rows = api.data_chunk_get_size(chunk);
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const auto* const data =
          static_cast<const std::byte*>(api.vector_get_data(api.data_chunk_get_vector(chunk, i)));
      if (columns[i].type != ElementType::kString) {
        columns[i].elements.insert(columns[i].elements.end(), data, data + num_rows * sizeof(std::int64_t));
        continue;
      }
      for (Index row = 0; row < num_rows; ++row) {
        columns[i].text += reinterpret_cast<const VectorString*>(data)[row].view();
        ends[i].push_back(columns[i].text.size());
      }
    }
    api.destroy_data_chunk(&chunk);
  }
  api.destroy_result(&result);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].type == ElementType::kString) point_into_text(columns[i], ends[i]);
  }
  return columns;
}

std::string_view duckdb_query(int number) {
  switch (number) {
    case 1:
      return R"(
        SELECT l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice),
               sum(l_extendedprice * (1 - l_discount)), sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)),
               avg(l_quantity), avg(l_extendedprice), avg(l_discount), count(*)
        FROM lineitem WHERE l_shipdate <= DATE '1998-09-02'
        GROUP BY l_returnflag, l_linestatus ORDER BY l_returnflag, l_linestatus)";
    case 3:
      return R"(
        SELECT l_orderkey, sum(l_extendedprice * (1 - l_discount)) AS revenue, o_orderdate, o_shippriority
        FROM customer, orders, lineitem
        WHERE c_mktsegment = 'BUILDING' AND c_custkey = o_custkey AND l_orderkey = o_orderkey
          AND o_orderdate < DATE '1995-03-15' AND l_shipdate > DATE '1995-03-15'
        GROUP BY l_orderkey, o_orderdate, o_shippriority ORDER BY revenue DESC, o_orderdate LIMIT 10)";
    case 6:
      return R"(
        SELECT sum(l_extendedprice * l_discount) FROM lineitem
        WHERE l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01'
          AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24)";
    case 12:
      return R"(
        SELECT l_shipmode,
               sum(CASE WHEN o_orderpriority = '1-URGENT' OR o_orderpriority = '2-HIGH' THEN 1 ELSE 0 END),
               sum(CASE WHEN o_orderpriority <> '1-URGENT' AND o_orderpriority <> '2-HIGH' THEN 1 ELSE 0 END)
        FROM orders, lineitem
        WHERE o_orderkey = l_orderkey AND l_shipmode IN ('MAIL', 'SHIP') AND l_commitdate < l_receiptdate
          AND l_shipdate < l_commitdate AND l_receiptdate >= DATE '1994-01-01'
          AND l_receiptdate < DATE '1995-01-01'
        GROUP BY l_shipmode ORDER BY l_shipmode)";
    default:
      throw DuckDbError(fmt::format("there is no text of query {}", number));
  }
}

}  // namespace weld::bench::peers
