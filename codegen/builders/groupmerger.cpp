#include <cstddef>

#include "codegen/builders/builder.h"
#include "codegen/dictionaries.h"

// A groupmerger's state is a runtime::GroupBuilder: the keys, and the values in the order of their merge with
// the entry that each belongs to. Grouping is the runtime's work (runtime/dict.h), once, in `result`.

namespace weld::codegen {
namespace {

using runtime::GroupBuilder;

struct GroupTypes {
  EntryType entry;  // {K, vec[V]}
  ir::Type value;
};

GroupTypes group_types(Emitter& emitter, ir::Type type) {
  const auto* group = type.as<ir::GroupMergerType>();
  return {{group->key, emitter.module.vector_type(group->value)}, group->value};
}

llvm::Value* entry_of_key(Emitter& emitter, const GroupTypes& types, llvm::Value* group, const Value& key,
                          ir::Span span) {
  static_assert(offsetof(GroupBuilder, keys) == 0);
  return find_or_insert(emitter, types.entry, group, key, std::nullopt, span);
}

// ErrorCode combine(worker, into, from): appends the values of a group builder.
void write_combine(ModuleEmitter& module, llvm::Function* function, ir::Type type) {
  Emitter emitter(module, function);
  auto& ir = emitter.ir;
  const GroupTypes types = group_types(emitter, type);
  llvm::Value* into = function->getArg(1);
  llvm::Value* from = function->getArg(2);
  llvm::Value* count = emitter.load_field(ir.getInt64Ty(), from, offsetof(runtime::Dict, num_entries));
  llvm::Value* id_map = emitter.allocate(ir.CreateMul(count, emitter.i64(sizeof(std::uint32_t))), {});
  emitter.count_loop(count, [&](llvm::Value* index) {
    const Value key = emitter.load(types.entry.key, entry_address(emitter, types.entry, from, index));
    llvm::Value* id = entry_of_key(emitter, types, into, key, {});
    ir.CreateStore(ir.CreateTrunc(id, ir.getInt32Ty()), emitter.element_address(id_map, index, 4));
  });
  emitter.check(emitter.call("weld_rt_group_append", {emitter.worker, into, from, id_map}), {});
  emitter.call("weld_rt_free", {emitter.worker, id_map});
  emitter.finish();
}

class GroupMergerOps final : public BuilderOps {
 public:
  Value create(Emitter& emitter, ir::Type type, const Value* argument, ir::Span span) const override {
    const GroupTypes types = group_types(emitter, type);
    llvm::Value* group =
        emitter.call("weld_rt_group_new", {emitter.worker, emitter.i64(entry_bytes(emitter, types.entry)),
                                           emitter.i64(entry_value_offset(emitter, types.entry)),
                                           emitter.i64(emitter.flat(types.value).size_bytes),
                                           argument ? argument->scalar() : emitter.i64(0)});
    emitter.fail_if(emitter.ir.CreateIsNull(group), ErrorCode::kOutOfMemory, span);
    return {type, {group}};
  }

  Value merge(Emitter& emitter, const Value& builder, const Value& value, ir::Span span) const override {
    auto& ir = emitter.ir;
    llvm::Type* i64 = ir.getInt64Ty();
    const GroupTypes types = group_types(emitter, builder.type);
    llvm::Value* group = builder.scalar();
    llvm::Value* id = entry_of_key(emitter, types, group, emitter.member(value, 0), span);

    llvm::Value* vector =
        entry_value_address(emitter, types.entry, entry_address(emitter, types.entry, group, id));
    llvm::Value* length = emitter.load_field(i64, vector, offsetof(runtime::VecView, length));
    emitter.store_field(ir.CreateAdd(length, emitter.i64(1)), vector, offsetof(runtime::VecView, length));

    llvm::Value* count = emitter.load_field(i64, group, offsetof(GroupBuilder, num_values));
    llvm::Value* capacity = emitter.load_field(i64, group, offsetof(GroupBuilder, value_capacity));
    emitter.when(ir.CreateICmpEQ(count, capacity),
                 [&] { emitter.check(emitter.call("weld_rt_group_grow", {emitter.worker, group}), span); });
    llvm::Value* ids = emitter.load_field(ir.getPtrTy(), group, offsetof(GroupBuilder, ids));
    llvm::Value* values = emitter.load_field(ir.getPtrTy(), group, offsetof(GroupBuilder, values));
    ir.CreateStore(ir.CreateTrunc(id, ir.getInt32Ty()), emitter.element_address(ids, count, 4));
    emitter.store(emitter.member(value, 1),
                  emitter.element_address(values, count, emitter.flat(types.value).size_bytes));
    emitter.store_field(ir.CreateAdd(count, emitter.i64(1)), group, offsetof(GroupBuilder, num_values));
    return builder;
  }

  Value create_partial(Emitter& emitter, const Value& outer, ir::Span span) const override {
    return create(emitter, outer.type, nullptr, span);
  }

  Value combine(Emitter& emitter, const Value& into, const PartialArray& partials,
                ir::Span span) const override {
    return combine_tables(emitter, into, partials, write_combine, span);
  }

  Value result(Emitter& emitter, const Value& builder, ir::Type type, ir::Span span) const override {
    llvm::AllocaInst* slot = emitter.frame(emitter.ir.getPtrTy());
    emitter.check(emitter.call("weld_rt_group_result", {emitter.worker, builder.scalar(), slot}), span);
    return {type, {emitter.ir.CreateLoad(emitter.ir.getPtrTy(), slot)}};
  }
};

const GroupMergerOps ops;

}  // namespace

const BuilderOps& groupmerger_ops = ops;

}  // namespace weld::codegen
