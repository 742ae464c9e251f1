#include "codegen/builders/builder.h"
#include "codegen/lane_memory.h"
#include "ir/typing.h"

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

  Value merge_lanes(Emitter& emitter, const Value& builder, const Value& lanes, llvm::Value* mask,
                    ir::Span span) const override {
    if (!has_stored_lanes(emitter, merger_type(builder.type).element))
      return BuilderOps::merge_lanes(emitter, builder, lanes, mask, span);
    llvm::Value* first = emitter.counts_from(emitter.member(lanes, 0).scalar());
    if (!first) {
      merge_scattered(emitter, builder, lanes, mask, span);
      return builder;
    }
    auto& ir = emitter.ir;
    const std::uint32_t count = *ir::num_lanes(lanes.type);
    llvm::Value* end = ir.CreateAdd(first, emitter.i64(count));
    llvm::Value* inside =
        ir.CreateAnd(ir.CreateICmpSGE(first, emitter.i64(0)),
                     ir.CreateAnd(ir.CreateICmpSLT(first, end), ir.CreateICmpSLE(end, builder.leaves[1])));
    return emitter.branch(
        inside,
        [&] {
          merge_in_a_row(emitter, builder, emitter.member(lanes, 1), first, mask);
          return builder;
        },
        [&] {
          merge_scattered(emitter, builder, lanes, mask, span);
          return builder;
        });
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

 private:
  static void merge_scattered(Emitter& emitter, const Value& builder, const Value& lanes, llvm::Value* mask,
                              ir::Span span) {
    auto& ir = emitter.ir;
    const ir::Type element = merger_type(builder.type).element;
    const std::uint32_t count = *ir::num_lanes(lanes.type);
    const Value index = emitter.member(lanes, 0);
    llvm::Value* outside = ir.CreateICmpUGE(index.scalar(), ir.CreateVectorSplat(count, builder.leaves[1]));
    if (mask) outside = ir.CreateAnd(mask, outside);
    emitter.fail_if(any_lane(emitter, outside), ErrorCode::kArrayOutOfBounds, span);
    const SpilledLanes places(emitter, ir::Type::scalar(ir::ScalarKind::kI64), index);
    const LaneRows rows(emitter, element, emitter.member(lanes, 1));
    for_each_lane(emitter, mask, count, [&](llvm::Value* lane) {
      llvm::Value* address = emitter.element_address(builder.leaves[0], places.lane(emitter, lane).scalar(),
                                                     emitter.flat(element).size_bytes);
      rows.merge_into(emitter, merger_type(builder.type).op, lane, address);
    });
  }

  // Lanes for elements that follow each other. Where the mask is false the element is written as it was.
  static void merge_in_a_row(Emitter& emitter, const Value& builder, const Value& values, llvm::Value* first,
                             llvm::Value* mask) {
    const ir::Type element = merger_type(builder.type).element;
    const FlatType& type = emitter.flat(element);
    llvm::Value* address = emitter.element_address(builder.leaves[0], first, type.size_bytes);
    const std::uint32_t count = *ir::num_lanes(values.type);
    Value merged{values.type, {}};
    for (std::size_t i = 0; i < type.leaves.size(); ++i) {
      llvm::Value* held = load_lanes(emitter, type, type.leaves[i], address, count);
      llvm::Value* sum =
          emitter.merge_scalars(merger_type(builder.type).op, type.leaves[i].scalar, held, values.leaves[i]);
      merged.leaves.push_back(mask ? emitter.ir.CreateSelect(mask, sum, held) : sum);
    }
    store_lanes(emitter, element, merged, nullptr, address);
  }
};

const VecMergerOps ops;

}  // namespace

const BuilderOps& vecmerger_ops = ops;

}  // namespace weld::codegen
