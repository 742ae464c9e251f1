#include "codegen/dense_dictionaries.h"

#include <llvm/IR/Intrinsics.h>

#include <algorithm>
#include <cstddef>

#include "codegen/lane_memory.h"
#include "runtime/dense_table.h"

namespace weld::codegen {
namespace {

using runtime::DenseField;
using runtime::Dict;

// The scalars of a key that is made of integers; false for others.
bool collect_fields(ir::Type type, std::vector<ir::ScalarKind>& kinds) {
  if (const auto* scalar = type.as<ir::ScalarType>()) {
    if (ir::is_float(scalar->kind)) return false;
    kinds.push_back(scalar->kind);
    return true;
  }
  const auto* structure = type.as<ir::StructType>();
  return structure && std::ranges::all_of(structure->members,
                                          [&](ir::Type member) { return collect_fields(member, kinds); });
}

llvm::Value* splat_like(Emitter& emitter, llvm::Value* value, llvm::Type* type) {
  const auto* lanes = llvm::dyn_cast<llvm::FixedVectorType>(type);
  return lanes ? emitter.ir.CreateVectorSplat(lanes->getNumElements(), value) : value;
}

llvm::Value* field_of(Emitter& emitter, llvm::Value* dict, std::size_t field, std::size_t offset_bytes) {
  return emitter.load_field(emitter.ir.getInt64Ty(), dict,
                            offsetof(Dict, fields) + field * sizeof(DenseField) + offset_bytes);
}

llvm::Value* table_of(Emitter& emitter, llvm::Value* dict) {
  return emitter.load_field(emitter.ir.getPtrTy(), dict, offsetof(Dict, slots));
}

// i64 new_dense(worker, dict, key…): an entry for a key that has none, or minus the ErrorCode. Making room
// may change all of the table, so that everything is looked at again then.
void write_new_dense(ModuleEmitter& module, llvm::Function* function, const EntryType& type,
                     std::optional<ir::MergeOp> identity) {
  constexpr unsigned kFirstLeaf = 2;
  Emitter emitter(module, function);
  auto& ir = emitter.ir;
  llvm::Type* i64 = ir.getInt64Ty();
  llvm::Value* dict = function->getArg(1);
  Value key{type.key, {}};
  for (unsigned i = kFirstLeaf; i < function->arg_size(); ++i) key.leaves.push_back(function->getArg(i));
  llvm::AllocaInst* stored_key = emitter.frame(type.key);
  emitter.store(key, stored_key);

  llvm::BasicBlock* look = emitter.block("look");
  llvm::BasicBlock* failed = emitter.block("failed");
  llvm::BasicBlock* hashed = emitter.block("hashed");
  llvm::BasicBlock* dense = emitter.block("dense");
  llvm::BasicBlock* outside = emitter.block("outside");
  llvm::BasicBlock* inside = emitter.block("inside");
  llvm::BasicBlock* found = emitter.block("found");
  llvm::BasicBlock* absent = emitter.block("absent");
  llvm::BasicBlock* full = emitter.block("full");
  llvm::BasicBlock* insert = emitter.block("insert");
  const auto look_again = [&](llvm::Value* code, llvm::PHINode* phi) {
    phi->addIncoming(code, ir.GetInsertBlock());
    ir.CreateCondBr(ir.CreateIsNull(code), look, failed);
  };
  ir.CreateBr(look);
  ir.SetInsertPoint(failed);
  llvm::PHINode* code = ir.CreatePHI(ir.getInt32Ty(), 2);
  ir.CreateRet(ir.CreateNeg(ir.CreateZExt(code, i64)));

  ir.SetInsertPoint(look);
  ir.CreateCondBr(is_dense(emitter, dict), dense, hashed);

  ir.SetInsertPoint(hashed);
  ir.CreateRet(find_or_insert_hashed(emitter, type, dict, key, identity, nullptr));

  ir.SetInsertPoint(dense);
  const DensePlace place = dense_place(emitter, type.key, dict, key.leaves);
  ir.CreateCondBr(place.inside, inside, outside);

  ir.SetInsertPoint(outside);
  look_again(emitter.call("weld_rt_dict_reach", {emitter.worker, dict, stored_key}), code);

  ir.SetInsertPoint(inside);
  llvm::Value* address = emitter.element_address(table_of(emitter, dict), place.place, 4);
  llvm::Value* slot = ir.CreateZExt(ir.CreateLoad(ir.getInt32Ty(), address), i64);
  ir.CreateCondBr(ir.CreateIsNull(slot), absent, found);

  ir.SetInsertPoint(found);
  ir.CreateRet(ir.CreateSub(slot, emitter.i64(1)));

  ir.SetInsertPoint(absent);
  llvm::Value* count = emitter.load_field(i64, dict, offsetof(Dict, num_entries));
  llvm::Value* capacity = emitter.load_field(i64, dict, offsetof(Dict, entry_capacity));
  ir.CreateCondBr(ir.CreateICmpEQ(count, capacity), full, insert);

  ir.SetInsertPoint(full);
  look_again(emitter.call("weld_rt_dict_grow", {emitter.worker, dict}), code);

  ir.SetInsertPoint(insert);
  llvm::Value* next_count = ir.CreateAdd(count, emitter.i64(1));
  ir.CreateStore(ir.CreateTrunc(next_count, ir.getInt32Ty()), address);
  emitter.store_field(next_count, dict, offsetof(Dict, num_entries));
  llvm::Value* entry = entry_address(emitter, type, dict, count);
  emitter.store(key, entry);
  emitter.store(identity ? emitter.identity(*identity, type.value) : emitter.zero(type.value),
                entry_value_address(emitter, type, entry));
  ir.CreateRet(count);
}

}  // namespace

std::uint64_t key_shape(Emitter& emitter, const EntryType& type) {
  std::vector<ir::ScalarKind> kinds;
  if (!collect_fields(type.key, kinds) || kinds.empty() || std::ssize(kinds) > runtime::kMaxDenseFields)
    return 0;
  const auto& leaves = emitter.flat(type.key).leaves;
  std::uint64_t shape = 0;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    const auto offset = static_cast<std::uint64_t>(leaves[i].offset);
    if (offset > runtime::kMaxKeyFieldOffset) return 0;
    shape |= runtime::key_field(offset, static_cast<std::uint64_t>(ir::size_bytes(kinds[i])),
                                ir::is_signed(kinds[i]))
             << (i * runtime::kKeyFieldBits);
  }
  return shape;
}

void choose_table(Emitter& emitter, const EntryType& type, llvm::Value* dict, ir::Annotations annotations,
                  ir::Span span) {
  std::uint64_t shape = key_shape(emitter, type);
  if (shape == 0) return;
  const auto says = [&](std::string_view word) { return ir::annotated_word(annotations, "impl", word); };
  if (says("local") || says("global") || says("partitioned")) return;
  const bool says_nothing = !ir::find_annotation(annotations, "impl");
  if (says("dense") || (says_nothing && emitter.module.options().dense_dictmergers))
    shape |= runtime::kForcedDense;
  emitter.check(emitter.call("weld_rt_dict_shape",
                             {emitter.worker, dict, emitter.i64(static_cast<std::int64_t>(shape))}),
                span);
}

void choose_table_like(Emitter& emitter, const EntryType& type, llvm::Value* dict, llvm::Value* outer,
                       ir::Span span) {
  if (key_shape(emitter, type) == 0) return;
  llvm::Value* shape = emitter.load_field(emitter.ir.getInt64Ty(), outer, offsetof(Dict, key_shape));
  emitter.check(emitter.call("weld_rt_dict_shape", {emitter.worker, dict, shape}), span);
}

llvm::Value* is_dense(Emitter& emitter, llvm::Value* dict) {
  return emitter.ir.CreateIsNotNull(
      emitter.load_field(emitter.ir.getInt64Ty(), dict, offsetof(Dict, num_places)));
}

DensePlace dense_place(Emitter& emitter, ir::Type key, llvm::Value* dict, const LeafValues& leaves) {
  auto& ir = emitter.ir;
  std::vector<ir::ScalarKind> kinds;
  collect_fields(key, kinds);
  DensePlace found{nullptr, nullptr};
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    llvm::Type* wide = leaves[i]->getType()->getWithNewType(ir.getInt64Ty());
    const auto field = [&](std::size_t offset) {
      return splat_like(emitter, field_of(emitter, dict, i, offset), wide);
    };
    llvm::Value* value =
        ir::is_signed(kinds[i]) ? ir.CreateSExt(leaves[i], wide) : ir.CreateZExt(leaves[i], wide);
    llvm::Value* distance = ir.CreateSub(value, field(offsetof(DenseField, base)));
    llvm::Value* inside = ir.CreateICmpULT(distance, field(offsetof(DenseField, span)));
    if (kinds.size() > 1) distance = ir.CreateMul(distance, field(offsetof(DenseField, stride)));
    found.inside = found.inside ? ir.CreateAnd(found.inside, inside) : inside;
    found.place = found.place ? ir.CreateAdd(found.place, distance) : distance;
  }
  found.place =
      ir.CreateSelect(found.inside, found.place, llvm::Constant::getNullValue(found.place->getType()));
  return found;
}

llvm::Value* dense_slot(Emitter& emitter, llvm::Value* dict, const DensePlace& place) {
  auto& ir = emitter.ir;
  llvm::Value* address = emitter.element_address(table_of(emitter, dict), place.place, 4);
  llvm::Value* slot = ir.CreateZExt(ir.CreateLoad(ir.getInt32Ty(), address), ir.getInt64Ty());
  return ir.CreateSelect(place.inside, slot, emitter.i64(0));
}

void prefetch_dense(Emitter& emitter, const EntryType& type, llvm::Value* dict, const LeafValues& lanes,
                    llvm::Value* mask, std::uint32_t num_lanes) {
  auto& ir = emitter.ir;
  const auto prefetch = [&](llvm::Value* address) {
    ir.CreateIntrinsic(llvm::Intrinsic::prefetch, {ir.getPtrTy()},
                       {address, emitter.i32(0), emitter.i32(3), emitter.i32(1)});
  };
  llvm::Value* all = dense_place(emitter, type.key, dict, lanes).place;
  llvm::AllocaInst* places = emitter.frame(all->getType(), "places");
  ir.CreateStore(all, places);
  const auto slot_address = [&](llvm::Value* lane) {
    llvm::Value* place = ir.CreateLoad(ir.getInt64Ty(), emitter.element_address(places, lane, 8));
    return emitter.element_address(table_of(emitter, dict), place, 4);
  };
  for_each_lane(emitter, mask, num_lanes, [&](llvm::Value* lane) { prefetch(slot_address(lane)); });
  for_each_lane(emitter, mask, num_lanes, [&](llvm::Value* lane) {
    llvm::Value* slot = ir.CreateZExt(ir.CreateLoad(ir.getInt32Ty(), slot_address(lane)), ir.getInt64Ty());
    // Of no entry, the one before the first: a prefetch may go anywhere.
    prefetch(entry_address(emitter, type, dict, ir.CreateSub(slot, emitter.i64(1))));
  });
}

llvm::Value* find_or_insert_dense(Emitter& emitter, const EntryType& type, llvm::Value* dict,
                                  const Value& key, std::optional<ir::MergeOp> identity) {
  auto& ir = emitter.ir;
  const ir::Type i64 = ir::Type::scalar(ir::ScalarKind::kI64);
  llvm::Value* slot = dense_slot(emitter, dict, dense_place(emitter, type.key, dict, key.leaves));
  return emitter
      .branch(
          ir.CreateIsNotNull(slot), [&] { return Value{i64, {ir.CreateSub(slot, emitter.i64(1))}}; },
          [&] {
            llvm::SmallVector<llvm::Type*, 8> parameters = {ir.getPtrTy(), ir.getPtrTy()};
            llvm::SmallVector<llvm::Value*, 8> arguments = {emitter.worker, dict};
            for (llvm::Value* leaf : key.leaves) {
              parameters.push_back(leaf->getType());
              arguments.push_back(leaf);
            }
            llvm::Function* function = emitter.module.shared_function(
                "new_dense", entry_struct(emitter, type), identity ? static_cast<int>(*identity) + 1 : 0,
                parameters, ir.getInt64Ty(), [&](llvm::Function* made) {
                  made->addFnAttr(llvm::Attribute::NoInline);
                  write_new_dense(emitter.module, made, type, identity);
                });
            return Value{i64, {emitter.call(function, arguments)}};
          })
      .scalar();
}

}  // namespace weld::codegen
