#include "bench/tpch/queries/query_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <set>
#include <stdexcept>

#include "bench/tpch/dates.h"
#include "bench/tpch/error.h"
#include "ir/nodes.h"
#include "parser/parser.h"
#include "runtime/abi.h"
#include "runtime/layout.h"

namespace weld::bench::tpch {
namespace {

using ir::ScalarKind;

// The table of a column, or null when no column has this name.
const TableSchema* table_of_column(std::string_view name) {
  for (const TableId table : kAllTables) {
    const TableSchema& schema = schema_of(table);
    for (const ColumnSchema& column : schema.columns) {
      if (column.name == name) return &schema;
    }
  }
  return nullptr;
}

ir::Expr parse_program(const QueryProgram& query, ir::Arena& arena) {
  return parser::parse(query.text, arena, {.name = fmt::format("q{}.weld", query.number)});
}

std::uint8_t code_of(const Column& column, std::string_view word) {
  const auto code = column.code_of(word);
  if (!code) throw DataError(fmt::format("{} has no word {}", column.schema().name, word));
  return *code;
}

std::int64_t value_of(const ConstantParameter& constant, const Database& database) {
  struct Evaluate {
    const Database& database;
    std::int64_t operator()(const DateConstant& date) const { return parse_date(date.date).value(); }
    std::int64_t operator()(const NumberConstant& number) const { return number.value; }
    std::int64_t operator()(const CodeConstant& code) const {
      return code_of(database.column(code.column), code.word);
    }
    std::int64_t operator()(const WordCount& count) const {
      return std::ssize(database.column(count.column).words());
    }
  };
  return std::visit(Evaluate{database}, constant.value);
}

// Integers narrower than 64 bits are their low bytes.
void store_integer(std::int64_t value, const runtime::TypeLayout& layout, std::byte* address) {
  std::memcpy(address, &value, static_cast<std::size_t>(layout.size_bytes));
}

std::int64_t load_integer(const runtime::TypeLayout& layout, const std::byte* address) {
  const auto load = [&]<typename T>(T value) {
    std::memcpy(&value, address, sizeof(T));
    return static_cast<std::int64_t>(value);
  };
  switch (layout.scalar) {
    case ScalarKind::kI8:
      return load(std::int8_t{});
    case ScalarKind::kU8:
      return load(std::uint8_t{});
    case ScalarKind::kI32:
      return load(std::int32_t{});
    case ScalarKind::kI64:
      return load(std::int64_t{});
    default:
      throw std::logic_error("a field of a query's result has an unexpected type");
  }
}

double load_double(const runtime::TypeLayout& layout, const std::byte* address) {
  if (layout.scalar != ScalarKind::kF64) throw std::logic_error("a field of a query's result is not f64");
  double value;
  std::memcpy(&value, address, sizeof(value));
  return value;
}

// The elements of one field of all rows.
template <typename T, typename Load>
std::vector<T> read_field(const runtime::VecView& rows, const runtime::TypeLayout& row,
                          const runtime::TypeLayout::Member& field, Load&& load) {
  std::vector<T> values;
  for (std::int64_t i = 0; i < rows.length; ++i) {
    values.push_back(load(*field.layout, rows.data + i * row.size_bytes + field.offset));
  }
  return values;
}

}  // namespace

std::vector<std::string> columns_of_queries(std::span<const int> queries) {
  std::set<std::string> columns;
  for (const int number : queries) {
    ir::Arena arena;
    const ir::Expr program = parse_program(query_program(number), arena);
    for (const ir::Parameter& parameter : program.as<ir::Lambda>()->parameters) {
      if (table_of_column(parameter.symbol.name())) columns.emplace(parameter.symbol.name());
    }
  }
  return {columns.begin(), columns.end()};
}

QueryRun::QueryRun(const QueryProgram& program, const Database& database,
                   const codegen::CompileOptions& options)
    : query_(program), database_(database) {
  const auto start = std::chrono::steady_clock::now();
  ir::Arena arena;
  program_ = codegen::Program::compile(parse_program(program, arena), options);
  compile_ms_ = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  bind_arguments();
}

void QueryRun::bind_arguments() {
  const runtime::TypeLayout& layout = program_->arguments_layout();
  arguments_.resize(static_cast<std::size_t>(layout.size_bytes));
  std::set<std::string_view> tables;
  for (std::size_t i = 0; i < layout.members.size(); ++i) {
    const runtime::TypeLayout::Member& member = layout.members[i];
    const std::string& name = program_->parameter_names()[i];
    std::byte* const address = arguments_.data() + member.offset;
    if (const TableSchema* table = table_of_column(name)) {
      const Column& column = database_.column(name);
      const auto element_bytes = static_cast<std::int64_t>(bytes_of(column.schema().element));
      if (member.layout->kind != runtime::LayoutKind::kVec ||
          member.layout->element->size_bytes != element_bytes) {
        throw std::logic_error(fmt::format("{} of query {} does not suit its column", name, query_.number));
      }
      const runtime::VecView view{static_cast<std::byte*>(const_cast<void*>(column.data())),
                                  column.num_elements()};
      std::memcpy(address, &view, sizeof(view));
      num_bytes_ += column.num_elements() * element_bytes;
      if (tables.insert(table->name).second) num_rows_ += column.num_rows();
      continue;
    }
    const auto constant = std::ranges::find(query_.constants, name, &ConstantParameter::name);
    if (constant == query_.constants.end()) {
      throw std::logic_error(
          fmt::format("nothing is known of the parameter {} of query {}", name, query_.number));
    }
    store_integer(value_of(*constant, database_), *member.layout, address);
  }
}

codegen::Result QueryRun::run(const std::shared_ptr<runtime::Context>& context,
                              const codegen::RunOptions& options) const {
  auto result = program_->run(context, arguments_.data(), options);
  if (!result) throw std::runtime_error(result.error().render());
  return std::move(*result);
}

ResultTable QueryRun::read(const codegen::Result& result) const {
  const auto& rows = *static_cast<const runtime::VecView*>(result.data());
  const runtime::TypeLayout& row = *result.layout().element;
  std::vector<ResultValues> columns;
  for (std::size_t i = 0; i < query_.fields.size(); ++i) {
    const runtime::TypeLayout::Member& field = row.members.at(i);
    if (const auto* word = std::get_if<WordField>(&query_.fields[i])) {
      const std::vector<std::string>& words = database_.column(word->column).words();
      columns.emplace_back(read_field<std::string>(rows, row, field, [&](const auto& layout, auto* address) {
        return words.at(static_cast<std::size_t>(load_integer(layout, address)));
      }));
    } else if (const auto* exact = std::get_if<ExactField>(&query_.fields[i])) {
      columns.emplace_back(
          ExactValues{read_field<std::int64_t>(rows, row, field, load_integer), exact->scale});
    } else {
      columns.emplace_back(read_field<double>(rows, row, field, load_double));
    }
  }
  return ResultTable(query_schema(query_.number), std::move(columns));
}

}  // namespace weld::bench::tpch
