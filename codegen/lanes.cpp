#include <llvm/IR/Intrinsics.h>

#include "codegen/builders/builder.h"
#include "codegen/lane_memory.h"

// The forms of lanes functions (ir/nodes.h).

namespace weld::codegen {

namespace {

// What indices of that type must be less than, as unsigned numbers: the length, or all that are not negative.
llvm::Value* index_limit(Emitter& emitter, llvm::Value* index, llvm::Value* length) {
  auto& ir = emitter.ir;
  llvm::Type* type = index->getType()->getScalarType();
  if (type->isIntegerTy(64)) return length;
  llvm::Value* most = emitter.i64(std::int64_t{1} << 31);
  return ir.CreateTrunc(ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, length, most), type);
}

}  // namespace

Value emit_gather(Emitter& emitter, ir::Expr expr) {
  auto& ir = emitter.ir;
  const auto& node = *expr.as<ir::Gather>();
  const Value vector = emitter.emit(node.vector);
  llvm::Value* index = emitter.emit_scalar(node.index);
  llvm::Value* mask = emitter.emit_scalar(node.mask);
  const std::uint32_t count = node.mask.type().as<ir::SimdType>()->lanes;
  llvm::Value* outside =
      ir.CreateICmpUGE(index, ir.CreateVectorSplat(count, index_limit(emitter, index, vector.leaves[1])));
  emitter.fail_if(any_lane(emitter, ir.CreateAnd(mask, outside)), ErrorCode::kArrayOutOfBounds, expr.span());
  const FlatType& element = emitter.flat(vector.type.as<ir::VecType>()->element);
  Value gathered{expr.type(), {}};
  for (const Leaf& leaf : element.leaves)
    gathered.leaves.push_back(gather_lanes(emitter, element, leaf, vector.leaves[0], index, mask));
  return gathered;
}

Value emit_any_lane(Emitter& emitter, ir::Expr expr) {
  return {expr.type(), {any_lane(emitter, emitter.emit_scalar(expr.as<ir::AnyLane>()->mask))}};
}

Value emit_map_lanes(Emitter& emitter, ir::Expr expr) {
  const auto& node = *expr.as<ir::MapLanes>();
  const auto& function = *node.function.as<ir::Lambda>();
  const Value values = emitter.emit(node.values);
  llvm::Value* mask = emitter.emit_scalar(node.mask);
  const std::uint32_t count = node.mask.type().as<ir::SimdType>()->lanes;
  const SpilledLanes inputs(emitter, function.parameters[0].type, values);
  SpilledLanes results(emitter, function.body.type(), emitter.zero(expr.type()));
  for_each_lane(emitter, mask, count, [&](llvm::Value* lane) {
    emitter.bind(function.parameters[0].symbol, inputs.lane(emitter, lane));
    results.set_lane(emitter, lane, emitter.emit(function.body));
  });
  return results.all(emitter, expr.type());
}

Value emit_for_lanes(Emitter& emitter, ir::Expr expr) {
  const auto& node = *expr.as<ir::ForLanes>();
  const auto& function = *node.function.as<ir::Lambda>();
  const Value builder = emitter.emit(node.builder);
  const Value values = emitter.emit(node.values);
  llvm::Value* mask = emitter.emit_scalar(node.mask);
  const SpilledLanes inputs(emitter, function.parameters[1].type, values);
  if (emitter.derives_from_loop(node.builder)) emitter.mark_loop_state(function.parameters[0].symbol);
  const std::uint32_t count = node.mask.type().as<ir::SimdType>()->lanes;
  return merge_each_lane(emitter, builder, mask, count, [&](const Value& state, llvm::Value* lane) {
    emitter.bind(function.parameters[0].symbol, state);
    emitter.bind(function.parameters[1].symbol, inputs.lane(emitter, lane));
    return emitter.emit(function.body);
  });
}

}  // namespace weld::codegen
