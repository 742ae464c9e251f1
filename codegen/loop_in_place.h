#pragma once

#include "codegen/loop_body.h"

namespace weld::codegen {

/// A few iterations of a loop inside of another one, written where the loop stands: their number may change
/// with every iteration outside, as that of a graph's edges at a node, and a call takes longer than they do.
class LoopInPlace {
 public:
  /// For a plan whose builders have their places. `count`: of iterations. Everything but the emitter is
  /// borrowed.
  LoopInPlace(Emitter& emitter, ir::Expr loop, const LoopPlan& plan,
              const std::vector<EvaluatedIterator>& iterators, llvm::Value* count, const Value& builder);

  /// Up to how many iterations are worth it, one after the other or in lanes; 0: none. What has sums that go
  /// by lanes (ir/reduction_order.h) does as many as add in order.
  std::int64_t most_in_order() const;
  /// More than the other number, or 0.
  std::int64_t most_in_lanes() const;

  /// The builder's state after all iterations.
  Value write_in_order(std::uint32_t site);
  /// The same with the lanes function, the last iterations under a mask. Where a lane fails, the code goes to
  /// `failed`, a new block, in which nothing has happened yet; null where none fails.
  struct Written {
    Value state;
    llvm::BasicBlock* failed;
  };
  Written write_in_lanes(std::uint32_t site);

 private:
  Value added(const LoopBuilder& builder, const Value& sum);

  Emitter& emitter_;
  ir::Expr loop_;
  const ir::For& node_;
  const LoopPlan& plan_;
  const std::vector<EvaluatedIterator>& iterators_;
  llvm::Value* count_;
  const Value& builder_;
};

}  // namespace weld::codegen
