#include "bench/tpch/answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "bench/tpch/error.h"

namespace weld::bench::tpch {
namespace {

using testing::Optional;
using testing::ThrowsMessage;

// A right result of query 1, as exact arithmetic yields it; the averages are quotients in doubles.
std::vector<ResultValues> pricing_summary() {
  const std::vector<std::int64_t> quantities = {37734107, 991417, 74476040, 37719753};
  const std::vector<std::int64_t> prices = {5658655440073, 148750471038, 11170172969774, 5656804138090};
  const std::vector<std::int64_t> counts = {1478493, 38854, 2920374, 1478870};
  ApproximateValues average_quantities;
  ApproximateValues average_prices;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto count = static_cast<double>(counts[i]);
    average_quantities.push_back(static_cast<double>(quantities[i]) / count);
    average_prices.push_back(static_cast<double>(prices[i]) / count / 100);
  }
  return {TextValues{"A", "N", "N", "R"},
          TextValues{"F", "F", "O", "F"},
          ExactValues{quantities, 0},
          ExactValues{prices, 2},
          ExactValues{{537582571348700, 14130821680541, 1061182303076056, 537412926846040}, 4},
          ExactValues{{55909065222827692, 1469649223194375, 110367043872497010, 55889619119831932}, 6},
          average_quantities,
          average_prices,
          ApproximateValues{0.0499852958384, 0.0500934266742, 0.0499965860537, 0.0500094058301},
          ExactValues{counts, 0}};
}

std::optional<std::string> mismatch_of(int query, std::vector<ResultValues> values,
                                       Strictness strictness = Strictness::kExact) {
  const QuerySchema& schema = query_schema(query);
  return find_mismatch(ResultTable(schema, std::move(values)), official_answer(schema), strictness);
}

TEST(Answers, AcceptThemselves) {
  for (const QuerySchema& query : query_schemas()) {
    const ResultTable answer = official_answer(query);
    EXPECT_EQ(find_mismatch(answer, answer, Strictness::kOfficial), std::nullopt) << query.number;
  }
}

TEST(Answers, HaveTheOfficialRows) {
  EXPECT_EQ(official_answer(query_schema(1)).num_rows(), 4U);
  EXPECT_EQ(official_answer(query_schema(3)).num_rows(), 10U);
  EXPECT_EQ(official_answer(query_schema(12)).num_rows(), 2U);
  EXPECT_EQ(render_bars(official_answer(query_schema(6))), "revenue\n123141078.23\n");
  EXPECT_EQ(official_answer(query_schema(12)).printed(0, 1), "SHIP");
  EXPECT_EQ(official_answer(query_schema(3)).printed(2, 0), "1995-03-05");
}

TEST(Answers, AcceptExactSums) {
  EXPECT_EQ(mismatch_of(1, pricing_summary(), Strictness::kOfficial), std::nullopt);
  EXPECT_EQ(mismatch_of(1, pricing_summary(), Strictness::kExact), std::nullopt);
}

TEST(Answers, SeeTheLastDigitOfASum) {
  std::vector<ResultValues> values = pricing_summary();
  ++std::get<ExactValues>(values[5]).units[2];
  EXPECT_EQ(mismatch_of(1, values, Strictness::kOfficial), std::nullopt);
  EXPECT_THAT(mismatch_of(1, values),
              Optional(std::string("query 1, row 3, sum_charge: expected 110367043872.497010, "
                                   "found 110367043872.497011")));
}

TEST(Answers, AllowHundredDollarsOfficially) {
  std::vector<ResultValues> values = pricing_summary();
  std::get<ExactValues>(values[3]).units[0] += 10'000;
  EXPECT_EQ(mismatch_of(1, values, Strictness::kOfficial), std::nullopt);
  std::get<ExactValues>(values[3]).units[0] += 1;
  EXPECT_THAT(
      mismatch_of(1, values, Strictness::kOfficial),
      Optional(std::string("query 1, row 1, sum_base_price: expected 56586554400.73, found 56586554500.74")));
}

TEST(Answers, HoldAveragesToNineDigits) {
  std::vector<ResultValues> values = pricing_summary();
  std::get<ApproximateValues>(values[8])[1] *= 1 + 5e-10;
  EXPECT_EQ(mismatch_of(1, values), std::nullopt);
  std::get<ApproximateValues>(values[8])[1] *= 1 + 5e-9;
  EXPECT_NE(mismatch_of(1, values), std::nullopt);
  EXPECT_EQ(mismatch_of(1, values, Strictness::kOfficial), std::nullopt);
  std::get<ApproximateValues>(values[8])[1] = 0.06;
  EXPECT_THAT(mismatch_of(1, values, Strictness::kOfficial),
              Optional(std::string("query 1, row 2, avg_disc: expected 0.05, found 0.06")));
}

TEST(Answers, RefuseNotANumber) {
  for (const std::size_t column : {2U, 3U, 6U}) {
    std::vector<ResultValues> values = pricing_summary();
    values[column] = ApproximateValues(4, std::nan(""));
    EXPECT_NE(mismatch_of(1, values, Strictness::kOfficial), std::nullopt) << column;
    EXPECT_NE(mismatch_of(1, values, Strictness::kExact), std::nullopt) << column;
  }
}

TEST(Answers, AcceptSumsInDoubles) {
  std::vector<ResultValues> values = pricing_summary();
  values[5] = ApproximateValues{55909065222.83, 1469649223.194375, 110367043872.4968, 55889619119.83193};
  EXPECT_EQ(mismatch_of(1, values), std::nullopt);
  values[5] = ApproximateValues{55909065222.83, 1469649223.22, 110367043872.4968, 55889619119.83193};
  EXPECT_THAT(mismatch_of(1, values),
              Optional(std::string("query 1, row 2, sum_charge: expected 1469649223.194375, "
                                   "found 1469649223.22")));
  values[2] = ApproximateValues{37734107, 991417, 74476040, 37719753.01};
  EXPECT_NE(mismatch_of(1, values, Strictness::kOfficial), std::nullopt);
}

TEST(Answers, SeeCountsTextRowsAndTheirOrder) {
  std::vector<ResultValues> values = pricing_summary();
  ++std::get<ExactValues>(values[9]).units[3];
  EXPECT_THAT(mismatch_of(1, values, Strictness::kOfficial),
              Optional(std::string("query 1, row 4, count_order: expected 1478870, found 1478871")));

  const auto modes = [](std::string first, std::string second) {
    return std::vector<ResultValues>{TextValues{std::move(first), std::move(second)},
                                     ExactValues{{6202, 6200}, 0}, ExactValues{{9324, 9262}, 0}};
  };
  EXPECT_EQ(mismatch_of(12, modes("MAIL   ", "SHIP")), std::nullopt);
  EXPECT_THAT(mismatch_of(12, modes("SHIP", "MAIL")),
              Optional(std::string("query 12, row 1, l_shipmode: expected MAIL, found SHIP")));
  EXPECT_NE(mismatch_of(12, modes(" MAIL", "SHIP")), std::nullopt);
  EXPECT_THAT(mismatch_of(12, {TextValues{"MAIL"}, ExactValues{{6202}, 0}, ExactValues{{9324}, 0}}),
              Optional(std::string("query 12: expected 2 rows, found 1")));
}

TEST(Answers, CatchTheDiscountBoundsOfDoubles) {
  // 0.06 + 0.01 in doubles is below 0.07, which loses the lines with that discount.
  EXPECT_THAT(mismatch_of(6, {ExactValues{{752077681900}, 4}}, Strictness::kOfficial),
              Optional(std::string("query 6, row 1, revenue: expected 123141078.23, found 75207768.1900")));
  EXPECT_EQ(mismatch_of(6, {ExactValues{{1231410782283}, 4}}), std::nullopt);
  EXPECT_THAT(
      mismatch_of(6, {ExactValues{{1231410782284}, 4}}),
      Optional(std::string("query 6, row 1, revenue: expected 123141078.2283, found 123141078.2284")));
  EXPECT_EQ(mismatch_of(6, {ExactValues{{12314107823}, 2}}), std::nullopt);
}

TEST(Answers, RefuseFilesThatDoNotSuitTheQuery) {
  const QuerySchema& query = query_schema(12);
  EXPECT_THAT([&] { parse_answer(query, "a|b\nMAIL|1|2\n", "mine.out"); },
              ThrowsMessage<DataError>("mine.out:1: expected 3 fields, found \"a|b\""));
  EXPECT_THAT([&] { parse_answer(query, "a|b|c\nMAIL|1|2.5\n", "mine.out"); },
              ThrowsMessage<DataError>("mine.out:2: expected a value of low_line_count, found \"2.5\""));
  EXPECT_THAT([&] { parse_answer(query, "a|b|c\nMAIL||2\n", "mine.out"); },
              ThrowsMessage<DataError>("mine.out:2: expected a value of high_line_count, found \"\""));
  EXPECT_EQ(parse_answer(query, "", "mine.out").num_rows(), 0U);
  EXPECT_THAT([] { query_schema(23); },
              ThrowsMessage<DataError>("there is no query 23; there are 1, 3, 6, 12"));
}

TEST(ResultTable, RefusesValuesThatDoNotSuit) {
  const QuerySchema& query = query_schema(6);
  EXPECT_THROW(ResultTable(query, {}), std::logic_error);
  EXPECT_THROW(ResultTable(query, {TextValues{"1"}}), std::logic_error);
  EXPECT_THROW(
      ResultTable(query_schema(12), {TextValues{"MAIL"}, ExactValues{{1}, 0}, ExactValues{{1, 2}, 0}}),
      std::logic_error);
  EXPECT_THROW(ResultTable(query_schema(12), {TextValues{"MAIL"}, ExactValues{{1}, 0}, ExactValues{{1}, 2}}),
               std::logic_error);
}

TEST(ResultTable, RendersForPeopleAndPrograms) {
  const ResultTable table(query_schema(3), {ExactValues{{2456423, 7}, 0}, ExactValues{{4061810111, -5}, 4},
                                            ExactValues{{9194, 0}, 0}, ExactValues{{0, 0}, 0}});
  EXPECT_EQ(render_bars(table),
            "l_orderkey|revenue|o_orderdate|o_shippriority\n"
            "2456423|406181.01|1995-03-05|0\n"
            "7|0.00|1970-01-01|0\n");
  EXPECT_EQ(render_aligned(table),
            "l_orderkey    revenue  o_orderdate  o_shippriority\n"
            "----------  ---------  -----------  --------------\n"
            "   2456423  406181.01   1995-03-05               0\n"
            "         7       0.00   1970-01-01               0\n");
}

TEST(Decimal, PrintsAndRounds) {
  EXPECT_EQ(format_decimal({-5, 2}), "-0.05");
  EXPECT_EQ(format_decimal({INT64_MIN, 2}), "-92233720368547758.08");
  EXPECT_EQ(format_decimal({7, 0}), "7");
  EXPECT_EQ(format_decimal(rescale({12345, 3}, 2)), "12.35");
  EXPECT_EQ(format_decimal(rescale({-12345, 3}, 2)), "-12.35");
  EXPECT_EQ(format_decimal(rescale({12344, 3}, 2)), "12.34");
  EXPECT_EQ(format_decimal(rescale({7, 0}, 2)), "7.00");
  for (const std::string_view text :
       {"", "-", ".", "1.", ".5", "1.2.3", "1e3", " 1", "1234567890123456789"}) {
    EXPECT_FALSE(parse_decimal(text).has_value()) << text;
  }
  EXPECT_EQ(parse_decimal("-12.30")->units, -1230);
}

}  // namespace
}  // namespace weld::bench::tpch
