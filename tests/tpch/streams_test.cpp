#include "bench/tpch/streams.h"

#include <gtest/gtest.h>

namespace weld::bench::tpch {
namespace {

TEST(Stream, SkipsToAnyRow) {
  Stream<StreamId::kLineQuantity> stream(0);
  for (std::int64_t row = 0; row < 1'000; ++row) {
    stream.begin_row();
    Stream<StreamId::kLineQuantity> skipped(row);
    skipped.begin_row();
    ASSERT_EQ(stream.state(), skipped.state()) << row;
    for (std::int64_t draws = 0; draws < row % 8; ++draws) stream.step();
  }
}

TEST(Stream, RowsTakeTheirStepsDrawnOrNot) {
  Draws all(kStreams[static_cast<std::size_t>(StreamId::kLineTax)].seed);
  Stream<StreamId::kLineTax> stream(0);
  for (int row = 0; row < 100; ++row) {
    stream.begin_row();
    for (int i = 0; i < 7; ++i) {
      const std::uint64_t state = all.step();
      if (i < row % 7) ASSERT_EQ(stream.step(), state);
    }
  }
}

TEST(Draws, NarrowRangesNeedNoDivision) {
  Draws narrow(1);
  Draws wide(1);
  for (int i = 0; i < 1'000'000; ++i) {
    ASSERT_EQ((narrow.draw<100, 100'000>()), wide.draw(100, 100'000)) << i;
  }
}

TEST(Draws, ReachBothEndsAndNoFurther) {
  // The smallest state follows from the inverse of the multiplier, the greatest from its negative.
  Draws smallest(multiply_mod(1, skip_factor(static_cast<std::int64_t>(kModulus) - 2)));
  EXPECT_EQ((smallest.draw<10, 40>()), 10);
  EXPECT_EQ(smallest.state(), 1U);
  Draws greatest(kModulus - skip_factor(static_cast<std::int64_t>(kModulus) - 2));
  EXPECT_EQ(greatest.draw(10, 1'000'000'000'000), 999'999'999'535);
  EXPECT_EQ(greatest.state(), kModulus - 1);
}

TEST(PickTable, PicksByWeight) {
  const std::vector<int> slots = {7, 7, 7, 9};
  const PickTable<int> table{std::span<const int>(slots)};
  Draws draws(1);
  int num_sevens = 0;
  for (int i = 0; i < 100'000; ++i) num_sevens += draws.pick(table) == 7;
  EXPECT_NEAR(num_sevens, 75'000, 500);
}

}  // namespace
}  // namespace weld::bench::tpch
