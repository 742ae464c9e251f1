#pragma once

#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/DerivedTypes.h>

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "ir/types.h"

namespace weld::codegen {

enum class LeafKind : std::uint8_t { kScalar, kSimd, kPointer, kLength };

/// One part of a value that LLVM holds in a register. Values are kept as their leaves, never as LLVM
/// aggregates: a struct is the leaves of its members, a vector is pointer and length, a dictionary a pointer,
/// an appender pointer, length and capacity, a merger its value.
struct Leaf {
  LeafKind kind;
  ir::ScalarKind scalar;  ///< kScalar, kSimd
  std::uint32_t lanes;    ///< kSimd
  std::int64_t offset;    ///< in bytes, in the C layout of the value
  llvm::Type* type;       ///< in registers: bool is i1
};

/// The C layout (runtime/layout.h) of a type, flattened.
struct FlatType {
  std::vector<Leaf> leaves;
  std::vector<std::uint32_t>
      member_leaves;  ///< of a struct: first leaf of each member, then the number of leaves
  std::int64_t size_bytes = 0;
  std::int64_t align_bytes = 1;
};

/// Flattens types for one LLVM context, each once.
class TypeMap {
 public:
  explicit TypeMap(llvm::LLVMContext& context) : context_(context) {}

  const FlatType& flat(ir::Type type);
  llvm::Type* scalar(ir::ScalarKind kind);
  llvm::Type* lanes(ir::ScalarKind kind, std::uint32_t count);
  llvm::LLVMContext& context() { return context_; }

 private:
  FlatType flatten(ir::Type type);

  llvm::LLVMContext& context_;
  std::unordered_map<const ir::TypeRecord*, FlatType> flat_;
};

/// As in memory: one byte for each bool.
llvm::Type* memory_type(const Leaf& leaf);
/// What loads and stores may rely on.
std::int64_t memory_alignment(const Leaf& leaf);

}  // namespace weld::codegen
