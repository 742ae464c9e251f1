#include "ir/reduction_order.h"

#include <algorithm>

#include "ir/error.h"

namespace weld::ir {
namespace {

bool value_depends_on_order(MergeOp op, Type value) {
  if (const auto* scalar = value.as<ScalarType>()) return depends_on_order(op, scalar->kind);
  const auto* structure = value.as<StructType>();
  return structure && std::ranges::any_of(structure->members,
                                          [&](Type member) { return value_depends_on_order(op, member); });
}

const For& require_loop(Expr loop) {
  const auto* node = loop.as<For>();
  internal_check(node != nullptr, "only a for has blocks and ranges");
  return *node;
}

}  // namespace

bool depends_on_order(MergeOp op, ScalarKind kind) {
  return is_float(kind) && (op == MergeOp::kAdd || op == MergeOp::kMul);
}

bool depends_on_order(Type builder, BuildersAsked asked) {
  if (const auto* type = builder.as<MergerType>())
    return asked == BuildersAsked::kAll && value_depends_on_order(type->op, type->value);
  if (const auto* type = builder.as<DictMergerType>()) return value_depends_on_order(type->op, type->value);
  if (const auto* type = builder.as<VecMergerType>()) return value_depends_on_order(type->op, type->element);
  const auto* structure = builder.as<StructType>();
  return structure && std::ranges::any_of(structure->members,
                                          [&](Type member) { return depends_on_order(member, asked); });
}

std::int64_t block_iterations(Expr loop) {
  const For& node = require_loop(loop);
  const std::int64_t annotated = annotated_integer(loop.annotations(), "block").value_or(0);
  if (annotated > 0) return annotated;
  return any(node.function.effects() & Effects::kLoops) ? kBlockIterationsOfOuterLoop : kBlockIterations;
}

RangeRule range_rule(Expr loop) {
  const For& node = require_loop(loop);
  const std::int64_t annotated = annotated_integer(loop.annotations(), "ranges").value_or(0);
  if (annotated > 0) return {std::min(annotated, kMaxRanges), false};
  if (any(node.function.effects() & Effects::kForeign)) return {1, false};
  return {};
}

std::int64_t ranges_for_length(std::int64_t num_iterations, std::int64_t block_iterations,
                               std::int64_t length) {
  const std::int64_t num_blocks =
      num_iterations / block_iterations + (num_iterations % block_iterations == 0 ? 0 : 1);
  if (length > kMaxVectorLengthForRanges || num_blocks <= kMinBlocksForRanges) return 1;
  const std::int64_t blocks_per_range =
      std::max<std::int64_t>((length + kVectorElementsPerBlock - 1) / kVectorElementsPerBlock, 1);
  return std::clamp<std::int64_t>(num_blocks / blocks_per_range, 1, kMaxRanges);
}

Ranges cut_ranges(std::int64_t num_iterations, std::int64_t block_iterations, std::int64_t max_ranges) {
  const std::int64_t num_blocks =
      num_iterations / block_iterations + (num_iterations % block_iterations == 0 ? 0 : 1);
  if (num_blocks == 0) return {0, block_iterations};
  const std::int64_t blocks_per_range = (num_blocks - 1) / max_ranges + 1;
  std::int64_t range_iterations = 0;
  // A block may be annotated larger than any loop.
  if (__builtin_mul_overflow(blocks_per_range, block_iterations, &range_iterations)) {
    range_iterations = INT64_MAX;
  }
  return {(num_blocks - 1) / blocks_per_range + 1, range_iterations};
}

}  // namespace weld::ir
