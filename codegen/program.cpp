#include "codegen/emitter.h"

// `weld_main`: from the parameters in their C struct to the result in its C layout.

namespace weld::codegen {
namespace {

// Parameters come from outside: their vectors must be well formed, and a dictionary or builder be there.
void bind_parameters(Emitter& emitter, std::span<const ir::Parameter> parameters) {
  std::vector<ir::Type> types;
  for (const ir::Parameter& parameter : parameters) types.push_back(parameter.type);
  const ir::Type arguments = emitter.module.struct_type(types);
  const FlatType& flat = emitter.flat(arguments);
  std::vector<llvm::Value*> wrong;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::uint32_t first = flat.member_leaves[i];
    const bool empty = first == flat.member_leaves[i + 1];
    llvm::Value* address = empty ? emitter.function->getArg(1)
                                 : emitter.offset(emitter.function->getArg(1), flat.leaves[first].offset);
    const Value value = emitter.load(parameters[i].type, address);
    const FlatType& own = emitter.flat(parameters[i].type);
    for (std::size_t leaf = 0; leaf < own.leaves.size(); ++leaf) {
      if (own.leaves[leaf].kind != LeafKind::kPointer) continue;
      const bool is_vector = leaf + 1 < own.leaves.size() && own.leaves[leaf + 1].kind == LeafKind::kLength;
      wrong.push_back(is_vector ? emitter.is_malformed(value.leaves[leaf], value.leaves[leaf + 1])
                                : emitter.ir.CreateIsNull(value.leaves[leaf]));
    }
    emitter.bind(parameters[i].symbol, value);
  }
  emitter.fail_if_any(wrong, ErrorCode::kArrayOutOfBounds, {});
}

}  // namespace

void ModuleEmitter::emit_program(ir::Expr program) {
  llvm::Type* pointer = llvm::PointerType::get(context(), 0);
  llvm::Function* main = add_function("weld_main", {pointer, pointer, pointer});
  main->setLinkage(llvm::GlobalValue::ExternalLinkage);
  Emitter emitter(*this, main);
  ir::Expr body = program;
  if (const auto* lambda = program.as<ir::Lambda>()) {
    bind_parameters(emitter, lambda->parameters);
    body = lambda->body;
  }
  emitter.set_dead_vectors(dead_vectors(body));
  emitter.store(emitter.emit(body), main->getArg(2));
  emitter.finish();
}

}  // namespace weld::codegen
