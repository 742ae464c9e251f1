#pragma once

#include <algorithm>

#include "codegen/loop_iterators.h"
#include "codegen/loop_plan.h"

namespace weld::codegen {

/// What the functions of a loop have from outside, as they see it; symbols apart.
struct LoopCaptures {
  std::vector<EvaluatedIterator> iterators;
  std::vector<Value> totals;  ///< of the builders that go by blocks: one value a block
  llvm::Value* count;         ///< of all iterations
  Value builder;
};

/// The leaves of one of the loop's builders in a state of them all.
inline Value part_of(const Value& state, const LoopBuilder& builder) {
  const auto begin = state.leaves.begin() + builder.first_leaf;
  return {builder.type, LeafValues(begin, begin + builder.num_leaves)};
}
inline void replace_part(Value& state, const LoopBuilder& builder, const Value& part) {
  std::ranges::copy(part.leaves, state.leaves.begin() + builder.first_leaf);
}

/// How many lanes of a merger's leaf a lanes function for `size` iterations adds to: those of
/// ir/reduction_order.h, or a whole register where any order will do.
std::uint32_t sum_lanes(Emitter& emitter, const LoopBuilder& builder, llvm::Type* leaf, std::uint32_t size);

enum class BodyKind : std::uint8_t {
  kMerges,
  /// Merges into the loop's only builder, a vecmerger, are recorded (runtime/abi.h: VecMergerLoop).
  kRecords,
};

/// Fills a function `body(worker, captures, begin, end, partial)` (runtime/abi.h: LoopBody) but for its end.
/// Captured symbols are bound.
void write_blocks(Emitter& body, ir::Expr loop, const LoopPlan& plan, const LoopCaptures& captures,
                  std::uint32_t site, BodyKind kind = BodyKind::kMerges);

/// Counters of merges into a loop's builders, in code that tells of them, where their number is not known.
class MergeCounters {
 public:
  /// `builder`: the parameter of a function of the loop.
  MergeCounters(Emitter& emitter, const ir::Parameter& builder, const LoopPlan& plan);
  /// Counts merges into that parameter, of another function of the loop, as well.
  void count(const ir::Parameter& builder) const;
  void tell(std::uint32_t site) const;

 private:
  Emitter& emitter_;
  std::vector<llvm::AllocaInst*> slots_;  // null: not counted
};

}  // namespace weld::codegen
