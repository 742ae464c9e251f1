#include "codegen/dictionaries.h"

#include <llvm/IR/Intrinsics.h>

#include <algorithm>
#include <cstddef>

#include "codegen/dense_dictionaries.h"
#include "runtime/dict.h"

namespace weld::codegen {
namespace {

using runtime::Dict;

llvm::Value* dict_field(Emitter& emitter, llvm::Type* type, llvm::Value* dict, std::size_t offset_bytes) {
  return emitter.load_field(type, dict, offset_bytes);
}

llvm::Value* first_slot(Emitter& emitter, llvm::Value* dict, llvm::Value* hash) {
  llvm::Type* i64 = emitter.ir.getInt64Ty();
  llvm::Value* place =
      emitter.ir.CreateLShr(hash, dict_field(emitter, i64, dict, offsetof(Dict, slot_shift)));
  return emitter.ir.CreateAnd(place, dict_field(emitter, i64, dict, offsetof(Dict, slot_mask)));
}

// runtime/dict.h: slot_hash, of a hash or of lanes of them.
llvm::Value* slot_hash(Emitter& emitter, llvm::Value* hash) {
  llvm::Value* upper = emitter.ir.CreateLShr(hash, 32);
  return emitter.ir.CreateOr(upper, llvm::ConstantInt::get(upper->getType(), 1));
}

// Of the entry that a slot points to; -1 if it is empty.
llvm::Value* entry_index(Emitter& emitter, llvm::Value* slot) {
  return emitter.ir.CreateSub(emitter.ir.CreateAnd(slot, emitter.i64(0xffffffff)), emitter.i64(1));
}

void prefetch(Emitter& emitter, llvm::Value* address) {
  emitter.ir.CreateIntrinsic(llvm::Intrinsic::prefetch, {emitter.ir.getPtrTy()},
                             {address, emitter.i32(0), emitter.i32(3), emitter.i32(1)});
}

// Walks the slots from where the key belongs. `found(entry, index)` and `absent(position)` end in a
// terminator. No hash is 0, so that an empty slot looks like one of another key at first.
void probe(Emitter& emitter, const EntryType& type, llvm::Value* dict, const Value& key, llvm::Value* hash,
           const std::function<void(llvm::Value* entry, llvm::Value* index)>& found,
           const std::function<void(llvm::Value* position)>& absent) {
  auto& ir = emitter.ir;
  llvm::Type* i64 = ir.getInt64Ty();
  llvm::Value* mask = dict_field(emitter, i64, dict, offsetof(Dict, slot_mask));
  llvm::Value* slots = dict_field(emitter, ir.getPtrTy(), dict, offsetof(Dict, slots));
  llvm::Value* entries = dict_field(emitter, ir.getPtrTy(), dict, offsetof(Dict, entries));
  llvm::Value* start = first_slot(emitter, dict, hash);

  llvm::BasicBlock* before = ir.GetInsertBlock();
  llvm::BasicBlock* header = emitter.block("probe");
  llvm::BasicBlock* same_hash = emitter.block("same_hash");
  llvm::BasicBlock* same_key = emitter.block("same_key");
  llvm::BasicBlock* other_key = emitter.block("other_key");
  llvm::BasicBlock* next = emitter.block("next");
  llvm::BasicBlock* empty = emitter.block("empty");
  ir.CreateBr(header);
  ir.SetInsertPoint(header);
  llvm::PHINode* position = ir.CreatePHI(i64, 2, "position");
  position->addIncoming(start, before);
  llvm::Value* slot = ir.CreateLoad(i64, emitter.element_address(slots, position, 8));
  ir.CreateCondBr(ir.CreateICmpEQ(ir.CreateLShr(slot, 32), hash), same_hash, other_key);

  ir.SetInsertPoint(other_key);
  ir.CreateCondBr(ir.CreateIsNull(slot), empty, next);

  ir.SetInsertPoint(same_hash);
  llvm::Value* index = entry_index(emitter, slot);
  llvm::Value* entry = emitter.element_address(entries, index, entry_bytes(emitter, type));
  const Value stored = emitter.load(type.key, entry);
  ir.CreateCondBr(emitter.keys_equal(stored, key), same_key, next);

  ir.SetInsertPoint(same_key);
  found(entry, index);

  ir.SetInsertPoint(next);
  position->addIncoming(ir.CreateAnd(ir.CreateAdd(position, emitter.i64(1)), mask), next);
  ir.CreateBr(header);

  ir.SetInsertPoint(empty);
  absent(position);
}

// Parameters of a function of (worker, dict, hash, key leaves…, more…), and the key back from them.
constexpr unsigned kHashParameter = 2;

llvm::SmallVector<llvm::Type*, 8> key_parameters(Emitter& emitter, const EntryType& type) {
  llvm::SmallVector<llvm::Type*, 8> parameters = {emitter.ir.getPtrTy(), emitter.ir.getPtrTy(),
                                                  emitter.ir.getInt64Ty()};
  for (const Leaf& leaf : emitter.flat(type.key).leaves) parameters.push_back(leaf.type);
  return parameters;
}

llvm::SmallVector<llvm::Value*, 8> key_arguments(Emitter& emitter, llvm::Value* dict, llvm::Value* hash,
                                                 const Value& key) {
  llvm::SmallVector<llvm::Value*, 8> arguments = {emitter.worker, dict, hash};
  arguments.append(key.leaves.begin(), key.leaves.end());
  return arguments;
}

Value key_parameter(Emitter& emitter, const EntryType& type) {
  Value key{type.key, {}};
  for (unsigned i = 0; i < emitter.flat(type.key).leaves.size(); ++i) {
    key.leaves.push_back(emitter.function->getArg(i + kHashParameter + 1));
  }
  return key;
}

// ptr find(worker, dict, hash, key…).
void write_find(ModuleEmitter& module, llvm::Function* function, const EntryType& type) {
  Emitter emitter(module, function);
  probe(
      emitter, type, function->getArg(1), key_parameter(emitter, type), function->getArg(kHashParameter),
      [&](llvm::Value* entry, llvm::Value*) { emitter.ir.CreateRet(entry); },
      [&](llvm::Value*) { emitter.ir.CreateRet(emitter.null()); });
}

// i64 insert_new(worker, dict, hash, key…, position): the index of a new entry, or minus the ErrorCode. The
// slot at `position` is the one that is empty.
void write_insert_new(ModuleEmitter& module, llvm::Function* function, const EntryType& type,
                      std::optional<ir::MergeOp> identity) {
  Emitter emitter(module, function);
  const Value initial = identity ? emitter.identity(*identity, type.value) : emitter.zero(type.value);
  auto& ir = emitter.ir;
  llvm::Type* i64 = ir.getInt64Ty();
  llvm::Value* dict = function->getArg(1);
  llvm::Value* hash = function->getArg(kHashParameter);
  llvm::Value* position = function->getArg(static_cast<unsigned>(function->arg_size()) - 1);
  llvm::AllocaInst* place = emitter.frame(i64, "place");
  ir.CreateStore(position, place);
  llvm::Value* count = dict_field(emitter, i64, dict, offsetof(Dict, num_entries));
  llvm::Value* capacity = dict_field(emitter, i64, dict, offsetof(Dict, entry_capacity));
  emitter.when(ir.CreateICmpEQ(count, capacity), [&] {
    llvm::Value* code = emitter.call("weld_rt_dict_grow", {emitter.worker, dict});
    llvm::BasicBlock* failed = emitter.block("failed");
    llvm::BasicBlock* search = emitter.block("search");
    llvm::BasicBlock* next = emitter.block("next");
    llvm::BasicBlock* found = emitter.block("found");
    llvm::BasicBlock* grown = emitter.block("grown");
    ir.CreateCondBr(ir.CreateIsNull(code), grown, failed);
    ir.SetInsertPoint(failed);
    ir.CreateRet(ir.CreateNeg(ir.CreateZExt(code, i64)));
    ir.SetInsertPoint(grown);
    if (key_shape(emitter, type) != 0) {
      emitter.when(is_dense(emitter, dict), [&] {
        ir.CreateRet(find_or_insert_dense(emitter, type, dict, key_parameter(emitter, type), identity));
        ir.SetInsertPoint(emitter.block("unreachable"));
      });
    }
    // The slots have moved: the first empty one from where the key belongs.
    llvm::Value* mask = dict_field(emitter, i64, dict, offsetof(Dict, slot_mask));
    llvm::Value* slots = dict_field(emitter, ir.getPtrTy(), dict, offsetof(Dict, slots));
    ir.CreateStore(first_slot(emitter, dict, hash), place);
    ir.CreateBr(search);
    ir.SetInsertPoint(search);
    llvm::Value* now = ir.CreateLoad(i64, place);
    llvm::Value* slot = ir.CreateLoad(i64, emitter.element_address(slots, now, 8));
    ir.CreateCondBr(ir.CreateIsNull(slot), found, next);
    ir.SetInsertPoint(next);
    ir.CreateStore(ir.CreateAnd(ir.CreateAdd(now, emitter.i64(1)), mask), place);
    ir.CreateBr(search);
    ir.SetInsertPoint(found);
  });
  count = dict_field(emitter, i64, dict, offsetof(Dict, num_entries));  // growing may have emptied the table
  llvm::Value* slots = dict_field(emitter, ir.getPtrTy(), dict, offsetof(Dict, slots));
  llvm::Value* entries = dict_field(emitter, ir.getPtrTy(), dict, offsetof(Dict, entries));
  llvm::Value* next_count = ir.CreateAdd(count, emitter.i64(1));
  ir.CreateStore(ir.CreateOr(ir.CreateShl(hash, 32), next_count),
                 emitter.element_address(slots, ir.CreateLoad(i64, place), 8));
  emitter.store_field(next_count, dict, offsetof(Dict, num_entries));
  llvm::Value* entry = emitter.element_address(entries, count, entry_bytes(emitter, type));
  emitter.store(emitter.canonical_key(key_parameter(emitter, type)), entry);
  emitter.store(initial, entry_value_address(emitter, type, entry));
  ir.CreateRet(count);
}

// i64 find_or_insert(worker, dict, hash, key…): the index of the entry, or minus the ErrorCode. Only the
// probe is inlined.
void write_find_or_insert(ModuleEmitter& module, llvm::Function* function, const EntryType& type,
                          llvm::Function* insert_new) {
  Emitter emitter(module, function);
  const Value key = key_parameter(emitter, type);
  llvm::Value* hash = function->getArg(kHashParameter);
  probe(
      emitter, type, function->getArg(1), key, hash,
      [&](llvm::Value*, llvm::Value* index) { emitter.ir.CreateRet(index); },
      [&](llvm::Value* position) {
        llvm::SmallVector<llvm::Value*, 8> arguments = key_arguments(emitter, function->getArg(1), hash, key);
        arguments.push_back(position);
        emitter.ir.CreateRet(emitter.call(insert_new, arguments));
      });
}

}  // namespace

ir::Type entry_struct(Emitter& emitter, const EntryType& type) {
  return emitter.module.struct_type({type.key, type.value});
}

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

llvm::Value* hash_key(Emitter& emitter, llvm::Value* dict, const Value& key) {
  llvm::Value* seed = dict_field(emitter, emitter.ir.getInt64Ty(), dict, offsetof(Dict, seed));
  return slot_hash(emitter, emitter.hash(key.type, key.leaves, seed));
}

bool has_scalar_leaves(Emitter& emitter, ir::Type key) {
  const auto& leaves = emitter.flat(key).leaves;
  return !leaves.empty() &&
         std::ranges::all_of(leaves, [](const Leaf& leaf) { return leaf.kind == LeafKind::kScalar; });
}

LaneHashes::LaneHashes(Emitter& emitter, ir::Type key, llvm::Value* dict, const Value& lanes,
                       const SpilledLanes& keys, llvm::Value* mask) {
  auto& ir = emitter.ir;
  const std::uint32_t count = *ir::num_lanes(lanes.type);
  auto* type = llvm::FixedVectorType::get(ir.getInt32Ty(), count);
  hashes_ = emitter.frame(type, "hashes");
  if (has_scalar_leaves(emitter, key)) {
    llvm::Value* seed = dict_field(emitter, ir.getInt64Ty(), dict, offsetof(Dict, seed));
    llvm::Value* hashes = slot_hash(emitter, emitter.hash(key, lanes.leaves, seed));
    ir.CreateStore(ir.CreateTrunc(hashes, type), hashes_);
    return;
  }
  for_each_lane(emitter, mask, count, [&](llvm::Value* index) {
    llvm::Value* hash = hash_key(emitter, dict, keys.lane(emitter, index));
    ir.CreateStore(ir.CreateTrunc(hash, ir.getInt32Ty()), emitter.element_address(hashes_, index, 4));
  });
}

llvm::Value* LaneHashes::lane(Emitter& emitter, llvm::Value* index) const {
  auto& ir = emitter.ir;
  return ir.CreateZExt(ir.CreateLoad(ir.getInt32Ty(), emitter.element_address(hashes_, index, 4)),
                       ir.getInt64Ty());
}

llvm::Value* LaneHashes::all(Emitter& emitter) const {
  return emitter.ir.CreateLoad(hashes_->getAllocatedType(), hashes_);
}

namespace {

// As Emitter::keys_equal, of lanes of scalars: NaN is itself.
llvm::Value* equal_lanes(Emitter& emitter, llvm::Value* stored, llvm::Value* key) {
  auto& ir = emitter.ir;
  if (!stored->getType()->isFPOrFPVectorTy()) return ir.CreateICmpEQ(stored, key);
  llvm::Value* nans = ir.CreateAnd(ir.CreateFCmpUNO(stored, stored), ir.CreateFCmpUNO(key, key));
  return ir.CreateOr(ir.CreateFCmpOEQ(stored, key), nans);
}

}  // namespace

FirstSlots read_first_slots(Emitter& emitter, const EntryType& type, llvm::Value* dict, const Value& keys,
                            llvm::Value* hashes, llvm::Value* mask) {
  auto& ir = emitter.ir;
  llvm::Type* i64 = ir.getInt64Ty();
  const std::uint32_t count = *ir::num_lanes(keys.type);
  const auto splat = [&](std::size_t offset) {
    return ir.CreateVectorSplat(count, dict_field(emitter, i64, dict, offset));
  };
  llvm::Value* hash = ir.CreateZExt(hashes, llvm::FixedVectorType::get(i64, count));
  llvm::Value* place = ir.CreateLShr(hash, splat(offsetof(Dict, slot_shift)));
  place = ir.CreateAnd(place, splat(offsetof(Dict, slot_mask)));
  const FlatType& slot_type = emitter.flat(ir::Type::scalar(ir::ScalarKind::kU64));
  llvm::Value* slots = dict_field(emitter, ir.getPtrTy(), dict, offsetof(Dict, slots));
  llvm::Value* slot = gather_lanes(emitter, slot_type, slot_type.leaves.front(), slots, place, mask);
  const auto constant = [&](std::uint64_t value) { return llvm::ConstantInt::get(slot->getType(), value); };

  FirstSlots first;
  first.is_occupied = ir.CreateICmpNE(slot, constant(0));
  first.found = ir.CreateICmpEQ(ir.CreateLShr(slot, 32), hash);
  if (mask) first.found = ir.CreateAnd(mask, first.found);
  first.index = ir.CreateSub(ir.CreateAnd(slot, constant(0xffffffff)), constant(1));
  llvm::Value* entries = dict_field(emitter, ir.getPtrTy(), dict, offsetof(Dict, entries));
  const FlatType& entry = emitter.flat(entry_struct(emitter, type));
  llvm::Value* same = first.found;
  for (std::size_t i = 0; i < keys.leaves.size(); ++i) {
    llvm::Value* stored = gather_lanes(emitter, entry, entry.leaves[i], entries, first.index, first.found);
    same = ir.CreateAnd(same, equal_lanes(emitter, stored, keys.leaves[i]));
  }
  first.found = same;
  return first;
}

llvm::Value* is_large(Emitter& emitter, llvm::Value* dict) {
  llvm::Value* mask = dict_field(emitter, emitter.ir.getInt64Ty(), dict, offsetof(Dict, slot_mask));
  return emitter.ir.CreateICmpUGE(mask, emitter.i64(runtime::kLargeSlots));
}

void prefetch_slot(Emitter& emitter, llvm::Value* dict, llvm::Value* hash) {
  llvm::Value* slots = dict_field(emitter, emitter.ir.getPtrTy(), dict, offsetof(Dict, slots));
  prefetch(emitter, emitter.element_address(slots, first_slot(emitter, dict, hash), 8));
}

namespace {

// The entry that the slot points to where probing for a hash starts, if it has that hash.
llvm::Value* first_entry(Emitter& emitter, const EntryType& type, llvm::Value* dict, llvm::Value* hash,
                         llvm::Value* otherwise) {
  auto& ir = emitter.ir;
  llvm::Value* slots = dict_field(emitter, ir.getPtrTy(), dict, offsetof(Dict, slots));
  llvm::Value* place = emitter.element_address(slots, first_slot(emitter, dict, hash), 8);
  llvm::Value* slot = ir.CreateLoad(ir.getInt64Ty(), place);
  llvm::Value* entries = dict_field(emitter, ir.getPtrTy(), dict, offsetof(Dict, entries));
  llvm::Value* entry =
      emitter.element_address(entries, entry_index(emitter, slot), entry_bytes(emitter, type));
  return ir.CreateSelect(ir.CreateICmpEQ(ir.CreateLShr(slot, 32), hash), entry,
                         otherwise ? otherwise : place);
}

}  // namespace

void prefetch_entry(Emitter& emitter, const EntryType& type, llvm::Value* dict, llvm::Value* hash) {
  // Of another key, or of none, there is no need to look at the entry.
  prefetch(emitter, first_entry(emitter, type, dict, hash, nullptr));
}

bool has_vectors(Emitter& emitter, ir::Type key) {
  return std::ranges::any_of(emitter.flat(key).leaves,
                             [](const Leaf& leaf) { return leaf.kind == LeafKind::kPointer; });
}

void prefetch_vectors(Emitter& emitter, const EntryType& type, llvm::Value* entry) {
  for (const Leaf& leaf : emitter.flat(type.key).leaves) {
    if (leaf.kind == LeafKind::kPointer)
      prefetch(emitter, emitter.load_leaf(leaf, emitter.offset(entry, leaf.offset)));
  }
}

void prefetch_stored_vectors(Emitter& emitter, const EntryType& type, llvm::Value* dict, llvm::Value* hash,
                             llvm::Value* entry) {
  prefetch_vectors(emitter, type, first_entry(emitter, type, dict, hash, entry));
}

llvm::Value* find_entry(Emitter& emitter, const EntryType& type, llvm::Value* dict, const Value& key,
                        llvm::Value* hash) {
  const auto find_hashed = [&] {
    if (!hash) hash = hash_key(emitter, dict, key);
    llvm::Function* function = emitter.module.shared_function(
        "find", entry_struct(emitter, type), 0, key_parameters(emitter, type), emitter.ir.getPtrTy(),
        [&](llvm::Function* made) { write_find(emitter.module, made, type); });
    return Value{{}, {emitter.call(function, key_arguments(emitter, dict, hash, key))}};
  };
  if (key_shape(emitter, type) == 0) return find_hashed().scalar();
  return emitter
      .branch(
          is_dense(emitter, dict),
          [&] {
            llvm::Value* slot = dense_slot(emitter, dict, dense_place(emitter, type.key, dict, key.leaves));
            llvm::Value* index = emitter.ir.CreateSub(slot, emitter.i64(1));
            return Value{{},
                         {emitter.ir.CreateSelect(emitter.ir.CreateIsNull(slot), emitter.null(),
                                                  entry_address(emitter, type, dict, index))}};
          },
          find_hashed)
      .scalar();
}

llvm::Value* find_or_insert_hashed(Emitter& emitter, const EntryType& type, llvm::Value* dict,
                                   const Value& key, std::optional<ir::MergeOp> identity, llvm::Value* hash) {
  auto& ir = emitter.ir;
  if (!hash) hash = hash_key(emitter, dict, key);
  const ir::Type entry = entry_struct(emitter, type);
  const int variant = identity ? static_cast<int>(*identity) + 1 : 0;
  llvm::SmallVector<llvm::Type*, 8> parameters = key_parameters(emitter, type);
  llvm::Function* function = emitter.module.shared_function(
      "find_or_insert", entry, variant, parameters, ir.getInt64Ty(), [&](llvm::Function* made) {
        made->addFnAttr(llvm::Attribute::AlwaysInline);
        parameters.push_back(ir.getInt64Ty());
        llvm::Function* insert_new = emitter.module.add_function("insert_new", parameters, ir.getInt64Ty());
        insert_new->addFnAttr(llvm::Attribute::NoInline);
        write_insert_new(emitter.module, insert_new, type, identity);
        write_find_or_insert(emitter.module, made, type, insert_new);
      });
  return emitter.call(function, key_arguments(emitter, dict, hash, key));
}

llvm::Value* find_or_insert(Emitter& emitter, const EntryType& type, llvm::Value* dict, const Value& key,
                            std::optional<ir::MergeOp> identity, ir::Span span, llvm::Value* hash) {
  const auto hashed = [&] {
    return Value{{}, {find_or_insert_hashed(emitter, type, dict, key, identity, hash)}};
  };
  llvm::Value* index =
      key_shape(emitter, type) == 0
          ? hashed().scalar()
          : emitter
                .branch(
                    is_dense(emitter, dict),
                    [&] { return Value{{}, {find_or_insert_dense(emitter, type, dict, key, identity)}}; },
                    hashed)
                .scalar();
  check_index(emitter, index, span);
  return index;
}

void check_index(Emitter& emitter, llvm::Value* index, ir::Span span) {
  auto& ir = emitter.ir;
  llvm::Value* code = ir.CreateTrunc(
      ir.CreateNeg(ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, index, emitter.i64(0))), ir.getInt32Ty());
  emitter.check(code, span);
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
        llvm::Value* index = find_or_insert(emitter, type, dict, key, std::nullopt, {});
        emitter.fail_if(emitter.ir.CreateICmpNE(index, before), ErrorCode::kDeserializationError, {});
        llvm::Value* entry = entry_address(emitter, type, dict, index);
        emitter.store(emitter.load(type.value, made->getArg(3)), entry_value_address(emitter, type, entry));
        emitter.finish();
      });
}

}  // namespace weld::codegen
