#include "codegen/dictionaries.h"
#include "codegen/emitter.h"

// `serialize` and `deserialize`: the runtime walks values by their layout (runtime/serialize.h); generated
// code inserts into dictionaries.

namespace weld::codegen {
namespace {

// The dictionary types in a type, in the order of runtime/calls.h: weld_rt_deserialize.
void collect_inserts(ModuleEmitter& module, ir::Type type, std::vector<llvm::Constant*>& inserts) {
  if (const auto* dict = type.as<ir::DictType>()) {
    inserts.push_back(insert_function(module, {dict->key, dict->value}));
    collect_inserts(module, dict->key, inserts);
    collect_inserts(module, dict->value, inserts);
  } else if (const auto* vec = type.as<ir::VecType>()) {
    collect_inserts(module, vec->element, inserts);
  } else if (const auto* structure = type.as<ir::StructType>()) {
    for (ir::Type member : structure->members) collect_inserts(module, member, inserts);
  }
}

}  // namespace

Value emit_serialize(Emitter& emitter, ir::Expr expr) {
  const Value value = emitter.emit(expr.as<ir::Serialize>()->value);
  llvm::Value* slot = emitter.frame(value.type);
  emitter.store(value, slot);
  llvm::Value* result = emitter.frame(expr.type());
  llvm::Value* layout = emitter.i32(emitter.module.layout_index(value.type));
  emitter.check(emitter.call("weld_rt_serialize", {emitter.worker, layout, slot, result}), expr.span());
  return emitter.load(expr.type(), result);
}

Value emit_deserialize(Emitter& emitter, ir::Expr expr) {
  const auto& node = *expr.as<ir::Deserialize>();
  const Value buffer = emitter.emit(node.buffer);
  std::vector<llvm::Constant*> functions;
  collect_inserts(emitter.module, node.target, functions);
  llvm::Constant* inserts = emitter.null();
  if (!functions.empty()) {
    auto* array_type = llvm::ArrayType::get(emitter.ir.getPtrTy(), functions.size());
    inserts = new llvm::GlobalVariable(emitter.module.module(), array_type, true,
                                       llvm::GlobalValue::InternalLinkage,
                                       llvm::ConstantArray::get(array_type, functions), "dict_inserts");
  }
  llvm::Value* result = emitter.frame(node.target);
  llvm::Value* layout = emitter.i32(emitter.module.layout_index(node.target));
  emitter.check(emitter.call("weld_rt_deserialize",
                             {emitter.worker, layout, buffer.leaves[0], buffer.leaves[1], inserts, result}),
                expr.span());
  return emitter.load(node.target, result);
}

}  // namespace weld::codegen
