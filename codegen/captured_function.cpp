#include "codegen/captured_function.h"

namespace weld::codegen {

CapturedFunction::CapturedFunction(Emitter& outside, ir::Expr lambda) : symbols_(ir::free_symbols(lambda)) {
  std::vector<ir::Type> members;
  for (const ir::Parameter& symbol : symbols_) members.push_back(outside.bound(symbol.symbol).type);
  type_ = outside.module.struct_type(members);
}

llvm::Value* CapturedFunction::store(Emitter& outside) const {
  std::vector<Value> members;
  for (const ir::Parameter& symbol : symbols_) members.push_back(outside.bound(symbol.symbol));
  llvm::Value* captures = outside.frame(type_);
  outside.store(outside.structure(type_, members), captures);
  return captures;
}

void CapturedFunction::bind(Emitter& inside, llvm::Value* captures) const {
  const Value all = inside.load(type_, captures);
  for (std::uint32_t i = 0; i < symbols_.size(); ++i) inside.bind(symbols_[i].symbol, inside.member(all, i));
}

}  // namespace weld::codegen
