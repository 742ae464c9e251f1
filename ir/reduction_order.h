#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ir/nodes.h"

namespace weld::ir {

// The order in which builders add floats up, shared by interpreter, code generator and runtime, so that
// results are the same bits for any number of threads and any vector width.
//
// What depends on order. Only float `+` and `*`. Everything else (integers, min, max, first-merge order,
// appenders) gives the same result however it is grouped, as long as sequential order is kept where a builder
// promises it.
//
// Identity. Every sum below starts at +0.0, every product at 1.0 (identity_of), and adding the identity under
// a mask is therefore exact.
//
// Merger, in a loop.
// - The loop is cut into blocks of block_iterations(loop) iterations; the last may be shorter.
// - A block of fewer than kMinLanedIterations iterations adds its values in order to one sum. A longer one
//   has kLanes sums: iteration i of the block (counted from 0, whether it merges or not) adds to lane i %
//   kLanes.
//   The lanes are folded by fold_lanes. Several values of one iteration add in program order to its lane.
// - The blocks' totals are combined by PairwiseTotals (or by combine_pairwise, which is the same tree).
// - The loop's total, the identity if nothing was merged or there were no iterations, is added once to what
// the
//   builder holds: held + total. So an initial value counts once, and an inner loop that merges into the
//   merger of an outer loop counts as one value of the outer iteration.
// - Where the builder is a struct, each scalar has sums of its own; the lanes and blocks are the same.
// - A merged simd value is folded first (fold_simd), and counts as one value. Its lanes that a mask excludes
// are
//   the identity. A scalar whose mask is false is not merged.
//
// Dictmerger and vecmerger, in the outermost loop that takes the builder.
// - The loop is cut into ranges of whole blocks (cut_ranges). Within a range each key's values add in
// iteration
//   order to an entry that starts at the identity. A key's ranges add in order: ((r0 + r1) + r2) + …, those
//   that did not merge the key left out. That total is added once to what the builder holds for the key:
//   held + total; an absent key gets the total itself. Of a vecmerger all elements get theirs, the identity
//   for those that nothing was merged into, unless the loop has no iterations.
// - Loops inside that loop which take the same builder merge directly, in program order, as if the iteration
// of
//   the outermost loop did it.
// - How many ranges: see RangeRule.
//
// Merges outside of any loop add directly, in program order, to what the builder holds.

inline constexpr std::int64_t kBlockIterations = 4096;
inline constexpr std::int64_t kBlockIterationsOfOuterLoop = 64;  ///< the loop's body holds a loop
inline constexpr std::int64_t kMinLanedIterations = 9;           ///< shorter blocks add in order
inline constexpr int kLanes = 16;
inline constexpr std::int64_t kMaxRanges = 64;
inline constexpr std::int64_t kMaxDistinctKeysForRanges = 8192;
inline constexpr std::int64_t kDistinctKeysIterations = 65536;  ///< distinct keys are counted in so many
inline constexpr std::int64_t kMaxVectorLengthForRanges = 32768;
inline constexpr std::int64_t kVectorElementsPerBlock = 1024;
inline constexpr std::int64_t kMinBlocksForRanges = 16;

/// Whether the result of merging depends on the order: float `+` or `*`.
bool depends_on_order(MergeOp op, ScalarKind kind);
/// Whether it does for any scalar of a builder or a struct of builders; in `of_keys`, only dictmergers and
/// vecmergers are asked.
enum class BuildersAsked : std::uint8_t { kAll, kKeyed };
bool depends_on_order(Type builder, BuildersAsked asked = BuildersAsked::kAll);

/// Iterations of a block of a `for`: its annotation `block:n` if n > 0, else kBlockIterationsOfOuterLoop if
/// the body has the effect kLoops, else kBlockIterations. At least 1.
std::int64_t block_iterations(Expr loop);

/// The lane of an iteration of a block with that many iterations.
constexpr int lane_of(std::int64_t index_in_block, std::int64_t num_iterations) {
  return num_iterations < kMinLanedIterations ? 0 : static_cast<int>(index_in_block % kLanes);
}

/// Adds the upper half of the lanes to the lower one: 8, 4, 2, 1. `add(left, right)` keeps that order. Lanes
/// that were never used hold the identity.
template <class T, class Add>
T fold_lanes(std::array<T, kLanes> lanes, Add&& add) {
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] = add(lanes[lane], lanes[lane + half]);
  }
  return lanes[0];
}

/// One value from the lanes of a simd value, likewise: of four, (v0 + v2) + (v1 + v3). An odd number of lanes
/// at a step keeps its middle one for the next.
template <class T, class Add>
T fold_simd(std::vector<T> lanes, Add&& add) {
  while (lanes.size() > 1) {
    const std::size_t half = (lanes.size() + 1) / 2;
    for (std::size_t lane = half; lane < lanes.size(); ++lane) {
      lanes[lane - half] = add(lanes[lane - half], lanes[lane]);
    }
    lanes.resize(half);
  }
  return lanes.front();
}

/// Combines the totals of blocks, in the order of the blocks, as the bottom-up binary tree does: at each
/// level the totals 2j and 2j+1 are added, and an odd last one moves up as it is. (So the left part of m
/// totals is the largest power of two below m.) Holds log2(m) totals: entry j stands for 2^level_j blocks,
/// like the ones of a binary counter, the last being the latest.
template <class T, class Add>
class PairwiseTotals {
 public:
  explicit PairwiseTotals(Add add) : add_(std::move(add)) {}

  void push(T total) {
    for (std::uint64_t count = num_blocks_++; count & 1; count >>= 1) {
      total = add_(std::move(pending_.back()), std::move(total));
      pending_.pop_back();
    }
    pending_.push_back(std::move(total));
  }

  /// The sum of all; `identity` where nothing was pushed. Ends the use of the object.
  T total(T identity) {
    if (pending_.empty()) return identity;
    T sum = std::move(pending_.back());
    for (pending_.pop_back(); !pending_.empty(); pending_.pop_back()) {
      sum = add_(std::move(pending_.back()), std::move(sum));
    }
    return sum;
  }

 private:
  Add add_;
  std::vector<T> pending_;
  std::uint64_t num_blocks_ = 0;
};

/// The same sum from an array of totals, which is overwritten.
template <class T, class Add>
T combine_pairwise(T* totals, std::int64_t count, T identity, Add&& add) {
  if (count == 0) return identity;
  for (; count > 1; count = (count + 1) / 2) {
    for (std::int64_t i = 0; i < count / 2; ++i) totals[i] = add(totals[2 * i], totals[2 * i + 1]);
    if (count % 2 == 1) totals[count / 2] = totals[count - 1];
  }
  return totals[0];
}

/// How many ranges a loop has whose builder has dictmergers or vecmergers that depend on order. One decision
/// for all builders of the loop:
/// - `ranges:n` on the loop, 1 ≤ n ≤ kMaxRanges: at most n;
/// - one, if the body calls a foreign function without `pure:true`;
/// - one, if a dictmerger depends on order and the loop has at most kDistinctKeysIterations iterations: they
///   would be counted in vain;
/// - at most ranges_for_length of each vecmerger that depends on order;
/// - one, if more than kMaxDistinctKeysForRanges distinct keys were merged into a dictmerger that depends on
///   order by the first kDistinctKeysIterations iterations. Keys that the builder held before the loop count
///   only when merged;
/// - else at most kMaxRanges.
struct RangeRule {
  std::int64_t max_ranges = kMaxRanges;
  bool depends_on_data = true;  ///< false: the last three questions above are not asked
};
RangeRule range_rule(Expr loop);

/// One range, if the vector is longer than kMaxVectorLengthForRanges or the loop has at most
/// kMinBlocksForRanges blocks; else as many ranges as keep their copies of the vector small beside the work:
/// one for as many blocks as the vector has kVectorElementsPerBlock, rounded up, and at most kMaxRanges.
std::int64_t ranges_for_length(std::int64_t num_iterations, std::int64_t block_iterations,
                               std::int64_t length);

/// [0, n) cut into ranges: range r is the iterations [r * range_iterations, min(n, (r+1) *
/// range_iterations)).
struct Ranges {
  std::int64_t num_ranges;
  std::int64_t range_iterations;  ///< a multiple of the block's; may be past n
};

/// Ranges of as few whole blocks each as make at most `max_ranges` of them. None for n = 0.
Ranges cut_ranges(std::int64_t num_iterations, std::int64_t block_iterations, std::int64_t max_ranges);

}  // namespace weld::ir
