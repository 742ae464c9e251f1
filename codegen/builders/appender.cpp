#include <cstddef>

#include "codegen/builders/builder.h"
#include "codegen/lane_memory.h"
#include "ir/typing.h"

// An appender's state is {data, length, capacity} in registers; runtime/appender.h grows it.

namespace weld::codegen {
namespace {

ir::Type element_of(ir::Type appender) {
  return appender.as<ir::AppenderType>()->element;
}

// Calls a runtime function on the state, which is in memory meanwhile.
Value through_memory(Emitter& emitter, const Value& state,
                     const std::function<llvm::Value*(llvm::Value*)>& run, ir::Span span) {
  llvm::AllocaInst* slot = emitter.frame(state.type);
  emitter.store(state, slot);
  emitter.check(run(slot), span);
  return emitter.load(state.type, slot);
}

class AppenderOps final : public BuilderOps {
 public:
  Value create(Emitter& emitter, ir::Type type, const Value* argument, ir::Span span) const override {
    llvm::Value* expected = argument ? argument->scalar() : emitter.i64(0);
    const std::int64_t bytes = emitter.flat(element_of(type)).size_bytes;
    return through_memory(
        emitter, emitter.zero(type),
        [&](llvm::Value* slot) {
          return emitter.call("weld_rt_appender_new", {emitter.worker, slot, emitter.i64(bytes), expected});
        },
        span);
  }

  Value merge(Emitter& emitter, const Value& builder, const Value& value, ir::Span span) const override {
    const Value roomy = make_room(emitter, builder, 1, span);
    const std::int64_t bytes = emitter.flat(element_of(builder.type)).size_bytes;
    emitter.store(value, emitter.element_address(roomy.leaves[0], roomy.leaves[1], bytes));
    return lengthened(emitter, roomy, emitter.i64(1));
  }

  Value merge_lanes(Emitter& emitter, const Value& builder, const Value& lanes, llvm::Value* mask,
                    ir::Span span) const override {
    const std::uint32_t count = *ir::num_lanes(lanes.type);
    const ir::Type element = element_of(builder.type);
    const bool ends_there = builder.leaves[2] == reserved_capacity(emitter, Reserved::kExactly);
    if (!has_stored_lanes(emitter, element) || (mask && ends_there))
      return BuilderOps::merge_lanes(emitter, builder, lanes, mask, span);
    const Value state = make_room(emitter, builder, count, span);
    llvm::Value* address =
        emitter.element_address(state.leaves[0], state.leaves[1], emitter.flat(element).size_bytes);
    llvm::Value* written = nullptr;
    const auto store = [&](Access access) {
      written = store_lanes(emitter, element, lanes, mask, address, access);
      return state;
    };
    if (llvm::Value* streams = ends_there ? emitter.streams() : nullptr) {
      emitter.branch(
          emitter.ir.CreateAnd(streams, may_stream(emitter, element, count, address)),
          [&] { return store(Access::kStreamed); }, [&] { return store(Access::kCached); });
    } else {
      store(Access::kCached);
    }
    return lengthened(emitter, state, written);
  }

  Value create_partial(Emitter& emitter, const Value& outer, ir::Span span) const override {
    return create(emitter, outer.type, nullptr, span);
  }

  Value combine(Emitter& emitter, const Value& into, const PartialArray& partials,
                ir::Span span) const override {
    const std::int64_t bytes = emitter.flat(element_of(into.type)).size_bytes;
    return through_memory(
        emitter, into,
        [&](llvm::Value* slot) {
          return emitter.call("weld_rt_appender_concat",
                              {emitter.worker, slot, partials.first, emitter.i64(partials.stride_bytes),
                               partials.count, emitter.i64(bytes)});
        },
        span);
  }

  Value result(Emitter& emitter, const Value& builder, ir::Type type, ir::Span) const override {
    llvm::Value* data = builder.leaves[0];
    llvm::Value* length = builder.leaves[1];
    const FlatType& element = emitter.flat(element_of(builder.type));
    llvm::Value* bytes = emitter.ir.CreateMul(length, emitter.i64(element.size_bytes));
    constexpr std::int64_t kGatheredAlignBytes = 16;
    if (emitter.keeps_memory() && element.align_bytes <= kGatheredAlignBytes) {
      data = emitter.call("weld_rt_appender_gather", {emitter.worker, data, bytes});
    } else if (emitter.loop_depth() == 0) {
      emitter.when(emitter.ir.CreateICmpSGT(builder.leaves[2], length),
                   [&] { emitter.call("weld_rt_trim", {emitter.worker, data, bytes}); });
    }
    return {type, {data, length}};
  }

 private:
  // Room for `count` more elements. Nothing to do where the loop has made room before.
  static Value make_room(Emitter& emitter, const Value& builder, std::int64_t count, ir::Span span) {
    if (has_reserved(emitter, builder)) return builder;
    return reserve_appender(emitter, builder, emitter.i64(count), span);
  }

  static Value lengthened(Emitter& emitter, const Value& state, llvm::Value* by) {
    return {state.type, {state.leaves[0], emitter.ir.CreateNSWAdd(state.leaves[1], by), state.leaves[2]}};
  }
};

const AppenderOps ops;

}  // namespace

const BuilderOps& appender_ops = ops;

Value reserve_appender(Emitter& emitter, const Value& builder, llvm::Value* count, ir::Span span) {
  const std::int64_t bytes = emitter.flat(element_of(builder.type)).size_bytes;
  llvm::Value* room = emitter.ir.CreateSub(builder.leaves[2], builder.leaves[1]);
  return emitter.branch(
      emitter.ir.CreateICmpSLT(room, count),
      [&] {
        return through_memory(
            emitter, builder,
            [&](llvm::Value* slot) {
              return emitter.call("weld_rt_appender_grow", {emitter.worker, slot, emitter.i64(bytes), count});
            },
            span);
      },
      [&] { return builder; });
}

}  // namespace weld::codegen
