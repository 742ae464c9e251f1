#include "codegen/builders/builder.h"

#include "ir/error.h"

namespace weld::codegen {

const BuilderOps& builder_ops(ir::Type builder) {
  if (builder.as<ir::AppenderType>()) return appender_ops;
  if (builder.as<ir::MergerType>()) return merger_ops;
  if (builder.as<ir::DictMergerType>()) return dictmerger_ops;
  if (builder.as<ir::GroupMergerType>()) return groupmerger_ops;
  ir::internal_check(builder.as<ir::VecMergerType>() != nullptr, "the type is a builder's");
  return vecmerger_ops;
}

Value BuilderOps::merge_lanes(Emitter&, const Value& builder, const Value&, llvm::Value*, ir::Span) const {
  ir::internal_check(false, "the builder takes lanes");
  return builder;
}

Value merge_any(Emitter& emitter, const Value& builder, const Value& value, ir::Span span) {
  const BuilderOps& ops = builder_ops(builder.type);
  if (value.type.as<ir::SimdType>() && !takes_simd_elements(builder.type)) {
    return ops.merge_lanes(emitter, builder, value, nullptr, span);
  }
  return ops.merge(emitter, builder, value, span);
}

Value merge_masked(Emitter& emitter, const Value& builder, const Value& value, llvm::Value* mask,
                   ir::Span span) {
  if (mask->getType()->isVectorTy()) {
    return builder_ops(builder.type).merge_lanes(emitter, builder, value, mask, span);
  }
  return emitter.branch(
      mask, [&] { return merge_any(emitter, builder, value, span); }, [&] { return builder; });
}

bool takes_simd_elements(ir::Type builder) {
  const auto* appender = builder.as<ir::AppenderType>();
  return appender && appender->element.as<ir::SimdType>();
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

llvm::ConstantInt* reserved_capacity(Emitter& emitter) {
  return emitter.i64(INT64_MAX);
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
