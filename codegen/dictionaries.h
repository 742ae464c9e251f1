#pragma once

#include <optional>

#include "codegen/emitter.h"
#include "codegen/lane_memory.h"

namespace weld::codegen {

// Hash tables (abi.h: Dict) in generated code, specialised by the types of key and value.

/// The type of an entry, `{K, V}`.
struct EntryType {
  ir::Type key;
  ir::Type value;
};

/// What dictionaries use of a key's hash (runtime/dict.h: slot_hash), as i64. All dictionaries of a process
/// hash alike; `dict` may be any that has keys of that type.
llvm::Value* hash_key(Emitter& emitter, llvm::Value* dict, const Value& key);

/// Whether a key is made of scalars, at least one: lanes of it are lanes of each.
bool has_scalar_leaves(Emitter& emitter, ir::Type key);

/// The hashes of lanes of keys, on the stack: those made of scalars all at once, others one by one where the
/// mask is true (null: all).
class LaneHashes {
 public:
  LaneHashes(Emitter& emitter, ir::Type key, llvm::Value* dict, const Value& lanes, const SpilledLanes& keys,
             llvm::Value* mask);
  llvm::Value* lane(Emitter& emitter, llvm::Value* index) const;
  llvm::Value* all(Emitter& emitter) const;

 private:
  llvm::AllocaInst* hashes_;  // u32 each
};

/// Whether the table is too large for the cache of a core: probes then wait for memory.
llvm::Value* is_large(Emitter& emitter, llvm::Value* dict);
/// Fetches the slot where probing for a hash starts.
void prefetch_slot(Emitter& emitter, llvm::Value* dict, llvm::Value* hash);
/// Fetches the entry that this slot, which is read, points to, if it has that hash.
void prefetch_entry(Emitter& emitter, const EntryType& type, llvm::Value* dict, llvm::Value* hash);

/// Whether keys have vectors, whose elements are elsewhere.
bool has_vectors(Emitter& emitter, ir::Type key);
/// Fetches the first elements of the vectors in an entry's key, where the entry is read.
void prefetch_vectors(Emitter& emitter, const EntryType& type, llvm::Value* entry);
/// The same of the entry that prefetch_entry fetched; again of `entry` where it fetched none.
void prefetch_stored_vectors(Emitter& emitter, const EntryType& type, llvm::Value* dict, llvm::Value* hash,
                             llvm::Value* entry);

/// The address of the entry with that key, or null. `hash` is its hash_key; null: it is made here.
llvm::Value* find_entry(Emitter& emitter, const EntryType& type, llvm::Value* dict, const Value& key,
                        llvm::Value* hash = nullptr);

/// What the slots where probing starts tell of lanes of keys, which are made of scalars.
struct FirstSlots {
  llvm::Value* found;        ///< the lanes whose key's entry is there
  llvm::Value* index;        ///< their entries; simd[i64]
  llvm::Value* is_occupied;  ///< the lanes whose slot is not empty
};
FirstSlots read_first_slots(Emitter& emitter, const EntryType& type, llvm::Value* dict, const Value& keys,
                            llvm::Value* hashes, llvm::Value* mask);

/// The index of the entry with that key. A new entry has its key, and as value the identity of an operator,
/// or zero. Leaves with kOutOfMemory or kBudgetExceeded. `hash` as for find_entry.
llvm::Value* find_or_insert(Emitter& emitter, const EntryType& type, llvm::Value* dict, const Value& key,
                            std::optional<ir::MergeOp> identity, ir::Span span, llvm::Value* hash = nullptr);
/// Leaves with the ErrorCode that such an index is minus of, if it is none.
void check_index(Emitter& emitter, llvm::Value* index, ir::Span span);
/// The same in a table that is hashed until then; minus the ErrorCode where it fails.
llvm::Value* find_or_insert_hashed(Emitter& emitter, const EntryType& type, llvm::Value* dict,
                                   const Value& key, std::optional<ir::MergeOp> identity, llvm::Value* hash);

/// `{K, V}` itself.
ir::Type entry_struct(Emitter& emitter, const EntryType& type);
llvm::Value* entry_address(Emitter& emitter, const EntryType& type, llvm::Value* dict, llvm::Value* index);
llvm::Value* entry_value_address(Emitter& emitter, const EntryType& type, llvm::Value* entry);
std::int64_t entry_bytes(Emitter& emitter, const EntryType& type);
std::int64_t entry_value_offset(Emitter& emitter, const EntryType& type);

/// The entries as a vector of `{K, V}`, in place.
Value entries_of(Emitter& emitter, ir::Type entries, llvm::Value* dict);

/// A function of type runtime::DictInsert.
llvm::Function* insert_function(ModuleEmitter& module, const EntryType& type);

}  // namespace weld::codegen
