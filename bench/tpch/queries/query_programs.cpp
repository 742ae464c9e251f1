#include "bench/tpch/queries/query_programs.h"

#include <algorithm>

#include "bench/tpch/queries/embedded_programs.h"

namespace weld::bench::tpch {

std::span<const QueryProgram> query_programs() {
  static const std::vector<QueryProgram> programs = {
      {.number = 1,
       .text = embedded::kProgram1,
       .constants = {{"num_flags", WordCount{"l_returnflag"}},
                     {"num_statuses", WordCount{"l_linestatus"}},
                     {"last_shipdate", DateConstant{"1998-09-02"}}},
       .fields = {WordField{"l_returnflag"}, WordField{"l_linestatus"}, ExactField{0}, ExactField{2},
                  ExactField{4}, ExactField{6}, ApproximateField{}, ApproximateField{}, ApproximateField{},
                  ExactField{0}}},
      {.number = 3,
       .text = embedded::kProgram3,
       .constants = {{"segment", CodeConstant{"c_mktsegment", "BUILDING"}},
                     {"date", DateConstant{"1995-03-15"}},
                     {"num_rows", NumberConstant{10}}},
       .fields = {ExactField{0}, ExactField{4}, ExactField{0}, ExactField{0}}},
      {.number = 6,
       .text = embedded::kProgram6,
       .constants = {{"from_shipdate", DateConstant{"1994-01-01"}},
                     {"before_shipdate", DateConstant{"1995-01-01"}},
                     {"min_discount", NumberConstant{5}},
                     {"max_discount", NumberConstant{7}},
                     {"below_quantity", NumberConstant{24}}},
       .fields = {ExactField{4}}},
      {.number = 12,
       .text = embedded::kProgram12,
       .constants = {{"mode1", CodeConstant{"l_shipmode", "MAIL"}},
                     {"mode2", CodeConstant{"l_shipmode", "SHIP"}},
                     {"from_receiptdate", DateConstant{"1994-01-01"}},
                     {"before_receiptdate", DateConstant{"1995-01-01"}},
                     {"urgent", CodeConstant{"o_orderpriority", "1-URGENT"}},
                     {"high", CodeConstant{"o_orderpriority", "2-HIGH"}}},
       .fields = {WordField{"l_shipmode"}, ExactField{0}, ExactField{0}}},
  };
  return programs;
}

const QueryProgram& query_program(int number) {
  return *std::ranges::find(query_programs(), query_schema(number).number, &QueryProgram::number);
}

}  // namespace weld::bench::tpch
