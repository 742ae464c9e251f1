#pragma once

#include <optional>

#include "codegen/emitter.h"

namespace weld::codegen {

// Hash tables (abi.h: Dict) in generated code, specialised by the types of key and value.

/// The type of an entry, `{K, V}`.
struct EntryType {
  ir::Type key;
  ir::Type value;
};

/// The address of the entry with that key, or null.
llvm::Value* find_entry(Emitter& emitter, const EntryType& type, llvm::Value* dict, const Value& key);

/// The index of the entry with that key. A new entry has its key, and as value the identity of an operator,
/// or zero. Leaves with kOutOfMemory or kBudgetExceeded.
llvm::Value* find_or_insert(Emitter& emitter, const EntryType& type, llvm::Value* dict, const Value& key,
                            std::optional<ir::MergeOp> identity, ir::Span span);

llvm::Value* entry_address(Emitter& emitter, const EntryType& type, llvm::Value* dict, llvm::Value* index);
llvm::Value* entry_value_address(Emitter& emitter, const EntryType& type, llvm::Value* entry);
std::int64_t entry_bytes(Emitter& emitter, const EntryType& type);
std::int64_t entry_value_offset(Emitter& emitter, const EntryType& type);

/// The entries as a vector of `{K, V}`, in place.
Value entries_of(Emitter& emitter, ir::Type entries, llvm::Value* dict);

/// A function of type runtime::DictInsert.
llvm::Function* insert_function(ModuleEmitter& module, const EntryType& type);

}  // namespace weld::codegen
