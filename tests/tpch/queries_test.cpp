#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/tpch/answers.h"
#include "bench/tpch/error.h"
#include "bench/tpch/generator.h"
#include "bench/tpch/queries/query_run.h"
#include "bench/tpch/reference.h"
#include "runtime/memory.h"

namespace weld::bench::tpch {
namespace {

std::vector<int> all_queries() {
  std::vector<int> queries;
  for (const QueryProgram& program : query_programs()) queries.push_back(program.number);
  return queries;
}

// The columns that the queries read, made once for each scale factor.
const Database& database_at(double scale_factor) {
  static std::map<double, Database> databases;
  const auto found = databases.find(scale_factor);
  if (found != databases.end()) return found->second;
  const std::vector<int> queries = all_queries();
  return databases
      .emplace(scale_factor,
               generate_database(Scale(scale_factor),
                                 {.columns = ColumnSelection::named(columns_of_queries(queries))}))
      .first->second;
}

ResultTable result_of(const QueryRun& query, int threads) {
  const auto context = std::make_shared<runtime::Context>();
  return query.read(query.run(context, {.num_threads = threads}));
}

void expect_reference(const QueryRun& query, const Database& database, int threads) {
  SCOPED_TRACE(fmt::format("{} threads", threads));
  const ResultTable reference = compute_reference(query.query().number, database);
  EXPECT_GT(reference.num_rows(), 0);
  EXPECT_EQ(
      find_mismatch(result_of(query, threads), reference, Strictness::kExact, finer_values_of(reference)),
      std::nullopt);
}

class Query : public testing::TestWithParam<int> {
 public:
  static const QueryProgram& program() { return query_program(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(All, Query, testing::ValuesIn(all_queries()),
                         [](const auto& query) { return fmt::format("Q{}", query.param); });

TEST_P(Query, EqualsTheReferenceCompiled) {
  for (const double scale_factor : {0.01, 0.1}) {
    SCOPED_TRACE(scale_factor);
    const Database& database = database_at(scale_factor);
    const QueryRun query(program(), database);
    EXPECT_FALSE(query.program().interpreted());
    for (const int threads : {1, 2, 4}) expect_reference(query, database, threads);
  }
}

TEST_P(Query, EqualsTheReferenceInterpreted) {
  const Database& database = database_at(0.01);
  codegen::CompileOptions options;
  options.interpret = true;
  const QueryRun query(program(), database, options);
  EXPECT_TRUE(query.program().interpreted());
  for (const int threads : {1, 2}) expect_reference(query, database, threads);
}

TEST_P(Query, HasTheOfficialAnswer) {
  const Database& database = database_at(1);
  const QueryRun query(program(), database);
  const ResultTable answer = official_answer(query_schema(GetParam()));
  for (const int threads : {1, 2}) {
    const ResultTable result = result_of(query, threads);
    EXPECT_EQ(find_mismatch(result, answer, Strictness::kOfficial), std::nullopt);
    EXPECT_EQ(find_mismatch(result, answer, Strictness::kExact), std::nullopt);
  }
}

TEST_P(Query, NeedsOnlyItsColumns) {
  const std::vector<int> queries = {GetParam()};
  const Database database =
      generate_database(Scale(0.001), {.columns = ColumnSelection::named(columns_of_queries(queries))});
  const QueryRun query(program(), database);
  EXPECT_GT(query.num_rows(), 0);
  EXPECT_GT(query.num_bytes(), query.num_rows());
  EXPECT_NO_THROW(result_of(query, 1));
  EXPECT_THROW(QueryRun(program(), Database()), DataError);
}

TEST(ColumnsOfQueries, AreEachNamedOnce) {
  EXPECT_EQ(columns_of_queries(std::vector{6}),
            (std::vector<std::string>{"l_discount", "l_extendedprice", "l_quantity", "l_shipdate"}));
  EXPECT_EQ(columns_of_queries(std::vector{6, 6}), columns_of_queries(std::vector{6}));
  EXPECT_THROW(columns_of_queries(std::vector{2}), DataError);
}

TEST(Reference, DoesNotAcceptAnotherSum) {
  const Database& database = database_at(0.01);
  const ResultTable reference = compute_reference(6, database);
  const auto& revenue = std::get<ExactValues>(reference.columns()[0].values);
  const ResultTable other(query_schema(6), {ExactValues{{revenue.units[0] + 1}, revenue.scale}});
  EXPECT_NE(find_mismatch(other, reference, Strictness::kExact, finer_values_of(reference)), std::nullopt);
}

}  // namespace
}  // namespace weld::bench::tpch
