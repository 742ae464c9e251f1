#include "codegen/loop_in_place.h"

#include <llvm/IR/Intrinsics.h>

#include <algorithm>
#include <bit>

#include "codegen/builders/builder.h"
#include "codegen/lane_memory.h"
#include "ir/reduction_order.h"

namespace weld::codegen {
namespace {

constexpr std::uint32_t kMaxNodes = 60;  // the body is written once more
constexpr std::int64_t kMostInOrder = 63;
constexpr std::int64_t kMostInLanes = 64;

bool is_merger(const LoopBuilder& builder) {
  return builder.type.as<ir::MergerType>() != nullptr;
}

}  // namespace

LoopInPlace::LoopInPlace(Emitter& emitter, ir::Expr loop, const LoopPlan& plan,
                         const std::vector<EvaluatedIterator>& iterators, llvm::Value* count,
                         const Value& builder)
    : emitter_(emitter),
      loop_(loop),
      node_(*loop.as<ir::For>()),
      plan_(plan),
      iterators_(iterators),
      count_(count),
      builder_(builder) {}

std::int64_t LoopInPlace::most_in_order() const {
  const ir::Expr body = node_.function.as<ir::Lambda>()->body;
  if (emitter_.loop_depth() == 0 || plan_.keyed_order || plan_.allocates ||
      ir::any(body.effects() & (ir::Effects::kLoops | ir::Effects::kForeign)) ||
      body.record().num_nodes > kMaxNodes)
    return 0;
  const bool goes_by_lanes =
      most_in_lanes() > 0 || std::ranges::any_of(plan_.builders, &LoopBuilder::by_blocks);
  return std::min(goes_by_lanes ? ir::kMinLanedIterations - 1 : kMostInOrder, plan_.block_iterations);
}

std::int64_t LoopInPlace::most_in_lanes() const {
  const auto* lanes = node_.lanes.as<ir::Lambda>();
  if (!lanes || lanes->parameters.size() < 4 || !emitter_.module.options().has_masks) return 0;
  if (!std::ranges::all_of(plan_.builders, is_merger)) return 0;
  const std::int64_t most = std::min(kMostInLanes, plan_.block_iterations);
  return most >= ir::kMinLanedIterations && lanes->body.record().num_nodes <= 2 * kMaxNodes ? most : 0;
}

Value LoopInPlace::write_in_order(std::uint32_t site) {
  const auto& lambda = *node_.function.as<ir::Lambda>();
  Value first = builder_;
  for (const LoopBuilder& builder : plan_.builders) {
    if (!builder.by_blocks) continue;
    const auto* merger = builder.type.as<ir::MergerType>();
    replace_part(first, builder, emitter_.identity(merger->op, merger->value));
  }
  llvm::AllocaInst* state = emitter_.frame(builder_.type);
  emitter_.store(first, state);
  const MergeCounters counters(emitter_, lambda.parameters[0], plan_);
  emitter_.count_loop(count_, [&](llvm::Value* index) {
    bind_iteration(emitter_, lambda, emitter_.load(builder_.type, state), iterators_, index);
    emitter_.part([&] { emitter_.store(emitter_.emit(lambda.body), state); });
  });
  counters.tell(site);
  Value last = emitter_.load(builder_.type, state);
  for (const LoopBuilder& builder : plan_.builders) {
    if (builder.by_blocks) replace_part(last, builder, added(builder, part_of(last, builder)));
  }
  return last;
}

// A sum of the loop, added once to what the merger holds.
Value LoopInPlace::added(const LoopBuilder& builder, const Value& sum) {
  const auto* merger = builder.type.as<ir::MergerType>();
  const Value held{merger->value, part_of(builder_, builder).leaves};
  return emitter_.merge_values(merger->op, held, {merger->value, sum.leaves});
}

LoopInPlace::Written LoopInPlace::write_in_lanes(std::uint32_t site) {
  auto& ir = emitter_.ir;
  const auto& lambda = *node_.lanes.as<ir::Lambda>();
  const std::uint32_t size = lambda.parameters[1].type.as<ir::SimdType>()->lanes;
  const MergeCounters counters(emitter_, lambda.parameters[0], plan_);
  std::vector<llvm::AllocaInst*> vectors;  // by leaf of the builder
  for (const LoopBuilder& builder : plan_.builders) {
    const auto* merger = builder.type.as<ir::MergerType>();
    for (llvm::Value* identity : emitter_.identity(merger->op, merger->value).leaves) {
      const std::uint32_t count = sum_lanes(emitter_, builder, identity->getType(), size);
      vectors.push_back(emitter_.frame(llvm::FixedVectorType::get(identity->getType(), count), "lanes"));
      ir.CreateStore(ir.CreateVectorSplat(count, identity), vectors.back());
    }
  }
  emitter_.push_catch();
  llvm::Value* groups = ir.CreateLShr(ir.CreateAdd(count_, emitter_.i64(size - 1)),
                                      static_cast<std::uint64_t>(std::countr_zero(size)));
  emitter_.count_loop(groups, [&](llvm::Value* group) {
    llvm::Value* first = ir.CreateMul(group, emitter_.i64(size), "", true, true);
    llvm::Value* active = first_lanes(emitter_, size, ir.CreateSub(count_, first));
    Value state{builder_.type, {}};
    for (llvm::AllocaInst* vector : vectors)
      state.leaves.push_back(ir.CreateLoad(vector->getAllocatedType(), vector));
    emitter_.part([&] {
      bind_lanes(emitter_, lambda, state, iterators_, first, active);
      const Value after = emitter_.emit(lambda.body);
      for (std::size_t leaf = 0; leaf < vectors.size(); ++leaf)
        ir.CreateStore(after.leaves[leaf], vectors[leaf]);
    });
  });
  const Emitter::Caught caught = emitter_.pop_catch();
  counters.tell(site);

  Value last = builder_;
  for (const LoopBuilder& builder : plan_.builders) {
    const auto* merger = builder.type.as<ir::MergerType>();
    const FlatType& flat = emitter_.flat(merger->value);
    Value sum{merger->value, {}};
    for (std::uint32_t i = 0; i < builder.num_leaves; ++i) {
      llvm::AllocaInst* vector = vectors[builder.first_leaf + i];
      llvm::Value* lanes = ir.CreateLoad(vector->getAllocatedType(), vector);
      sum.leaves.push_back(fold_halves(emitter_, merger->op, flat.leaves[i].scalar, lanes));
    }
    replace_part(last, builder, added(builder, sum));
  }
  if (caught.block) {
    const llvm::IRBuilderBase::InsertPointGuard guard(ir);
    ir.SetInsertPoint(caught.block);
    emitter_.call("weld_rt_forget_failure", {emitter_.worker});
  }
  return {last, caught.block};
}

}  // namespace weld::codegen
