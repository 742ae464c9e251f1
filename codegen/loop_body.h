#pragma once

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

/// Fills a function `body(worker, captures, begin, end, partial)` (runtime/abi.h: LoopBody) but for its end.
/// Captured symbols are bound.
void write_blocks(Emitter& body, ir::Expr loop, const LoopPlan& plan, const LoopCaptures& captures,
                  std::uint32_t site);

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
