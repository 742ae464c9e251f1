#include "codegen/builders/builder.h"

#include "codegen/lane_memory.h"
#include "ir/error.h"
#include "ir/typing.h"

namespace weld::codegen {

const BuilderOps& builder_ops(ir::Type builder) {
  if (builder.as<ir::AppenderType>()) return appender_ops;
  if (builder.as<ir::MergerType>()) return merger_ops;
  if (builder.as<ir::DictMergerType>()) return dictmerger_ops;
  if (builder.as<ir::GroupMergerType>()) return groupmerger_ops;
  ir::internal_check(builder.as<ir::VecMergerType>() != nullptr, "the type is a builder's");
  return vecmerger_ops;
}

Value BuilderOps::merge_lanes(Emitter& emitter, const Value& builder, const Value& lanes, llvm::Value* mask,
                              ir::Span span) const {
  const SpilledLanes values(emitter, emitter.module.merge_type(builder.type), lanes);
  return merge_each_lane(emitter, builder, mask, *ir::num_lanes(lanes.type),
                         [&](const Value& state, llvm::Value* lane) {
                           return merge(emitter, state, values.lane(emitter, lane), span);
                         });
}

Value merge_any(Emitter& emitter, const Value& builder, const Value& value, ir::Span span) {
  const BuilderOps& ops = builder_ops(builder.type);
  const bool is_element = value.type == emitter.module.merge_type(builder.type);
  return is_element ? ops.merge(emitter, builder, value, span)
                    : ops.merge_lanes(emitter, builder, value, nullptr, span);
}

Value merge_masked(Emitter& emitter, const Value& builder, const Value& value, llvm::Value* mask,
                   ir::Span span) {
  if (mask->getType()->isVectorTy()) {
    return builder_ops(builder.type).merge_lanes(emitter, builder, value, mask, span);
  }
  return emitter.branch(
      mask, [&] { return merge_any(emitter, builder, value, span); }, [&] { return builder; });
}

Value merge_each_lane(Emitter& emitter, const Value& builder, llvm::Value* mask, std::uint32_t count,
                      const std::function<Value(const Value&, llvm::Value*)>& add) {
  auto& ir = emitter.ir;
  std::vector<llvm::AllocaInst*> slots;  // null for constants: capacities that need no look
  for (llvm::Value* leaf : builder.leaves) {
    slots.push_back(llvm::isa<llvm::Constant>(leaf) && !leaf->getType()->isVectorTy()
                        ? nullptr
                        : emitter.frame(leaf->getType(), "state"));
    if (slots.back()) ir.CreateStore(leaf, slots.back());
  }
  for_each_lane(emitter, mask, count, [&](llvm::Value* lane) {
    Value state{builder.type, {}};
    std::vector<llvm::Value*> homes;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      llvm::Value* home = slots[i];
      llvm::Type* type = builder.leaves[i]->getType();
      if (const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(type)) {
        type = vector->getElementType();
        llvm::Value* place = ir.CreateAnd(lane, emitter.i64(vector->getNumElements() - 1));
        home = ir.CreateInBoundsGEP(type, home, place);
      }
      homes.push_back(home);
      state.leaves.push_back(home ? ir.CreateLoad(type, home) : builder.leaves[i]);
    }
    const Value after = add(state, lane);
    for (std::size_t i = 0; i < homes.size(); ++i) {
      if (homes[i]) ir.CreateStore(after.leaves[i], homes[i]);
    }
  });
  Value last{builder.type, {}};
  for (std::size_t i = 0; i < slots.size(); ++i) {
    last.leaves.push_back(slots[i] ? ir.CreateLoad(slots[i]->getAllocatedType(), slots[i])
                                   : builder.leaves[i]);
  }
  return last;
}

Value combine_each(Emitter& emitter, const Value& into, const PartialArray& partials,
                   const std::function<Value(const Value&, const Value&)>& add) {
  llvm::AllocaInst* state = emitter.frame(into.type);
  emitter.store(into, state);
  emitter.count_loop(partials.count, [&](llvm::Value* index) {
    const Value partial =
        emitter.load(into.type, emitter.element_address(partials.first, index, partials.stride_bytes));
    emitter.store(add(emitter.load(into.type, state), partial), state);
  });
  return emitter.load(into.type, state);
}

Value combine_tables(Emitter& emitter, const Value& into, const PartialArray& partials,
                     void (*write)(ModuleEmitter&, llvm::Function*, ir::Type), ir::Span span) {
  llvm::Type* pointer = emitter.ir.getPtrTy();
  llvm::Function* function =
      emitter.module.shared_function("combine", into.type, 0, {pointer, pointer, pointer}, nullptr,
                                     [&](llvm::Function* made) { write(emitter.module, made, into.type); });
  return combine_each(emitter, into, partials, [&](const Value& held, const Value& partial) {
    emitter.check(emitter.call(function, {emitter.worker, held.scalar(), partial.scalar()}), span);
    return held;
  });
}

llvm::ConstantInt* reserved_capacity(Emitter& emitter, Reserved reserved) {
  return emitter.i64(reserved == Reserved::kExactly ? INT64_MAX : INT64_MAX - 1);
}

bool has_reserved(Emitter& emitter, const Value& appender) {
  llvm::Value* capacity = appender.leaves[2];
  return capacity == reserved_capacity(emitter, Reserved::kExactly) ||
         capacity == reserved_capacity(emitter, Reserved::kLanesMore);
}

llvm::Value* fold_halves(Emitter& emitter, ir::MergeOp op, ir::ScalarKind kind, llvm::Value* lanes) {
  std::uint32_t half = llvm::cast<llvm::FixedVectorType>(lanes->getType())->getNumElements() / 2;
  for (; half > 0; half /= 2) {
    lanes = emitter.merge_scalars(op, kind, some_lanes(emitter, lanes, 0, half),
                                  some_lanes(emitter, lanes, half, half));
  }
  return emitter.ir.CreateExtractElement(lanes, std::uint64_t{0});
}

llvm::Value* fold_simd(Emitter& emitter, ir::MergeOp op, ir::ScalarKind kind, llvm::Value* lanes) {
  auto& ir = emitter.ir;
  llvm::SmallVector<llvm::Value*, 16> parts;
  const unsigned count = llvm::cast<llvm::FixedVectorType>(lanes->getType())->getNumElements();
  for (unsigned lane = 0; lane < count; ++lane) parts.push_back(ir.CreateExtractElement(lanes, lane));
  while (parts.size() > 1) {
    const std::size_t half = (parts.size() + 1) / 2;
    for (std::size_t lane = half; lane < parts.size(); ++lane) {
      parts[lane - half] = emitter.merge_scalars(op, kind, parts[lane - half], parts[lane]);
    }
    parts.resize(half);
  }
  return parts.front();
}

}  // namespace weld::codegen
