#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "bench/tpch/queries/query_programs.h"
#include "bench/tpch/tables.h"
#include "codegen/engine.h"

namespace weld::bench::tpch {

/// The columns that the queries read, each once.
std::vector<std::string> columns_of_queries(std::span<const int> queries);

/// A query compiled for a database, which must outlive it, and may lack the columns that the query does not
/// read.
class QueryRun {
 public:
  /// Throws DataError when the database lacks a column or word that the query needs.
  QueryRun(const QueryProgram& program, const Database& database,
           const codegen::CompileOptions& options = {});

  const QueryProgram& query() const { return query_; }
  const codegen::Program& program() const { return *program_; }
  /// From text to code, the parser's part included. Little when the program was compiled before.
  double compile_ms() const { return compile_ms_; }

  /// Of all tables that the query reads.
  std::int64_t num_rows() const { return num_rows_; }
  /// Of all columns that it reads.
  std::int64_t num_bytes() const { return num_bytes_; }

  /// Throws std::runtime_error with the rendered diagnostic when the run fails.
  codegen::Result run(const std::shared_ptr<runtime::Context>& context,
                      const codegen::RunOptions& options) const;

  ResultTable read(const codegen::Result& result) const;

 private:
  void bind_arguments();

  const QueryProgram& query_;
  const Database& database_;
  std::shared_ptr<const codegen::Program> program_;
  double compile_ms_ = 0;
  std::int64_t num_rows_ = 0;
  std::int64_t num_bytes_ = 0;
  std::vector<std::byte> arguments_;  // the C struct of all parameters
};

}  // namespace weld::bench::tpch
