#include "codegen/builders/builder.h"
#include "codegen/lane_memory.h"
#include "ir/typing.h"

// A merger's state is its value. Float sums in loops go by blocks and lanes: that is the loop's work
// (loops.cpp).

namespace weld::codegen {
namespace {

class MergerOps final : public BuilderOps {
 public:
  Value create(Emitter& emitter, ir::Type type, const Value* argument, ir::Span) const override {
    const auto* merger = type.as<ir::MergerType>();
    return {type, argument ? argument->leaves : emitter.identity(merger->op, merger->value).leaves};
  }

  Value merge(Emitter& emitter, const Value& builder, const Value& value, ir::Span) const override {
    const auto* merger = builder.type.as<ir::MergerType>();
    const Value held{merger->value, builder.leaves};
    return {builder.type, emitter.merge_values(merger->op, held, value).leaves};
  }

  Value merge_lanes(Emitter& emitter, const Value& builder, const Value& lanes, llvm::Value* mask,
                    ir::Span span) const override {
    if (builder.leaves.empty()) return builder;
    if (builder.scalar()->getType()->isVectorTy()) return add_to_vectors(emitter, builder, lanes, mask);
    const auto* merger = builder.type.as<ir::MergerType>();
    const ir::ScalarKind kind = ir::element_kind(lanes.type);
    llvm::Value* merged = lanes.scalar();
    if (mask) {
      const std::uint32_t count = lanes.type.as<ir::SimdType>()->lanes;
      llvm::Value* identity = emitter.scalar_constant(ir::identity_of(merger->op, kind));
      merged = emitter.ir.CreateSelect(mask, merged, emitter.ir.CreateVectorSplat(count, identity));
    }
    return merge(emitter, builder, {merger->value, {fold_simd(emitter, merger->op, kind, merged)}}, span);
  }

  Value create_partial(Emitter& emitter, const Value& outer, ir::Span span) const override {
    return create(emitter, outer.type, nullptr, span);
  }

  Value combine(Emitter& emitter, const Value& into, const PartialArray& partials,
                ir::Span span) const override {
    return combine_each(emitter, into, partials, [&](const Value& held, const Value& partial) {
      return merge(emitter, held, {held.type.as<ir::MergerType>()->value, partial.leaves}, span);
    });
  }

  Value result(Emitter&, const Value& builder, ir::Type type, ir::Span) const override {
    return {type, builder.leaves};
  }

 private:
  // Lane l adds to the builder's lane l modulo the number of those, in order.
  static Value add_to_vectors(Emitter& emitter, const Value& builder, const Value& lanes, llvm::Value* mask) {
    const auto* merger = builder.type.as<ir::MergerType>();
    const FlatType& type = emitter.flat(merger->value);
    const std::uint32_t count = *ir::num_lanes(lanes.type);
    Value state = builder;
    for (std::size_t i = 0; i < state.leaves.size(); ++i) {
      llvm::Value*& held = state.leaves[i];
      const std::uint32_t width = llvm::cast<llvm::FixedVectorType>(held->getType())->getNumElements();
      for (std::uint32_t first = 0; first < count; first += width) {
        llvm::Value* added = some_lanes(emitter, lanes.leaves[i], first, width);
        llvm::Value* merged = emitter.merge_scalars(merger->op, type.leaves[i].scalar, held, added);
        held = mask ? emitter.ir.CreateSelect(some_lanes(emitter, mask, first, width), merged, held) : merged;
      }
    }
    return state;
  }
};

const MergerOps ops;

}  // namespace

const BuilderOps& merger_ops = ops;

}  // namespace weld::codegen
