#include "bench/tpch/tables.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "bench/tpch/error.h"
#include "bench/tpch/generator.h"
#include "bench/tpch/tbl_reader.h"
#include "tests/tpch/temporary_folder.h"

namespace weld::bench::tpch {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::ThrowsMessage;

FillOptions with_threads(int num_threads) {
  return {num_threads, ColumnSelection::all()};
}

FillOptions with_columns(const std::vector<std::string>& names) {
  return {2, ColumnSelection::named(names)};
}

// The rows of a table as its file would hold them.
std::string printed(const Table& table) {
  std::string text;
  for (std::int64_t row = 0; row < table.num_rows(); ++row) {
    for (const Column& column : table.columns()) text += column.printed(row) + '|';
    text += '\n';
  }
  return text;
}

TEST(Database, HoldsWhatTheFilesHold) {
  const Scale scale(0.01);
  const Database database = generate_database(scale);
  for (const TableId table : kAllTables) {
    std::string text;
    generate_text(scale, table, all_units(table, scale), 1, [&](std::string_view part) { text += part; });
    EXPECT_TRUE(printed(database.table(table)) == text) << schema_of(table).name;
  }
}

TEST(Database, IsTheSameFromFilesAndForAnyThreads) {
  const TemporaryFolder folder;
  for (const double scale_factor : {0.001, 0.05}) {
    const Scale scale(scale_factor);
    for (const TableId table : kAllTables) write_tbl_file(scale, table, folder.path(), 2);
    const Database generated = generate_database(scale, with_threads(1));
    EXPECT_TRUE(generate_database(scale, with_threads(5)) == generated);
    EXPECT_TRUE(read_database(folder.path(), with_threads(1)) == generated);
    EXPECT_TRUE(read_database(folder.path(), with_threads(5)) == generated);
  }
}

TEST(Database, FillsTheSelectedColumnsOnly) {
  const TemporaryFolder folder;
  const Scale scale(0.001);
  for (const TableId table : kAllTables) write_tbl_file(scale, table, folder.path(), 1);
  const FillOptions options = with_columns({"l_shipdate", "l_quantity", "region"});
  const Database database = generate_database(scale, options);
  const Table& lineitem = database.table("lineitem");
  ASSERT_EQ(lineitem.columns().size(), 2U);
  EXPECT_EQ(lineitem.columns()[0].schema().name, "l_quantity");
  EXPECT_EQ(lineitem.columns()[1].num_rows(), lineitem.num_rows());
  EXPECT_TRUE(lineitem.column("l_shipdate") == generate_database(scale).column("l_shipdate"));
  EXPECT_EQ(database.table(TableId::kRegion).columns().size(), 3U);
  EXPECT_EQ(database.table(TableId::kOrders).num_rows(), 0);
  EXPECT_TRUE(read_database(folder.path(), options) == database);

  EXPECT_THAT([&] { lineitem.column("l_tax"); },
              ThrowsMessage<DataError>("lineitem \"l_tax\" was not loaded"));
  EXPECT_THAT([&] { lineitem.column("o_tax"); }, ThrowsMessage<DataError>("lineitem \"o_tax\" is no column"));
  EXPECT_THAT([&] { database.column("tax"); }, ThrowsMessage<DataError>("no column is named \"tax\""));
  EXPECT_THAT([] { with_columns({"l_taxes"}); },
              ThrowsMessage<DataError>("no table or column is named \"l_taxes\""));
}

TEST(Column, IsLaidOutForScans) {
  const Database database = generate_database(Scale(0.1), with_columns({"lineitem"}));
  std::set<std::uintptr_t> places;
  std::size_t num_columns = 0;
  for (const Column& column : database.table(TableId::kLineitem).columns()) {
    const auto address = reinterpret_cast<std::uintptr_t>(column.data());
    EXPECT_EQ(address % 64, 0U) << column.schema().name;
    places.insert(address % (std::uintptr_t{2} << 20));
    ++num_columns;
    const auto* bytes = static_cast<const volatile char*>(column.data());
    const auto num_bytes =
        static_cast<std::size_t>(column.num_elements()) * bytes_of(column.schema().element);
    EXPECT_EQ(bytes[num_bytes + 63], 0) << column.schema().name;  // may be read
  }
  EXPECT_GT(places.size(), num_columns / 2);
}

TEST(Column, GivesItsElementsByType) {
  const Database database = generate_database(Scale(0.001));
  const Column& quantity = database.column("l_quantity");
  EXPECT_EQ(quantity.values<std::int8_t>()[0], 17);
  EXPECT_THROW(quantity.values<std::int32_t>(), std::logic_error);
  EXPECT_THROW(quantity.offsets(), std::logic_error);
  EXPECT_EQ(database.column("l_extendedprice").schema().element, ElementType::kI32);
  EXPECT_EQ(database.column("ps_availqty").values<std::int16_t>()[0], 3325);
  EXPECT_EQ(database.column("c_name").text(1), "Customer#000000002");
  const Column& mode = database.column("l_shipmode");
  EXPECT_THAT(mode.words(), ElementsAre("AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"));
  EXPECT_EQ(mode.code_of("MAIL"), 2);
  EXPECT_EQ(mode.code_of("AIR REG"), std::nullopt);
}

TEST(Database, RefusesKeysPastThirtyTwoBits) {
  EXPECT_THAT([] { generate_database(Scale(358), with_columns({"region"})); },
              ThrowsMessage<DataError>(HasSubstr("order keys reach 2148000000")));
}

// Reading tables from files of our own.
class ReadTable : public testing::Test {
 protected:
  Table read(TableId table, std::string_view text, int num_threads = 2) const {
    return read_table(table, folder_.write("some.tbl", text), with_threads(num_threads));
  }

  // The message after the folder's name.
  std::string error_of(TableId table, std::string_view text) const {
    try {
      read(table, text);
    } catch (const DataError& error) {
      const std::string message = error.what();
      EXPECT_TRUE(message.starts_with(folder_.path().string() + "/")) << message;
      return message.substr(folder_.path().string().size() + 1);
    }
    return "none";
  }

  TemporaryFolder folder_;
};

constexpr std::string_view kRegions = "0|AFRICA|lar deposits|\n1|ASIA||\n";

TEST_F(ReadTable, TakesRowsAsTheyCome) {
  const Table regions = read(TableId::kRegion, kRegions);
  EXPECT_EQ(regions.num_rows(), 2);
  EXPECT_EQ(printed(regions), kRegions);
  EXPECT_EQ(printed(read(TableId::kRegion, kRegions.substr(0, kRegions.size() - 1))), kRegions);
  EXPECT_EQ(read(TableId::kRegion, "").num_rows(), 0);
}

TEST_F(ReadTable, NumbersNewWordsAmongTheKnown) {
  const Table regions =
      read(TableId::kRegion, "0|ATLANTIS|a|\n1|ASIA|b|\n2||c|\n3|AFRICA|d|\n4|ATLANTIS|e|\n");
  EXPECT_THAT(regions.column("r_name").words(),
              ElementsAre("", "AFRICA", "AMERICA", "ASIA", "ATLANTIS", "EUROPE", "MIDDLE EAST"));
  EXPECT_THAT(regions.column("r_name").values<std::uint8_t>(), ElementsAre(4, 3, 0, 1, 4));
}

TEST_F(ReadTable, NumbersNewWordsOfManyWorkersAlike) {
  std::string text;
  for (int row = 0; row < 400'000; ++row) {
    text += fmt::format("1|WORD {}|{:04}|\n", row % 250 * 37 % 250, row % 1000);
  }
  const Table regions = read(TableId::kRegion, text, 4);
  EXPECT_TRUE(printed(regions) == text);
  EXPECT_EQ(regions.column("r_name").words().size(), 255U);
  EXPECT_TRUE(read(TableId::kRegion, text, 1) == regions);
}

TEST_F(ReadTable, RefusesTooManyWords) {
  std::string text;
  for (int row = 0; row < 252; ++row) text += fmt::format("1|WORD {}||\n", row);
  EXPECT_EQ(error_of(TableId::kRegion, text),
            "some.tbl:252: r_name: expected at most 256 distinct words, found \"WORD 251\"");
}

TEST_F(ReadTable, RefusesAnotherNumberOfFields) {
  EXPECT_EQ(error_of(TableId::kRegion, "0|ASIA|a|\n1|ASIA|\n"),
            "some.tbl:2: expected 3 fields, each followed by '|', found 2");
  EXPECT_EQ(error_of(TableId::kRegion, "0|ASIA|a\n"),
            "some.tbl:1: expected 3 fields, each followed by '|', found 2 and more text");
  EXPECT_EQ(error_of(TableId::kRegion, "0|ASIA|a|b|\n"),
            "some.tbl:1: expected 3 fields, each followed by '|', found 4");
  EXPECT_EQ(error_of(TableId::kRegion, "0|ASIA|a|\r\n"),
            "some.tbl:1: expected 3 fields, each followed by '|', found 3 and more text");
  EXPECT_EQ(error_of(TableId::kRegion, "0|ASIA|a|\n\n1|ASIA|a|\n"),
            "some.tbl:2: expected 3 fields, each followed by '|', found 0");
  EXPECT_EQ(error_of(TableId::kRegion, std::string("\0\0\0", 3)),
            "some.tbl:1: expected 3 fields, each followed by '|', found 0 and more text");
}

TEST_F(ReadTable, RefusesMalformedNumbers) {
  for (const std::string& key :
       std::vector<std::string>{"", "-", "x", "1x", " 1", "+1", "1.0", "1e3", "12345678901234567890"}) {
    EXPECT_EQ(error_of(TableId::kRegion, key + "|ASIA|a|\n"),
              fmt::format("some.tbl:1: r_regionkey: expected a whole number, found \"{}\"", key));
  }
  EXPECT_EQ(error_of(TableId::kRegion, "128|ASIA|a|\n"),
            "some.tbl:1: r_regionkey: expected -128 to 127, found \"128\"");
  EXPECT_EQ(error_of(TableId::kRegion, "-129|ASIA|a|\n"),
            "some.tbl:1: r_regionkey: expected -128 to 127, found \"-129\"");
}

std::string partsupp_row(std::string_view cost) {
  return fmt::format("1|2|3|{}|some text|\n", cost);
}

TEST_F(ReadTable, ReadsMoneyInCents) {
  const auto cents = [&](std::string_view cost) {
    return read(TableId::kPartsupp, partsupp_row(cost)).column("ps_supplycost").values<std::int32_t>()[0];
  };
  EXPECT_EQ(cents("12.34"), 1234);
  EXPECT_EQ(cents("-0.05"), -5);
  EXPECT_EQ(cents("7"), 700);
  EXPECT_EQ(cents("7.5"), 750);
  EXPECT_EQ(cents("21474836.47"), 2147483647);
  for (const std::string& cost :
       std::vector<std::string>{"", "-", ".", ".5", "1.", "1.234", "1,5", "1.2.3", "--1", "0x1", "nan",
                                "9999999999999999.00", "1." + std::string(30, '0')}) {
    EXPECT_EQ(
        error_of(TableId::kPartsupp, partsupp_row(cost)),
        fmt::format("some.tbl:1: ps_supplycost: expected a number with at most two decimals, found \"{}\"",
                    cost));
  }
  EXPECT_EQ(error_of(TableId::kPartsupp, partsupp_row("21474836.48")),
            "some.tbl:1: ps_supplycost: expected an amount of at most 21474836, found \"21474836.48\"");
}

TEST_F(ReadTable, RefusesDaysThatTheCalendarLacks) {
  const auto row = [](std::string_view date) {
    return fmt::format("1|1|O|1.00|{}|5-LOW|Clerk#1|0|text|\n", date);
  };
  EXPECT_EQ(printed(read(TableId::kOrders, row("1996-02-29"))), row("1996-02-29"));
  for (const std::string& date :
       std::vector<std::string>{"1995-02-29", "1995-13-01", "1995-00-01", "1995-1-1", "95-01-01",
                                "1995/01/01", "", "1995-01-0x", "1995-01-01 "}) {
    EXPECT_EQ(error_of(TableId::kOrders, row(date)),
              fmt::format("some.tbl:1: o_orderdate: expected a date YYYY-MM-DD, found \"{}\"", date));
  }
}

TEST_F(ReadTable, CutsLongTextInMessages) {
  EXPECT_EQ(
      error_of(TableId::kRegion, std::string(1'000, 'x') + "|ASIA|a|\n"),
      fmt::format("some.tbl:1: r_regionkey: expected a whole number, found \"{}...\"", std::string(40, 'x')));
}

TEST_F(ReadTable, ReportsTheFirstMalformedLineOfTheFile) {
  std::string text;
  for (int row = 0; row < 300'000; ++row) text += row >= 70'000 ? "x|ASIA|text|\n" : "1|ASIA|text|\n";
  for (int repeat = 0; repeat < 5; ++repeat) {
    EXPECT_EQ(error_of(TableId::kRegion, text),
              "some.tbl:70001: r_regionkey: expected a whole number, found \"x\"");
  }
}

TEST_F(ReadTable, TakesLinesLongerThanAMorsel) {
  const std::string text = fmt::format("1|ASIA|{}|\n2|ASIA|short|\n", std::string(5 << 20, 'y'));
  EXPECT_TRUE(printed(read(TableId::kRegion, text)) == text);
}

// No mutation of a row may do worse than be refused.
TEST_F(ReadTable, SurvivesAnyByteAnywhere) {
  const std::string row =
      "1|155190|7706|1|17|21168.23|0.04|0.02|N|O|1996-03-13|1996-02-12|1996-03-22|DELIVER IN "
      "PERSON|TRUCK|egular|\n";
  for (std::size_t place = 0; place < row.size(); ++place) {
    for (const char byte : {'\0', '|', '\n', '-', '9', '\xff'}) {
      std::string changed = row;
      changed[place] = byte;
      try {
        EXPECT_LE(read(TableId::kLineitem, changed, 1).num_rows(), 2);
      } catch (const DataError&) {
      }
    }
    try {
      EXPECT_LE(read(TableId::kLineitem, row.substr(0, place), 1).num_rows(), 1);
    } catch (const DataError&) {
    }
  }
}

TEST_F(ReadTable, SaysWhyAFileCannotBeRead) {
  EXPECT_THAT([&] { read_database(folder_.path()); },
              ThrowsMessage<DataError>(EndsWith("customer.tbl: No such file or directory")));
  EXPECT_THAT([&] { read_table(TableId::kRegion, folder_.path()); },
              ThrowsMessage<DataError>(HasSubstr("cannot read " + folder_.path().string())));
}

}  // namespace
}  // namespace weld::bench::tpch
