#include "codegen/emitter.h"

// `iterate`: a do-while over a state. Where iterations allocate, memory that the state no longer reaches is
// freed on the way (runtime/calls.h: weld_rt_iterate_…).

namespace weld::codegen {
namespace {

// Runs the loop around `step`, which takes the state and returns the update's `{state, go on}`.
Value loop_in_registers(Emitter& emitter, const Value& initial,
                        const std::function<Value(const Value&)>& step) {
  auto& ir = emitter.ir;
  std::vector<llvm::AllocaInst*> slots;
  for (llvm::Value* leaf : initial.leaves) {
    slots.push_back(emitter.frame(leaf->getType(), "state"));
    ir.CreateStore(leaf, slots.back());
  }
  const auto load_state = [&] {
    Value state{initial.type, {}};
    for (llvm::AllocaInst* slot : slots)
      state.leaves.push_back(ir.CreateLoad(slot->getAllocatedType(), slot));
    return state;
  };
  llvm::BasicBlock* again = emitter.block("iterate");
  llvm::BasicBlock* done = emitter.block("done");
  ir.CreateBr(again);
  ir.SetInsertPoint(again);
  emitter.poll();
  const Value updated = step(load_state());
  const Value next = emitter.member(updated, 0);
  for (std::size_t i = 0; i < slots.size(); ++i) ir.CreateStore(next.leaves[i], slots[i]);
  ir.CreateCondBr(emitter.member(updated, 1).scalar(), again, done);
  ir.SetInsertPoint(done);
  return load_state();
}

}  // namespace

Value emit_iterate(Emitter& emitter, ir::Expr expr) {
  const auto& node = *expr.as<ir::Iterate>();
  const auto& update = *node.update.as<ir::Lambda>();
  const ir::Symbol parameter = update.parameters[0].symbol;
  const Value initial = emitter.emit(node.initial);
  if (ir::contains_builder(initial.type) && emitter.derives_from_loop(node.initial))
    emitter.mark_loop_state(parameter);
  const auto step = [&](const Value& state) {
    emitter.bind(parameter, state);
    return emitter.emit(update.body);
  };
  const bool allocates = ir::any(update.body.effects() & ir::Effects::kAllocates);
  if (!allocates) return loop_in_registers(emitter, initial, step);

  // What is reached is looked for block by block.
  const bool keeps_memory = emitter.keeps_memory();
  emitter.set_keeps_memory(false);
  llvm::Value* state = emitter.frame(initial.type);
  emitter.store(initial, state);
  llvm::Value* scope =
      emitter.frame(sizeof(runtime::IterateScope), alignof(runtime::IterateScope), "iterate_scope");
  llvm::Value* layout = emitter.i32(emitter.module.layout_index(initial.type));
  emitter.call("weld_rt_iterate_begin", {emitter.worker, scope, layout, state});
  emitter.push_cleanup([&, scope, layout] {
    emitter.call("weld_rt_iterate_end", {emitter.worker, scope, layout, emitter.null()});
  });
  const Value last = loop_in_registers(emitter, emitter.load(initial.type, state), [&](const Value& before) {
    const Value updated = step(before);
    emitter.store(emitter.member(updated, 0), state);
    emitter.check(emitter.call("weld_rt_iterate_step", {emitter.worker, scope, layout, state}), expr.span());
    return updated;
  });
  emitter.pop_cleanup();
  emitter.set_keeps_memory(keeps_memory);
  emitter.check(emitter.call("weld_rt_iterate_end", {emitter.worker, scope, layout, state}), expr.span());
  return last;
}

}  // namespace weld::codegen
