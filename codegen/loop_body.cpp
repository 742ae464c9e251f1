#include "codegen/loop_body.h"

#include <llvm/IR/Intrinsics.h>

#include <algorithm>
#include <cstddef>
#include <optional>

#include "codegen/builders/builder.h"
#include "codegen/lane_memory.h"
#include "ir/reduction_order.h"

// Block by block. Where the loop has a lanes function, a block is whole groups of lanes and then the rest:
//
//   next_block -> in_block -> group -> … -> group -> scalar iterations -> totals of the block -> next_block
//                               |                          ^
//                               +-- a lane fails: replay --+  which ends in the error of its iteration
//
// The scalar function is written once; which iterations it does is in memory slots that become registers.

namespace weld::codegen {
namespace {

using ir::ScalarKind;

class BlockWriter {
 public:
  BlockWriter(Emitter& body, ir::Expr loop, const LoopPlan& plan, const LoopCaptures& captures, BodyKind kind)
      : body_(body),
        ir_(body.ir),
        loop_(loop),
        lambda_(*loop.as<ir::For>()->function.as<ir::Lambda>()),
        plan_(plan),
        captures_(captures),
        kind_(kind) {
    const ir::Expr lanes = loop.as<ir::For>()->lanes;
    if (!lanes) return;
    lanes_lambda_ = lanes.as<ir::Lambda>();
    num_lanes_ = lanes_lambda_->parameters[1].type.as<ir::SimdType>()->lanes;
  }

  void write() {
    llvm::Type* i64 = ir_.getInt64Ty();
    llvm::Value* begin = body_.function->getArg(2);
    llvm::Value* end = body_.function->getArg(3);
    llvm::Value* partial = body_.function->getArg(4);
    load_state(partial);
    if (plan_.allocates && !plan_.keeps_memory) scope_ = body_.open_scope();

    decide_streaming();
    if (kind_ == BodyKind::kRecords) open_records();
    open_vectors_of_places(ir_.CreateSub(end, begin));
    llvm::AllocaInst* block_slot = body_.frame(i64, "block_begin");
    ir_.CreateStore(begin, block_slot);
    llvm::BasicBlock* next_block = body_.block("next_block");
    llvm::BasicBlock* in_block = body_.block("in_block");
    llvm::BasicBlock* done = body_.block("done");
    ir_.CreateBr(next_block);
    ir_.SetInsertPoint(next_block);
    block_begin_ = ir_.CreateLoad(i64, block_slot);
    ir_.CreateCondBr(ir_.CreateICmpSLT(block_begin_, end), in_block, done);

    ir_.SetInsertPoint(in_block);
    body_.poll();
    llvm::Value* rest = ir_.CreateSub(end, block_begin_);
    llvm::Value* size =
        ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, rest, body_.i64(plan_.block_iterations));
    reserve_for_block(size);
    if (lanes_lambda_)
      write_block_in_lanes(size);
    else
      write_plain_block(size);
    store_totals();
    ir_.CreateStore(ir_.CreateAdd(block_begin_, size), block_slot);
    ir_.CreateBr(next_block);

    ir_.SetInsertPoint(done);
    for (std::size_t i = 0; i < plan_.builders.size(); ++i) {
      if (place_vectors_[i]) close_place_vectors(body_, load_slots(plan_.builders[i]), *place_vectors_[i]);
    }
    if (kind_ == BodyKind::kRecords) close_records();
    if (scope_) body_.close_scope(scope_);
    // What went past the caches is not ordered with what comes after.
    if (llvm::Value* streams = body_.streams())
      body_.when(streams, [&] { ir_.CreateFence(llvm::AtomicOrdering::SequentiallyConsistent); });
    store_state(partial);
  }

 private:
  // The state's data are a recorder.
  void open_records() {
    llvm::Value* recorder = load_slots(plan_.builders.front()).leaves[0];
    records_.data = body_.load_field(ir_.getPtrTy(), recorder, offsetof(runtime::MergeRecorder, records));
    records_.count = body_.frame(ir_.getInt64Ty(), "records");
    ir_.CreateStore(body_.load_field(ir_.getInt64Ty(), recorder, offsetof(runtime::MergeRecorder, count)),
                    records_.count);
    body_.set_merge_records(&records_);
  }
  void close_records() {
    llvm::Value* recorder = load_slots(plan_.builders.front()).leaves[0];
    llvm::Value* count = ir_.CreateLoad(ir_.getInt64Ty(), records_.count);
    body_.store_field(count, recorder, offsetof(runtime::MergeRecorder, count));
    body_.set_merge_records(nullptr);
  }

  void open_vectors_of_places(llvm::Value* num_iterations) {
    place_vectors_.resize(plan_.builders.size());
    if (kind_ == BodyKind::kRecords) return;
    for (std::size_t i = 0; lanes_lambda_ && i < plan_.builders.size(); ++i) {
      const LoopBuilder& builder = plan_.builders[i];
      if (builder.type.as<ir::VecMergerType>() && may_have_place_vectors(body_, builder.type))
        place_vectors_[i] = open_place_vectors(body_, load_slots(builder), num_iterations);
    }
  }

  // Vectors far larger than the caches are written past them: a store that misses reads the line first.
  void decide_streaming() {
    constexpr std::int64_t kMinBytes = std::int64_t{64} << 20;
    std::int64_t bytes = 0;
    for (const LoopBuilder& builder : plan_.builders) {
      if (builder.is_exact_appender())
        bytes += builder.merges.least * body_.flat(builder.type.as<ir::AppenderType>()->element).size_bytes;
    }
    if (!lanes_lambda_ || bytes == 0) return;
    body_.set_streams(ir_.CreateICmpSGE(captures_.count, body_.i64(kMinBytes / bytes)));
  }

  // --- State: one memory slot a leaf of the loop's builder, which LLVM turns into registers.

  void load_state(llvm::Value* partial) {
    for (const Leaf& leaf : body_.flat(captures_.builder.type).leaves) {
      llvm::AllocaInst* slot = body_.frame(leaf.type, "state");
      slots_.push_back(slot);
      ir_.CreateStore(body_.load_leaf(leaf, body_.offset(partial, leaf.offset)), slot);
    }
    vectors_.resize(slots_.size());
    arrays_.resize(slots_.size());
    for (const LoopBuilder& builder : plan_.builders) {
      if (!builder.type.as<ir::MergerType>()) continue;
      for (std::uint32_t leaf = builder.first_leaf; leaf < builder.first_leaf + builder.num_leaves; ++leaf) {
        llvm::Type* type = slots_[leaf]->getAllocatedType();
        if (lanes_lambda_)
          vectors_[leaf] = body_.frame(
              llvm::FixedVectorType::get(type, sum_lanes(body_, builder, type, num_lanes_)), "lanes");
        if (!builder.by_blocks) continue;
        arrays_[leaf] = body_.frame(llvm::ArrayType::get(type, ir::kLanes), "lanes_in_memory");
        arrays_[leaf]->setAlignment(llvm::Align(64));
      }
    }
  }

  void store_state(llvm::Value* partial) {
    const auto& leaves = body_.flat(captures_.builder.type).leaves;
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      llvm::Value* value = ir_.CreateLoad(leaves[i].type, slots_[i]);
      body_.store_leaf(leaves[i], value, body_.offset(partial, leaves[i].offset));
    }
  }

  Value load_slots(const LoopBuilder& builder) {
    Value value{builder.type, {}};
    for (std::uint32_t i = 0; i < builder.num_leaves; ++i) {
      llvm::AllocaInst* slot = slots_[builder.first_leaf + i];
      value.leaves.push_back(ir_.CreateLoad(slot->getAllocatedType(), slot));
    }
    return value;
  }

  void store_slots(const LoopBuilder& builder, const Value& value) {
    for (std::uint32_t i = 0; i < builder.num_leaves; ++i)
      ir_.CreateStore(value.leaves[i], slots_[builder.first_leaf + i]);
  }

  // An iteration merges into an appender at most so often: room for a block is made once. Lanes may write to
  // as many places after those that count.
  void reserve_for_block(llvm::Value* size) {
    for (const LoopBuilder& builder : plan_.builders) {
      if (!builder.is_bounded_appender() || builder.merges.most == 0) continue;
      llvm::Value* elements = ir_.CreateMul(size, body_.i64(*builder.merges.most));
      elements = ir_.CreateAdd(elements, body_.i64(num_lanes_));
      store_slots(builder, reserve_appender(body_, load_slots(builder), elements, loop_.span()));
    }
  }

  static bool has_room(const LoopBuilder& builder) {
    return builder.is_exact_appender() || builder.is_bounded_appender();
  }

  template <class F>
  void for_each_merger(F&& f) {
    for (const LoopBuilder& builder : plan_.builders) {
      if (const auto* merger = builder.type.as<ir::MergerType>()) f(builder, *merger);
    }
  }

  llvm::Value* splat_identity(const LoopBuilder& builder, const ir::MergerType& merger, std::uint32_t i,
                              std::uint32_t count) {
    const Value identity = body_.identity(merger.op, merger.value);
    return ir_.CreateVectorSplat(count, identity.leaves[i - builder.first_leaf]);
  }

  void store_totals() {
    std::size_t next = 0;
    for_each_merger([&](const LoopBuilder& builder, const ir::MergerType& merger) {
      if (!builder.by_blocks) return;
      const FlatType& flat = body_.flat(merger.value);
      Value total{merger.value, {}};
      for (std::size_t i = 0; i < flat.leaves.size(); ++i) {
        auto* vector_type = llvm::FixedVectorType::get(flat.leaves[i].type, ir::kLanes);
        llvm::Value* lanes =
            ir_.CreateAlignedLoad(vector_type, arrays_[builder.first_leaf + i], llvm::Align(64));
        total.leaves.push_back(fold_halves(body_, merger.op, flat.leaves[i].scalar, lanes));
      }
      llvm::Value* block_index = ir_.CreateUDiv(block_begin_, body_.i64(plan_.block_iterations));
      llvm::Value* data = captures_.totals[next++].leaves[0];
      body_.store(total, body_.element_address(data, block_index, flat.size_bytes));
    });
  }

  // --- A block without lanes functions.

  void write_plain_block(llvm::Value* size) {
    for_each_merger([&](const LoopBuilder& builder, const ir::MergerType& merger) {
      if (!builder.by_blocks) return;
      for (std::uint32_t leaf = builder.first_leaf; leaf < builder.first_leaf + builder.num_leaves; ++leaf)
        ir_.CreateStore(splat_identity(builder, merger, leaf, ir::kLanes), arrays_[leaf]);
    });
    const bool in_rounds = goes_in_rounds();
    llvm::Value* rounds_end = in_rounds ? write_rounds(size) : body_.i64(0);
    llvm::Value* mask = lane_mask(size);
    body_.count_loop(
        ir_.CreateSub(size, rounds_end),
        [&](llvm::Value* index) {
          llvm::Value* index_in_block = ir_.CreateNSWAdd(rounds_end, index);
          write_iteration(index_in_block, ir_.CreateAnd(index_in_block, mask));
        },
        in_rounds ? LoopLength::kShort : LoopLength::kLong);
  }

  llvm::Value* is_short(llvm::Value* size) {
    return ir_.CreateICmpSLT(size, body_.i64(ir::kMinLanedIterations));
  }
  // Taken of an iteration's index in its block, its lane.
  llvm::Value* lane_mask(llvm::Value* size) {
    return ir_.CreateSelect(is_short(size), body_.i64(0), body_.i64(ir::kLanes - 1));
  }

  // Sums in lanes vectorise when the loop over the lanes is the inner one: lane by lane, it is a plain loop
  // over arrays. The body is then written twice, so it must be small.
  bool goes_in_rounds() const {
    constexpr std::uint32_t kMaxNodes = 300;
    const ir::Expr body = lambda_.body;
    return !captures_.totals.empty() && !ir::any(body.effects() & ir::Effects::kLoops) &&
           body.record().num_nodes <= kMaxNodes;
  }

  // Rounds of one iteration for each lane, as many as fit in the block; none in one that adds in order.
  // Returns the number of iterations done.
  llvm::Value* write_rounds(llvm::Value* size) {
    llvm::Value* whole = ir_.CreateAnd(size, body_.i64(-ir::kLanes));
    llvm::Value* end = ir_.CreateSelect(is_short(size), body_.i64(0), whole);
    body_.count_loop(ir_.CreateUDiv(end, body_.i64(ir::kLanes)), [&](llvm::Value* round) {
      llvm::Value* first = ir_.CreateMul(round, body_.i64(ir::kLanes), "", true, true);
      body_.count_loop(
          body_.i64(ir::kLanes),
          [&](llvm::Value* lane) { write_iteration(ir_.CreateNSWAdd(first, lane), lane); },
          LoopLength::kLong);
    });
    return end;
  }

  // --- A block in lanes.

  void write_block_in_lanes(llvm::Value* size) {
    llvm::Type* i64 = ir_.getInt64Ty();
    const std::int64_t group = num_lanes_;
    llvm::AllocaInst* position = body_.frame(i64, "position");
    llvm::AllocaInst* stop = body_.frame(i64, "stop");
    llvm::AllocaInst* replays = body_.frame(ir_.getInt1Ty(), "replays");
    ir_.CreateStore(body_.i64(0), position);
    ir_.CreateStore(size, stop);
    ir_.CreateStore(ir_.getFalse(), replays);
    start_vectors();
    llvm::Value* groups_end =
        ir_.CreateSelect(is_short(size), body_.i64(0), ir_.CreateAnd(size, body_.i64(-group)));

    llvm::BasicBlock* next_group = body_.block("next_group");
    llvm::BasicBlock* in_group = body_.block("in_group");
    llvm::BasicBlock* scalar = body_.block("scalar");
    ir_.CreateBr(next_group);
    ir_.SetInsertPoint(next_group);
    llvm::Value* first = ir_.CreateLoad(i64, position);
    ir_.CreateCondBr(ir_.CreateICmpSLT(first, groups_end), in_group, scalar);

    ir_.SetInsertPoint(in_group);
    body_.push_catch();
    body_.part([&] { write_group(ir_.CreateNSWAdd(block_begin_, first)); });
    const Emitter::Caught caught = body_.pop_catch();
    ir_.CreateStore(ir_.CreateNSWAdd(first, body_.i64(group)), position);
    ir_.CreateBr(next_group);

    if (caught.block) {
      ir_.SetInsertPoint(caught.block);
      llvm::BasicBlock* leaves = body_.block("leaves");
      llvm::BasicBlock* replay = body_.block("replay");
      ir_.CreateCondBr(is_of_machine(caught.code), leaves, replay);
      ir_.SetInsertPoint(leaves);
      body_.leave_with(caught.code);
      ir_.SetInsertPoint(replay);
      body_.call("weld_rt_forget_failure", {body_.worker});
      ir_.CreateStore(ir_.CreateNSWAdd(first, body_.i64(group)), stop);
      ir_.CreateStore(ir_.getTrue(), replays);
      ir_.CreateBr(scalar);
    }

    ir_.SetInsertPoint(scalar);
    fold_vectors();
    llvm::Value* mask = lane_mask(size);
    llvm::Value* scalar_begin = ir_.CreateLoad(i64, position);
    body_.count_loop(ir_.CreateSub(ir_.CreateLoad(i64, stop), scalar_begin), [&](llvm::Value* index) {
      llvm::Value* index_in_block = ir_.CreateNSWAdd(scalar_begin, index);
      write_iteration(index_in_block, ir_.CreateAnd(index_in_block, mask));
    });
    if (caught.block)
      body_.fail_if(ir_.CreateLoad(ir_.getInt1Ty(), replays), ErrorCode::kUnknown, loop_.span());
  }

  // Errors that come from no iteration: there is nothing to replay.
  llvm::Value* is_of_machine(llvm::Value* code) {
    llvm::Value* found = ir_.getFalse();
    for (const ErrorCode each : {ErrorCode::kOutOfMemory, ErrorCode::kCancelled, ErrorCode::kDeadlineExceeded,
                                 ErrorCode::kBudgetExceeded}) {
      found = ir_.CreateOr(found, ir_.CreateICmpEQ(code, body_.i32(static_cast<std::uint32_t>(each))));
    }
    return found;
  }

  void start_vectors() {
    for_each_merger([&](const LoopBuilder& builder, const ir::MergerType& merger) {
      for (std::uint32_t leaf = builder.first_leaf; leaf < builder.first_leaf + builder.num_leaves; ++leaf) {
        auto* type = llvm::cast<llvm::FixedVectorType>(vectors_[leaf]->getAllocatedType());
        ir_.CreateStore(splat_identity(builder, merger, leaf, type->getNumElements()), vectors_[leaf]);
      }
    });
  }

  // Scalar iterations add to the lanes in memory, or to the one sum where any order will do.
  void fold_vectors() {
    for_each_merger([&](const LoopBuilder& builder, const ir::MergerType& merger) {
      const FlatType& flat = body_.flat(merger.value);
      for (std::uint32_t i = 0; i < builder.num_leaves; ++i) {
        const std::uint32_t leaf = builder.first_leaf + i;
        llvm::Value* lanes = ir_.CreateLoad(vectors_[leaf]->getAllocatedType(), vectors_[leaf]);
        if (builder.by_blocks) {
          ir_.CreateAlignedStore(lanes, arrays_[leaf], llvm::Align(64));
          continue;
        }
        const ScalarKind kind = flat.leaves[i].scalar;
        llvm::Value* held = ir_.CreateLoad(slots_[leaf]->getAllocatedType(), slots_[leaf]);
        llvm::Value* added = fold_halves(body_, merger.op, kind, lanes);
        ir_.CreateStore(body_.merge_scalars(merger.op, kind, held, added), slots_[leaf]);
      }
    });
  }

  void write_group(llvm::Value* first) {
    if (scope_) clear_scope();
    Value builder{captures_.builder.type, {}};
    for (std::size_t leaf = 0; leaf < slots_.size(); ++leaf) {
      llvm::AllocaInst* slot = vectors_[leaf] ? vectors_[leaf] : slots_[leaf];
      builder.leaves.push_back(ir_.CreateLoad(slot->getAllocatedType(), slot));
    }
    hide_capacities(builder);
    for (std::size_t i = 0; i < plan_.builders.size(); ++i) {
      if (place_vectors_[i])
        body_.note_place_vectors(builder.leaves[plan_.builders[i].first_leaf], &*place_vectors_[i]);
    }
    bind_lanes(body_, *lanes_lambda_, builder, captures_.iterators, first, nullptr);
    const Value after = body_.emit(lanes_lambda_->body);
    for (const LoopBuilder& each : plan_.builders) {
      for (std::uint32_t i = 0; i < each.num_leaves; ++i) {
        const std::uint32_t leaf = each.first_leaf + i;
        if (has_room(each) && i != 1) continue;  // neither data nor capacity change
        ir_.CreateStore(after.leaves[leaf], vectors_[leaf] ? vectors_[leaf] : slots_[leaf]);
      }
    }
  }

  // --- One iteration.

  void clear_scope() {
    llvm::Value* sentinel = body_.offset(scope_, offsetof(runtime::Scope, blocks));
    llvm::Value* first = body_.load_field(ir_.getPtrTy(), sentinel, offsetof(runtime::BlockLink, next));
    body_.when(ir_.CreateICmpNE(first, sentinel),
               [&] { body_.call("weld_rt_scope_clear", {body_.worker, scope_}); });
  }

  // Where room was made before, no merge looks at the capacity.
  void hide_capacities(Value& builder) {
    for (const LoopBuilder& each : plan_.builders) {
      if (!has_room(each)) continue;
      builder.leaves[each.first_leaf + 2] =
          reserved_capacity(body_, each.is_exact_appender() ? Reserved::kExactly : Reserved::kLanesMore);
    }
  }

  void write_iteration(llvm::Value* index_in_block, llvm::Value* lane) {
    if (scope_) clear_scope();
    llvm::Value* index = ir_.CreateNSWAdd(block_begin_, index_in_block);
    Value builder{captures_.builder.type, {}};
    std::vector<llvm::Value*> homes;  // where each leaf is kept between iterations
    for (std::size_t leaf = 0; leaf < slots_.size(); ++leaf) {
      llvm::Type* type = slots_[leaf]->getAllocatedType();
      llvm::Value* home = slots_[leaf];
      if (arrays_[leaf]) home = ir_.CreateInBoundsGEP(type, arrays_[leaf], lane);
      homes.push_back(home);
      builder.leaves.push_back(ir_.CreateLoad(type, home));
    }
    hide_capacities(builder);
    bind_iteration(body_, lambda_, builder, captures_.iterators, index);
    const Value after = body_.emit(lambda_.body);
    for (const LoopBuilder& each : plan_.builders) {
      for (std::uint32_t i = 0; i < each.num_leaves; ++i) {
        const std::uint32_t leaf = each.first_leaf + i;
        if (has_room(each) && i != 1) continue;  // neither data nor capacity change
        ir_.CreateStore(after.leaves[leaf], homes[leaf]);
      }
    }
  }

  Emitter& body_;
  llvm::IRBuilder<>& ir_;
  ir::Expr loop_;
  const ir::Lambda& lambda_;
  const ir::Lambda* lanes_lambda_ = nullptr;
  std::uint32_t num_lanes_ = 0;
  const LoopPlan& plan_;
  const LoopCaptures& captures_;
  BodyKind kind_;
  MergeRecords records_{nullptr, nullptr};
  llvm::Value* block_begin_ = nullptr;
  llvm::Value* scope_ = nullptr;
  // By leaf of the loop's builder. Vectors are of mergers in loops with lanes functions, arrays of those that
  // go by blocks; null for others.
  std::vector<llvm::AllocaInst*> slots_;
  std::vector<llvm::AllocaInst*> vectors_;
  std::vector<llvm::AllocaInst*> arrays_;
  std::vector<std::optional<PlaceVectors>> place_vectors_;  // by builder
};

}  // namespace

std::uint32_t sum_lanes(Emitter& emitter, const LoopBuilder& builder, llvm::Type* leaf, std::uint32_t size) {
  constexpr auto kLanes = static_cast<std::uint32_t>(ir::kLanes);
  if (builder.by_blocks) return kLanes;
  const auto in_register =
      static_cast<std::uint32_t>(emitter.module.options().vector_bits) / leaf->getScalarSizeInBits();
  return std::min(size, std::max(kLanes, in_register));
}

void write_blocks(Emitter& body, ir::Expr loop, const LoopPlan& plan, const LoopCaptures& captures,
                  std::uint32_t site, BodyKind kind) {
  const auto& node = *loop.as<ir::For>();
  const MergeCounters counters(body, node.function.as<ir::Lambda>()->parameters[0], plan);
  if (node.lanes) counters.count(node.lanes.as<ir::Lambda>()->parameters[0]);
  BlockWriter(body, loop, plan, captures, kind).write();
  // A second run merges what the first one did.
  if (body.group_pass() != GroupPass::kPlace) counters.tell(site);
}

MergeCounters::MergeCounters(Emitter& emitter, const ir::Parameter& builder, const LoopPlan& plan)
    : emitter_(emitter) {
  if (!emitter.module.options().statistics) return;
  for (const LoopBuilder& each : plan.builders) {
    llvm::AllocaInst* slot = each.merges.exact() ? nullptr : emitter.frame(emitter.ir.getInt64Ty(), "merges");
    if (slot) emitter.ir.CreateStore(emitter.i64(0), slot);
    slots_.push_back(slot);
  }
  count(builder);
}

void MergeCounters::count(const ir::Parameter& builder) const {
  if (!slots_.empty()) emitter_.count_merges_of(builder.symbol, builder.type, slots_);
}

void MergeCounters::tell(std::uint32_t site) const {
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i]) continue;
    llvm::Value* merges = emitter_.ir.CreateLoad(emitter_.ir.getInt64Ty(), slots_[i]);
    emitter_.call("weld_rt_loop_merged", {emitter_.worker, emitter_.i32(site), emitter_.i32(i), merges});
  }
}

}  // namespace weld::codegen
