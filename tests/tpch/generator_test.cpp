#include "bench/tpch/generator.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <stdexcept>

#include "bench/tpch/error.h"
#include "tests/tpch/checksums.h"
#include "tests/tpch/temporary_folder.h"

namespace weld::bench::tpch {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

class OfficialChecksums : public testing::TestWithParam<Checksum> {};

TEST_P(OfficialChecksums, AreReached) {
  const Checksum& official = GetParam();
  const Scale scale(official.scale_factor);
  const UnitRange units = official.whole ? all_units(official.table, scale) : official.units;
  Md5 md5;
  std::int64_t num_rows = 0;
  std::int64_t num_bytes = 0;
  generate_text(scale, official.table, units, default_num_threads(), [&](std::string_view text) {
    md5.add(text);
    num_rows += std::ranges::count(text, '\n');
    num_bytes += std::ssize(text);
  });
  EXPECT_EQ(num_rows, official.num_rows);
  EXPECT_EQ(num_bytes, official.num_bytes);
  EXPECT_EQ(md5.hex(), official.md5);
}

INSTANTIATE_TEST_SUITE_P(All, OfficialChecksums, testing::ValuesIn(read_checksums()), [](const auto& info) {
  const Checksum& checksum = info.param;
  std::string scale = fmt::format("{}", checksum.scale_factor);
  std::ranges::replace(scale, '.', '_');
  return fmt::format("{}AtScale{}{}", schema_of(checksum.table).name, scale, checksum.whole ? "" : "Range");
});

std::string text_of(const Scale& scale, TableId table, UnitRange units, int num_threads) {
  std::string text;
  generate_text(scale, table, units, num_threads, [&](std::string_view part) { text += part; });
  return text;
}

TEST(Generator, PartsOfATableMakeTheWhole) {
  const Scale scale(0.002);
  for (const TableId table : kAllTables) {
    const std::int64_t num_units = all_units(table, scale).num_units;
    std::string joined;
    for (std::int64_t first = 0; first < num_units; first += 7) {
      joined += text_of(scale, table, {first, std::min<std::int64_t>(7, num_units - first)}, 1);
    }
    EXPECT_EQ(joined, text_of(scale, table, {0, num_units}, 3)) << schema_of(table).name;
  }
}

TEST(Generator, RefusesUnitsPastTheTable) {
  const Scale scale(1);
  EXPECT_EQ(text_of(scale, TableId::kRegion, {5, 0}, 1), "");
  EXPECT_THAT([&] { text_of(scale, TableId::kRegion, {4, 2}, 1); },
              ThrowsMessage<DataError>(HasSubstr("region has 5 units, not those from 5 to 6")));
  EXPECT_THROW(text_of(scale, TableId::kRegion, {-1, 2}, 1), DataError);
}

TEST(Generator, ThrowsOnWhatTheSinkThrows) {
  const Scale scale(0.1);
  const auto refuse = [](std::string_view) { throw std::runtime_error("enough"); };
  for (const int num_threads : {1, 4}) {
    EXPECT_THAT(
        [&] {
          generate_text(scale, TableId::kOrders, all_units(TableId::kOrders, scale), num_threads, refuse);
        },
        ThrowsMessage<std::runtime_error>("enough"));
  }
}

TEST(Scale, CountsAsTheOfficialGenerator) {
  EXPECT_EQ(Scale(2.7).num_orders(), 3'000'000);
  EXPECT_EQ(Scale(0.0127).num_parts(), 2'400);
  EXPECT_EQ(Scale(0.001).num_suppliers(), 10);
  EXPECT_EQ(Scale(0.5).num_clerks(), 1'000);
  EXPECT_EQ(Scale(29'999).num_orders(), std::int64_t{29'999} * 1'500'000);
}

TEST(Scale, RefusesWhatItCannotDraw) {
  EXPECT_THAT([] { Scale(30'000); }, ThrowsMessage<DataError>("scale factor 30000 is not below 30000"));
  EXPECT_THAT([] { Scale(0.0009); }, ThrowsMessage<DataError>("scale factor 0.0009 is below 0.001"));
  EXPECT_THAT([] { Scale{std::nan("")}; }, ThrowsMessage<DataError>("the scale factor is not a number"));
  EXPECT_THROW(Scale(-1), DataError);
  EXPECT_THROW(Scale(0), DataError);
  EXPECT_THROW(Scale{std::numeric_limits<double>::infinity()}, DataError);
}

TEST(TblFile, AppearsWholeAndUnderItsNameOnly) {
  const TemporaryFolder folder;
  const Scale scale(0.001);
  const std::int64_t num_bytes = write_tbl_file(scale, TableId::kOrders, folder.path() / "deep" / "er", 2);
  EXPECT_EQ(folder.files_below(), std::vector<std::string>{"deep/er/orders.tbl"});
  std::ifstream file(folder.path() / "deep/er/orders.tbl");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(std::ssize(text), num_bytes);
  EXPECT_EQ(text, text_of(scale, TableId::kOrders, all_units(TableId::kOrders, scale), 1));
}

TEST(TblFile, LeavesNothingWhenItFails) {
  const TemporaryFolder folder;
  const auto interrupt = [](const WriteProgress& progress) {
    if (progress.fraction > 0.5) throw DataError("interrupted");
  };
  EXPECT_THAT([&] { write_tbl_file(Scale(0.02), TableId::kOrders, folder.path(), 2, interrupt); },
              ThrowsMessage<DataError>("interrupted"));
  EXPECT_TRUE(folder.files_below().empty());

  std::filesystem::create_directory(folder.path() / "region.tbl");
  EXPECT_THAT([&] { write_tbl_file(Scale(1), TableId::kRegion, folder.path(), 1); },
              ThrowsMessage<DataError>(HasSubstr("region.tbl: Is a directory")));
  EXPECT_TRUE(folder.files_below().empty());
}

TEST(TblFile, SaysWhyAFolderCannotBeMade) {
  EXPECT_THAT([] { write_tbl_file(Scale(1), TableId::kRegion, "/dev/null/data", 1); },
              ThrowsMessage<DataError>("cannot create /dev/null/data: Not a directory"));
}

}  // namespace
}  // namespace weld::bench::tpch
