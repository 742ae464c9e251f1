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
void write_blocks(Emitter& body, ir::Expr loop, const LoopPlan& plan, const LoopCaptures& captures);

}  // namespace weld::codegen
