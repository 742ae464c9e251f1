#include "codegen/dictionaries.h"

#include <cstddef>

namespace weld::codegen {
namespace {

using runtime::Dict;

llvm::Value* dict_field(Emitter& emitter, llvm::Type* type, llvm::Value* dict, std::size_t offset_bytes) {
  return emitter.load_field(type, dict, offset_bytes);
}

// The upper 32 bits of a slot: part of the hash. The entry's index + 1 is below.
llvm::Value* hash32(Emitter& emitter, llvm::Value* dict, const Value& key) {
  llvm::Value* seed = dict_field(emitter, emitter.ir.getInt64Ty(), dict, offsetof(Dict, seed));
  return emitter.ir.CreateLShr(emitter.hash(key, seed), 32);
}

// Walks the slots from where the key belongs. `found(entry, index)` and `absent(position, hash)` end in a terminator.
void probe(Emitter& emitter, const EntryType& type, llvm::Value* dict, const Value& key,
           const std::function<void(llvm::Value* entry, llvm::Value* index)>& found,
           const std::function<void(llvm::Value* position, llvm::Value* hash)>& absent) {
  auto& ir = emitter.ir;
  llvm::Type* i64 = ir.getInt64Ty();
  llvm::Value* hash = hash32(emitter, dict, key);
  llvm::Value* mask = dict_field(emitter, i64, dict, offsetof(Dict, slot_mask));
  llvm::Value* slots = dict_field(emitter, ir.getPtrTy(), dict, offsetof(Dict, slots));
  llvm::Value* entries = dict_field(emitter, ir.getPtrTy(), dict, offsetof(Dict, entries));
  llvm::Value* start = ir.CreateAnd(hash, mask);

  llvm::BasicBlock* before = ir.GetInsertBlock();
  llvm::BasicBlock* header = emitter.block("probe");
  llvm::BasicBlock* occupied = emitter.block("occupied");
  llvm::BasicBlock* same_hash = emitter.block("same_hash");
  llvm::BasicBlock* same_key = emitter.block("same_key");
  llvm::BasicBlock* next = emitter.block("next");
  llvm::BasicBlock* empty = emitter.block("empty");
  ir.CreateBr(header);
  ir.SetInsertPoint(header);
  llvm::PHINode* position = ir.CreatePHI(i64, 2, "position");
  position->addIncoming(start, before);
  llvm::Value* slot = ir.CreateLoad(i64, emitter.element_address(slots, position, 8));
  ir.CreateCondBr(ir.CreateIsNull(slot), empty, occupied);

  ir.SetInsertPoint(occupied);
  ir.CreateCondBr(ir.CreateICmpEQ(ir.CreateLShr(slot, 32), hash), same_hash, next);

  ir.SetInsertPoint(same_hash);
  llvm::Value* index = ir.CreateSub(ir.CreateAnd(slot, emitter.i64(0xffffffff)), emitter.i64(1));
  llvm::Value* entry = emitter.element_address(entries, index, entry_bytes(emitter, type));
  const Value stored = emitter.load(type.key, entry);
  ir.CreateCondBr(emitter.keys_equal(stored, key), same_key, next);

  ir.SetInsertPoint(same_key);
  found(entry, index);

  ir.SetInsertPoint(next);
  position->addIncoming(ir.CreateAnd(ir.CreateAdd(position, emitter.i64(1)), mask), next);
  ir.CreateBr(header);

  ir.SetInsertPoint(empty);
  absent(position, hash);
}

// Parameters of a function of (worker, dict, key leaves…, more…), and the key back from them.
llvm::SmallVector<llvm::Type*, 8> key_parameters(Emitter& emitter, const EntryType& type) {
  llvm::SmallVector<llvm::Type*, 8> parameters = {emitter.ir.getPtrTy(), emitter.ir.getPtrTy()};
  for (const Leaf& leaf : emitter.flat(type.key).leaves) parameters.push_back(leaf.type);
  return parameters;
}

llvm::SmallVector<llvm::Value*, 8> key_arguments(Emitter& emitter, llvm::Value* dict, const Value& key) {
  llvm::SmallVector<llvm::Value*, 8> arguments = {emitter.worker, dict};
  arguments.append(key.leaves.begin(), key.leaves.end());
  return arguments;
}

Value key_parameter(Emitter& emitter, const EntryType& type) {
  Value key{type.key, {}};
  for (unsigned i = 0; i < emitter.flat(type.key).leaves.size(); ++i) {
    key.leaves.push_back(emitter.function->getArg(i + 2));
  }
  return key;
}

ir::Type entry_struct(Emitter& emitter, const EntryType& type) { return emitter.module.struct_type({type.key, type.value}); }

// ptr find(worker, dict, key…).
void write_find(ModuleEmitter& module, llvm::Function* function, const EntryType& type) {
  Emitter emitter(module, function);
  probe(
      emitter, type, function->getArg(1), key_parameter(emitter, type),
      [&](llvm::Value* entry, llvm::Value*) { emitter.ir.CreateRet(entry); },
      [&](llvm::Value*, llvm::Value*) { emitter.ir.CreateRet(emitter.null()); });
}

// ErrorCode find_or_insert(worker, dict, key…, i64* index, i8* is_new).
void write_find_or_insert(ModuleEmitter& module, llvm::Function* function, const EntryType& type) {
  Emitter emitter(module, function);
  auto& ir = emitter.ir;
  const auto num_arguments = static_cast<unsigned>(function->arg_size());
  llvm::Value* dict = function->getArg(1);
  llvm::Value* index_out = function->getArg(num_arguments - 2);
  llvm::Value* is_new_out = function->getArg(num_arguments - 1);
  const Value key = key_parameter(emitter, type);

  llvm::BasicBlock* start = emitter.block("start");
  ir.CreateBr(start);
  ir.SetInsertPoint(start);
  probe(
      emitter, type, dict, key,
      [&](llvm::Value*, llvm::Value* index) {
        ir.CreateStore(index, index_out);
        ir.CreateStore(ir.getInt8(0), is_new_out);
        ir.CreateRet(emitter.i32(0));
      },
      [&](llvm::Value* position, llvm::Value* hash) {
        llvm::Value* count = dict_field(emitter, ir.getInt64Ty(), dict, offsetof(Dict, num_entries));
        llvm::Value* capacity = dict_field(emitter, ir.getInt64Ty(), dict, offsetof(Dict, entry_capacity));
        llvm::BasicBlock* full = emitter.block("full");
        llvm::BasicBlock* grown = emitter.block("grown");
        llvm::BasicBlock* failed = emitter.block("failed");
        llvm::BasicBlock* insert = emitter.block("insert");
        ir.CreateCondBr(ir.CreateICmpEQ(count, capacity), full, insert);
        ir.SetInsertPoint(full);
        llvm::Value* code = emitter.call("weld_rt_dict_grow", {emitter.worker, dict});
        ir.CreateCondBr(ir.CreateIsNull(code), grown, failed);
        ir.SetInsertPoint(grown);
        ir.CreateBr(start);  // the slots have moved
        ir.SetInsertPoint(failed);
        ir.CreateRet(code);
        ir.SetInsertPoint(insert);
        llvm::Value* slots = dict_field(emitter, ir.getPtrTy(), dict, offsetof(Dict, slots));
        llvm::Value* entries = dict_field(emitter, ir.getPtrTy(), dict, offsetof(Dict, entries));
        llvm::Value* next_count = ir.CreateAdd(count, emitter.i64(1));
        ir.CreateStore(ir.CreateOr(ir.CreateShl(hash, 32), next_count), emitter.element_address(slots, position, 8));
        emitter.store_field(next_count, dict, offsetof(Dict, num_entries));
        emitter.store(emitter.canonical_key(key), emitter.element_address(entries, count, entry_bytes(emitter, type)));
        ir.CreateStore(count, index_out);
        ir.CreateStore(ir.getInt8(1), is_new_out);
        ir.CreateRet(emitter.i32(0));
      });
}

}  // namespace

std::int64_t entry_bytes(Emitter& emitter, const EntryType& type) {
  return emitter.flat(entry_struct(emitter, type)).size_bytes;
}

std::int64_t entry_value_offset(Emitter& emitter, const EntryType& type) {
  const FlatType& value = emitter.flat(type.value);
  const std::int64_t key_bytes = emitter.flat(type.key).size_bytes;
  return (key_bytes + value.align_bytes - 1) / value.align_bytes * value.align_bytes;
}

llvm::Value* entry_address(Emitter& emitter, const EntryType& type, llvm::Value* dict, llvm::Value* index) {
  llvm::Value* entries = dict_field(emitter, emitter.ir.getPtrTy(), dict, offsetof(Dict, entries));
  return emitter.element_address(entries, index, entry_bytes(emitter, type));
}

llvm::Value* entry_value_address(Emitter& emitter, const EntryType& type, llvm::Value* entry) {
  return emitter.offset(entry, entry_value_offset(emitter, type));
}

llvm::Value* find_entry(Emitter& emitter, const EntryType& type, llvm::Value* dict, const Value& key) {
  llvm::Function* function = emitter.module.shared_function(
      "find", entry_struct(emitter, type), 0, key_parameters(emitter, type), emitter.ir.getPtrTy(),
      [&](llvm::Function* made) { write_find(emitter.module, made, type); });
  return emitter.call(function, key_arguments(emitter, dict, key));
}

llvm::Value* find_or_insert(Emitter& emitter, const EntryType& type, llvm::Value* dict, const Value& key,
                            const Value& absent, ir::Span span) {
  auto& ir = emitter.ir;
  llvm::SmallVector<llvm::Type*, 8> parameters = key_parameters(emitter, type);
  parameters.append({ir.getPtrTy(), ir.getPtrTy()});
  llvm::Function* function = emitter.module.shared_function(
      "find_or_insert", entry_struct(emitter, type), 0, parameters, ir.getInt32Ty(),
      [&](llvm::Function* made) { write_find_or_insert(emitter.module, made, type); });
  llvm::AllocaInst* index_slot = emitter.frame(ir.getInt64Ty(), "entry_index");
  llvm::AllocaInst* is_new_slot = emitter.frame(ir.getInt8Ty(), "is_new");
  llvm::SmallVector<llvm::Value*, 8> arguments = key_arguments(emitter, dict, key);
  arguments.append({index_slot, is_new_slot});
  emitter.check(emitter.call(function, arguments), span);
  llvm::Value* index = ir.CreateLoad(ir.getInt64Ty(), index_slot);
  emitter.when(ir.CreateIsNotNull(ir.CreateLoad(ir.getInt8Ty(), is_new_slot)), [&] {
    llvm::Value* entry = entry_address(emitter, type, dict, index);
    emitter.store(absent, entry_value_address(emitter, type, entry));
  });
  return index;
}

Value entries_of(Emitter& emitter, ir::Type entries, llvm::Value* dict) {
  return {entries,
          {dict_field(emitter, emitter.ir.getPtrTy(), dict, offsetof(Dict, entries)),
           dict_field(emitter, emitter.ir.getInt64Ty(), dict, offsetof(Dict, num_entries))}};
}

llvm::Function* insert_function(ModuleEmitter& module, const EntryType& type) {
  llvm::Type* pointer = llvm::PointerType::get(module.context(), 0);
  return module.shared_function(
      "insert", module.struct_type({type.key, type.value}), 0, {pointer, pointer, pointer, pointer}, nullptr,
      [&](llvm::Function* made) {
        Emitter emitter(module, made);
        llvm::Value* dict = made->getArg(1);
        const Value key = emitter.load(type.key, made->getArg(2));
        llvm::Value* before = emitter.load_field(emitter.ir.getInt64Ty(), dict, offsetof(Dict, num_entries));
        llvm::Value* index = find_or_insert(emitter, type, dict, key, emitter.load(type.value, made->getArg(3)), {});
        emitter.fail_if(emitter.ir.CreateICmpNE(index, before), ErrorCode::kDeserializationError, {});
        emitter.finish();
      });
}

}  // namespace weld::codegen
