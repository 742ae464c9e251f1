#include "ir/reduction_order.h"

#include <gtest/gtest.h>

#include <random>

#include "program_builder.h"

namespace weld::ir {
namespace {

const auto kAddDoubles = [](double l, double r) { return l + r; };

double pairwise_by_halves(const double* totals, std::int64_t count) {
  if (count == 1) return totals[0];
  std::int64_t left = 1;
  while (2 * left < count) left *= 2;
  return pairwise_by_halves(totals, left) + pairwise_by_halves(totals + left, count - left);
}

std::vector<double> random_values(std::size_t count) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> distribution(-1, 1);
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(distribution(random) * (i % 7 == 0 ? 1e12 : 1));
  return values;
}

TEST(ReductionOrder, TreeCounterAndRecursionAgree) {
  for (std::int64_t count = 1; count <= 300; ++count) {
    const std::vector<double> values = random_values(static_cast<std::size_t>(count));
    PairwiseTotals<double, decltype(kAddDoubles)> counter(kAddDoubles);
    for (double value : values) counter.push(value);
    std::vector<double> array = values;
    const double expected = pairwise_by_halves(values.data(), count);
    EXPECT_EQ(counter.total(0.0), expected) << count;
    EXPECT_EQ(combine_pairwise(array.data(), count, 0.0, kAddDoubles), expected) << count;
  }
  EXPECT_EQ((PairwiseTotals<double, decltype(kAddDoubles)>(kAddDoubles).total(0.0)), 0.0);
  EXPECT_EQ(combine_pairwise<double>(nullptr, 0, 1.0, kAddDoubles), 1.0);
}

TEST(ReductionOrder, LanesFoldInHalves) {
  std::array<double, kLanes> lanes;
  const std::vector<double> values = random_values(kLanes);
  std::copy(values.begin(), values.end(), lanes.begin());
  double folded[16];
  std::copy(values.begin(), values.end(), folded);
  for (int half : {8, 4, 2, 1}) {
    for (int i = 0; i < half; ++i) folded[i] += folded[i + half];
  }
  EXPECT_EQ(fold_lanes(lanes, kAddDoubles), folded[0]);
  EXPECT_EQ(fold_simd(std::vector(values.begin(), values.begin() + 4), kAddDoubles),
            (values[0] + values[2]) + (values[1] + values[3]));
  EXPECT_EQ(lane_of(70, 71), 70 % 16);
  EXPECT_EQ(lane_of(7, 8), 0);
  EXPECT_EQ(lane_of(8, 9), 8);
  EXPECT_EQ(lane_of(17, 18), 1);
}

TEST(ReductionOrder, RangesAreWholeBlocksAndCoverTheLoop) {
  for (std::int64_t n : {0L, 1L, 63L, 4096L, 4097L, 262144L, 262145L, 1000000L, 123456789L}) {
    for (std::int64_t block : {1L, 64L, 4096L}) {
      for (std::int64_t most : {1L, 8L, 64L}) {
        const Ranges ranges = cut_ranges(n, block, most);
        EXPECT_LE(ranges.num_ranges, most);
        EXPECT_EQ(ranges.range_iterations % block, 0);
        if (n == 0) {
          EXPECT_EQ(ranges.num_ranges, 0);
          continue;
        }
        EXPECT_GE(ranges.num_ranges * ranges.range_iterations, n);
        EXPECT_LT((ranges.num_ranges - 1) * ranges.range_iterations, n);
      }
    }
  }
  EXPECT_EQ(cut_ranges(10, INT64_MAX, 64).num_ranges, 1);
}

TEST(ReductionOrder, BlocksDependOnTheBody) {
  ProgramBuilder p;
  const Type sum = p.arena.merger(kF64, MergeOp::kAdd);
  const Expr flat =
      p.loop({p.each(p.f64s({1}))}, p.builder(sum), [&](Expr b, Expr, Expr e) { return p.merge(b, e); });
  EXPECT_EQ(block_iterations(flat), 4096);
  EXPECT_EQ(block_iterations(p.annotated(flat, "block", "100")), 100);
  EXPECT_EQ(range_rule(p.annotated(flat, "ranges", "7")).max_ranges, 7);
  const Expr nested = p.loop({p.range(0, 3)}, p.builder(sum), [&](Expr b, Expr, Expr) {
    return p.loop({p.each(p.f64s({1}))}, b, [&](Expr c, Expr, Expr e) { return p.merge(c, e); });
  });
  EXPECT_EQ(block_iterations(nested), 64);
  EXPECT_TRUE(depends_on_order(p.arena.structure({p.arena.merger(kI64, MergeOp::kAdd), sum})));
  EXPECT_FALSE(depends_on_order(sum, BuildersAsked::kKeyed));
  EXPECT_FALSE(depends_on_order(p.arena.merger(kF64, MergeOp::kMax)));
  EXPECT_TRUE(depends_on_order(p.arena.dictmerger(kI64, kF32, MergeOp::kMul), BuildersAsked::kKeyed));
}

// The sum of a loop over the values, by the rules and independently of the interpreter.
double sum_of(const std::vector<double>& values, std::size_t block) {
  std::vector<double> totals;
  for (std::size_t first = 0; first < values.size(); first += block) {
    const std::size_t count = std::min(block, values.size() - first);
    double lanes[16] = {};
    for (std::size_t i = 0; i < count; ++i) lanes[count < 9 ? 0 : i % 16] += values[first + i];
    for (std::size_t half : {8, 4, 2, 1}) {
      for (std::size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    }
    totals.push_back(lanes[0]);
  }
  return totals.empty() ? 0.0 : pairwise_by_halves(totals.data(), static_cast<std::int64_t>(totals.size()));
}

TEST(ReductionOrder, InterpreterSumsMergersByTheRules) {
  for (std::size_t count : {0, 1, 8, 9, 15, 16, 17, 63, 64, 65, 100, 4096, 4097, 4104, 4105, 20000, 50000}) {
    const std::vector<double> values = random_values(count);
    ProgramBuilder p;
    const Type sum = p.arena.merger(kF64, MergeOp::kAdd);
    const auto program = [&](std::string_view block) {
      return p.lambda({p.arena.vec(kF64)}, [&](auto args) {
        Expr loop = p.loop({p.each(args[0])}, p.builder(sum, p.f64(0.1)),
                           [&](Expr b, Expr, Expr e) { return p.merge(b, e); });
        if (!block.empty()) loop = p.annotated(loop, "block", block);
        return p.result(loop);
      });
    };
    const std::vector<Value> arguments{Value::vector_of(std::span<const double>(values))};
    EXPECT_EQ(interpret(program(""), arguments)->as<double>(), 0.1 + sum_of(values, 4096)) << count;
    EXPECT_EQ(interpret(program("100"), arguments)->as<double>(), 0.1 + sum_of(values, 100)) << count;
  }
}

TEST(ReductionOrder, InnerLoopIsOneValueOfTheOuterIteration) {
  const std::vector<double> values = random_values(300);
  const std::size_t num_outer = 150;
  ProgramBuilder p;
  const Type sum = p.arena.merger(kF64, MergeOp::kAdd);
  const Expr program = p.lambda({p.arena.vec(kF64)}, [&](auto args) {
    return p.result(p.loop({p.range(0, num_outer)}, p.builder(sum), [&](Expr b, Expr, Expr i) {
      const Expr inner = p.loop({p.each(args[0])}, b, [&](Expr c, Expr, Expr e) {
        return p.merge(c, p.mul(e, p.cast(ScalarKind::kF64, i)));
      });
      return p.merge(inner, p.f64(0.3));
    }));
  });
  std::vector<double> lanes_of_blocks;
  for (std::size_t first = 0; first < num_outer; first += 64) {
    const std::size_t count = std::min<std::size_t>(64, num_outer - first);
    double lanes[16] = {};
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<double> scaled;
      for (double value : values) scaled.push_back(value * static_cast<double>(first + i));
      double& lane = lanes[count < 9 ? 0 : i % 16];
      lane += sum_of(scaled, 4096);
      lane += 0.3;
    }
    for (std::size_t half : {8, 4, 2, 1}) {
      for (std::size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    }
    lanes_of_blocks.push_back(lanes[0]);
  }
  const std::vector<Value> arguments{Value::vector_of(std::span<const double>(values))};
  EXPECT_EQ(
      interpret(program, arguments)->as<double>(),
      0.0 + pairwise_by_halves(lanes_of_blocks.data(), static_cast<std::int64_t>(lanes_of_blocks.size())));
}

// Sums by key = i % num_keys over ranges, added once to 0.25.
std::vector<double> keyed_sums(const std::vector<double>& values, std::size_t num_keys, std::size_t range) {
  std::vector<double> totals(num_keys, 0.0);
  for (std::size_t first = 0; first < values.size(); first += range) {
    std::vector<double> sums(num_keys, 0.0);
    for (std::size_t i = first; i < std::min(values.size(), first + range); ++i)
      sums[i % num_keys] += values[i];
    for (std::size_t key = 0; key < num_keys; ++key) totals[key] += sums[key];
  }
  for (double& total : totals) total += 0.25;
  return totals;
}

struct KeyedCase {
  std::size_t num_keys;
  std::string_view ranges;
  std::size_t range_iterations;
  std::size_t vector_range_iterations;
};

TEST(ReductionOrder, KeyedBuildersSumInRanges) {
  const std::vector<double> values = random_values(600'000);  // 147 blocks: 3 a range
  const KeyedCase cases[] = {{5, "", 3 * 4096, 3 * 4096},
                             {8192, "", 3 * 4096, 9 * 4096},  // of a vector: 147 blocks in 18 ranges
                             {5, "1", 600'000, 600'000},
                             {5, "10", 15 * 4096, 15 * 4096}};
  for (const KeyedCase& keyed : cases) {
    ProgramBuilder p;
    const auto num_keys = static_cast<std::int64_t>(keyed.num_keys);
    const auto with_ranges = [&](Expr loop) {
      return keyed.ranges.empty() ? loop : p.annotated(loop, "ranges", keyed.ranges);
    };
    const auto key_of = [&](Expr i) { return p.binary(BinaryOp::kRem, i, p.i64(num_keys)); };
    const Expr dict = p.lambda({p.arena.vec(kF64), p.arena.dict(kI64, kF64)}, [&](auto args) {
      return p.result(with_ranges(
          p.loop({p.each(args[0])}, p.builder(p.arena.dictmerger(kI64, kF64, MergeOp::kAdd), args[1]),
                 [&](Expr b, Expr i, Expr e) { return p.merge(b, p.structure({key_of(i), e})); })));
    });
    const Expr vec = p.lambda({p.arena.vec(kF64), p.arena.vec(kF64)}, [&](auto args) {
      return p.result(with_ranges(
          p.loop({p.each(args[0])}, p.builder(p.arena.vecmerger(kF64, MergeOp::kAdd), args[1]),
                 [&](Expr b, Expr i, Expr e) { return p.merge(b, p.structure({key_of(i), e})); })));
    });
    const Value data = Value::vector_of(std::span<const double>(values));
    std::vector<std::pair<Value, Value>> held;
    for (std::int64_t key = 0; key < num_keys; ++key) held.emplace_back(Value::of(key), Value::of(0.25));
    const std::vector<double> quarters(keyed.num_keys, 0.25);
    const auto sums = keyed_sums(values, keyed.num_keys, keyed.range_iterations);
    const auto sums_by_index = keyed_sums(values, keyed.num_keys, keyed.vector_range_iterations);
    const auto from_dict = interpret(dict, std::vector<Value>{data, Value::dict(held)});
    const auto from_vec =
        interpret(vec, std::vector<Value>{data, Value::vector_of(std::span<const double>(quarters))});
    for (std::size_t key = 0; key < keyed.num_keys; ++key) {
      ASSERT_EQ(from_dict->dict().entries()[key].value.as<double>(), sums[key]) << key;
      ASSERT_EQ(from_vec->vector()[static_cast<std::int64_t>(key)].as<double>(), sums_by_index[key]) << key;
    }
  }
}

TEST(ReductionOrder, VectorsHaveAsManyRangesAsTheirCopiesAreWorth) {
  EXPECT_EQ(ranges_for_length(1 << 20, 4096, 0), 64);
  EXPECT_EQ(ranges_for_length(1 << 20, 4096, 1024), 64);
  EXPECT_EQ(ranges_for_length(1 << 20, 4096, 1025), 64);
  EXPECT_EQ(ranges_for_length(1 << 20, 4096, 32'768), 8);
  EXPECT_EQ(ranges_for_length(1 << 20, 4096, 32'769), 1);
  EXPECT_EQ(ranges_for_length(16 * 4096, 4096, 5), 1);
  EXPECT_EQ(ranges_for_length(16 * 4096 + 1, 4096, 5), 17);
  EXPECT_EQ(ranges_for_length(30'000, 64, 784), 64);
  EXPECT_EQ(ranges_for_length(1'000, 64, 784), 1);
  EXPECT_EQ(ranges_for_length(0, 64, 784), 1);
}

TEST(ReductionOrder, ManyKeysOrLongVectorsMakeOneRange) {
  const std::vector<double> values = random_values(600'000);
  const std::size_t num_keys = 8193;
  ProgramBuilder p;
  const auto key_of = [&](Expr i, std::int64_t keys) { return p.binary(BinaryOp::kRem, i, p.i64(keys)); };
  const Expr dict = p.lambda({p.arena.vec(kF64)}, [&](auto args) {
    return p.result(
        p.loop({p.each(args[0])}, p.builder(p.arena.dictmerger(kI64, kF64, MergeOp::kAdd)),
               [&](Expr b, Expr i, Expr e) { return p.merge(b, p.structure({key_of(i, num_keys), e})); }));
  });
  const Expr vec = p.lambda({p.arena.vec(kF64), p.arena.vec(kF64)}, [&](auto args) {
    return p.result(
        p.loop({p.each(args[0])}, p.builder(p.arena.vecmerger(kF64, MergeOp::kAdd), args[1]),
               [&](Expr b, Expr i, Expr e) { return p.merge(b, p.structure({key_of(i, 5), e})); }));
  });
  const Value data = Value::vector_of(std::span<const double>(values));
  const auto by_key = interpret(dict, std::vector<Value>{data});
  const auto sums = keyed_sums(values, num_keys, values.size());
  for (std::size_t key = 0; key < num_keys; ++key) {
    ASSERT_EQ(by_key->dict().entries()[key].value.as<double>() + 0.25, sums[key]);
  }
  for (std::size_t length : {32'768, 32'769}) {
    const std::vector<double> quarters(length, 0.25);
    const auto by_index =
        interpret(vec, std::vector<Value>{data, Value::vector_of(std::span<const double>(quarters))});
    const auto expected = keyed_sums(values, 5, length > 32'768 ? values.size() : 37 * 4096);
    for (std::size_t key = 0; key < 5; ++key) {
      EXPECT_EQ(by_index->vector()[static_cast<std::int64_t>(key)].as<double>(), expected[key]) << length;
    }
  }
}

}  // namespace
}  // namespace weld::ir
