#include "codegen/emitter.h"

// `cudf`: a call of a C function that takes a pointer to each argument, and to its result.

namespace weld::codegen {

Value emit_foreign_call(Emitter& emitter, ir::Expr expr) {
  const auto& node = *expr.as<ir::ForeignCall>();
  llvm::SmallVector<llvm::Value*, 8> arguments;
  for (ir::Expr argument : node.arguments) {
    const Value value = emitter.emit(argument);
    llvm::Value* slot = emitter.frame(value.type);
    emitter.store(value, slot);
    arguments.push_back(slot);
  }
  llvm::Value* result = emitter.frame(node.result);
  emitter.store(emitter.zero(node.result), result);
  arguments.push_back(result);
  emitter.call(emitter.module.foreign_function(node.name, arguments.size(), expr.span()), arguments);
  emitter.check(emitter.call("weld_rt_foreign_failure", {emitter.worker}), expr.span());
  return emitter.load_element(node.result, result, expr.span());
}

}  // namespace weld::codegen
