#pragma once

#include "codegen/emitter.h"

namespace weld::codegen {

/// The symbols that a lambda uses from outside, and their way into a function of its own: a struct in memory.
class CapturedFunction {
 public:
  CapturedFunction(Emitter& outside, ir::Expr lambda);

  /// Writes the values to a struct in the frame of `outside`, and returns its address.
  llvm::Value* store(Emitter& outside) const;
  /// Binds the symbols inside, to the values in the struct at `captures`.
  void bind(Emitter& inside, llvm::Value* captures) const;

 private:
  std::vector<ir::Parameter> symbols_;
  ir::Type type_;
};

}  // namespace weld::codegen
