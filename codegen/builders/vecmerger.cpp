#include "codegen/builders/builder.h"

// A vecmerger's state is the vector that it updates in place, a copy of its argument.

namespace weld::codegen {
namespace {

const ir::VecMergerType& merger_type(ir::Type type) {
  return *type.as<ir::VecMergerType>();
}

class VecMergerOps final : public BuilderOps {
 public:
  Value create(Emitter& emitter, ir::Type type, const Value* argument, ir::Span span) const override {
    llvm::AllocaInst* slot = emitter.frame(type);
    const std::int64_t bytes = emitter.flat(merger_type(type).element).size_bytes;
    emitter.check(emitter.call("weld_rt_copy_vector", {emitter.worker, argument->leaves[0],
                                                       argument->leaves[1], emitter.i64(bytes), slot}),
                  span);
    return emitter.load(type, slot);
  }

  Value merge(Emitter& emitter, const Value& builder, const Value& value, ir::Span span) const override {
    const ir::Type element = merger_type(builder.type).element;
    llvm::Value* index = emitter.member(value, 0).scalar();
    emitter.fail_if(emitter.ir.CreateICmpUGE(index, builder.leaves[1]), ErrorCode::kArrayOutOfBounds, span);
    llvm::Value* address =
        emitter.element_address(builder.leaves[0], index, emitter.flat(element).size_bytes);
    const Value held = emitter.load(element, address);
    emitter.store(emitter.merge_values(merger_type(builder.type).op, held, emitter.member(value, 1)),
                  address);
    return builder;
  }

  // A vector of identities.
  Value create_partial(Emitter& emitter, const Value& outer, ir::Span span) const override {
    const ir::Type element = merger_type(outer.type).element;
    const std::int64_t bytes = emitter.flat(element).size_bytes;
    llvm::Value* length = outer.leaves[1];
    llvm::Value* data = emitter.allocate(emitter.checked_bytes(length, bytes, span), span);
    const Value identity = emitter.identity(merger_type(outer.type).op, element);
    emitter.count_loop(
        length,
        [&](llvm::Value* index) { emitter.store(identity, emitter.element_address(data, index, bytes)); },
        LoopLength::kLong);
    return {outer.type, {data, length}};
  }

  Value combine(Emitter& emitter, const Value& into, const PartialArray& partials, ir::Span) const override {
    const ir::Type element = merger_type(into.type).element;
    const std::int64_t bytes = emitter.flat(element).size_bytes;
    return combine_each(emitter, into, partials, [&](const Value& held, const Value& partial) {
      emitter.count_loop(
          held.leaves[1],
          [&](llvm::Value* index) {
            llvm::Value* address = emitter.element_address(held.leaves[0], index, bytes);
            const Value added =
                emitter.load(element, emitter.element_address(partial.leaves[0], index, bytes));
            emitter.store(
                emitter.merge_values(merger_type(into.type).op, emitter.load(element, address), added),
                address);
          },
          LoopLength::kLong);
      return held;
    });
  }

  Value result(Emitter&, const Value& builder, ir::Type type, ir::Span) const override {
    return {type, builder.leaves};
  }
};

const VecMergerOps ops;

}  // namespace

const BuilderOps& vecmerger_ops = ops;

}  // namespace weld::codegen
