#include <llvm/IR/Intrinsics.h>

#include <cstddef>

#include "codegen/builders/builder.h"
#include "codegen/dictionaries.h"
#include "codegen/lane_memory.h"
#include "ir/typing.h"

// A groupmerger's state is a runtime::GroupBuilder: the keys, and the values in the order of their merge with
// the entry that each belongs to. Grouping is the runtime's work (runtime/group.cpp), once, in `result`. A
// loop that may run twice keeps no values: its second run, whose state is a runtime::GroupPlacer, puts them
// in place.

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
                          ir::Span span, llvm::Value* hash = nullptr) {
  static_assert(offsetof(GroupBuilder, keys) == 0);
  return find_or_insert(emitter, types.entry, group, key, std::nullopt, span, hash);
}

// Of GroupKeys in `captures`, the entries [begin, end) of `from`, as (key, address of the id).
void for_each_key(Emitter& emitter, const GroupTypes& types,
                  const std::function<void(llvm::Value* into, const Value& key, llvm::Value* id)>& look) {
  auto& ir = emitter.ir;
  llvm::Value* captures = emitter.function->getArg(1);
  llvm::Value* begin = emitter.function->getArg(2);
  llvm::Value* into = emitter.load_field(ir.getPtrTy(), captures, offsetof(runtime::GroupKeys, into));
  llvm::Value* from = emitter.load_field(ir.getPtrTy(), captures, offsetof(runtime::GroupKeys, from));
  llvm::Value* id_map = emitter.load_field(ir.getPtrTy(), captures, offsetof(runtime::GroupKeys, id_map));
  emitter.count_loop(ir.CreateSub(emitter.function->getArg(3), begin), [&](llvm::Value* index) {
    llvm::Value* entry = ir.CreateAdd(begin, index);
    look(into, emitter.load(types.entry.key, entry_address(emitter, types.entry, from, entry)),
         emitter.element_address(id_map, entry, sizeof(std::uint32_t)));
  });
}

// LoopBody: the ids of keys that `into` has.
void write_find_keys(ModuleEmitter& module, llvm::Function* function, ir::Type type) {
  Emitter emitter(module, function);
  auto& ir = emitter.ir;
  const GroupTypes types = group_types(emitter, type);
  for_each_key(emitter, types, [&](llvm::Value* into, const Value& key, llvm::Value* place) {
    llvm::Value* entry = find_entry(emitter, types.entry, into, key);
    llvm::Value* entries = entry_address(emitter, types.entry, into, emitter.i64(0));
    llvm::Value* bytes =
        ir.CreateSub(ir.CreatePtrToInt(entry, ir.getInt64Ty()), ir.CreatePtrToInt(entries, ir.getInt64Ty()));
    llvm::Value* id =
        ir.CreateTrunc(ir.CreateUDiv(bytes, emitter.i64(entry_bytes(emitter, types.entry))), ir.getInt32Ty());
    ir.CreateStore(ir.CreateSelect(ir.CreateIsNull(entry), emitter.i32(runtime::kNoGroupId), id), place);
  });
  emitter.finish();
}

// LoopBody: inserts the keys that it does not have.
void write_insert_keys(ModuleEmitter& module, llvm::Function* function, ir::Type type) {
  Emitter emitter(module, function);
  auto& ir = emitter.ir;
  const GroupTypes types = group_types(emitter, type);
  for_each_key(emitter, types, [&](llvm::Value* into, const Value& key, llvm::Value* place) {
    llvm::Value* found = ir.CreateLoad(ir.getInt32Ty(), place);
    emitter.when(ir.CreateICmpEQ(found, emitter.i32(runtime::kNoGroupId)), [&] {
      llvm::Value* id = entry_of_key(emitter, types, into, key, {});
      ir.CreateStore(ir.CreateTrunc(id, ir.getInt32Ty()), place);
    });
  });
  emitter.finish();
}

llvm::Function* keys_function(Emitter& emitter, ir::Type type, const char* name,
                              void (*write)(ModuleEmitter&, llvm::Function*, ir::Type)) {
  llvm::Type* pointer = emitter.ir.getPtrTy();
  llvm::Type* i64 = emitter.ir.getInt64Ty();
  return emitter.module.shared_function(name, type, 0, {pointer, pointer, i64, i64, pointer}, nullptr,
                                        [&](llvm::Function* made) { write(emitter.module, made, type); });
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
    const GroupTypes types = group_types(emitter, builder.type);
    if (emitter.group_pass() == GroupPass::kPlace) {
      place(emitter, types, builder.scalar(), emitter.member(value, 1), span);
    } else {
      llvm::Value* id = entry_of_key(emitter, types, builder.scalar(), emitter.member(value, 0), span);
      log(emitter, types, builder.scalar(), id, [&] { return emitter.member(value, 1); }, span);
    }
    return builder;
  }

  Value merge_lanes(Emitter& emitter, const Value& builder, const Value& lanes, llvm::Value* mask,
                    ir::Span span) const override {
    if (emitter.group_pass() == GroupPass::kPlace)
      return BuilderOps::merge_lanes(emitter, builder, lanes, mask, span);
    const GroupTypes types = group_types(emitter, builder.type);
    const std::uint32_t count = *ir::num_lanes(lanes.type);
    const Value key_lanes = emitter.member(lanes, 0);
    const SpilledLanes keys(emitter, types.entry.key, key_lanes);
    const SpilledLanes values(emitter, types.value, emitter.member(lanes, 1));
    llvm::Value* group = builder.scalar();
    const LaneHashes hashes(emitter, types.entry.key, group, key_lanes, keys, mask);
    emitter.when(is_large(emitter, group), [&] {
      for_each_lane(emitter, mask, count,
                    [&](llvm::Value* lane) { prefetch_slot(emitter, group, hashes.lane(emitter, lane)); });
      for_each_lane(emitter, mask, count, [&](llvm::Value* lane) {
        prefetch_entry(emitter, types.entry, group, hashes.lane(emitter, lane));
      });
    });
    for_each_lane(emitter, mask, count, [&](llvm::Value* lane) {
      const Value key = keys.lane(emitter, lane);
      llvm::Value* id = entry_of_key(emitter, types, group, key, span, hashes.lane(emitter, lane));
      log(emitter, types, group, id, [&] { return values.lane(emitter, lane); }, span);
    });
    return builder;
  }

  Value create_partial(Emitter& emitter, const Value& outer, ir::Span span) const override {
    const Value partial = create(emitter, outer.type, nullptr, span);
    llvm::Value* logged =
        emitter.load_field(emitter.ir.getInt64Ty(), outer.scalar(), offsetof(GroupBuilder, logged_bytes));
    emitter.store_field(logged, partial.scalar(), offsetof(GroupBuilder, logged_bytes));
    return partial;
  }

  Value combine(Emitter& emitter, const Value& into, const PartialArray& partials,
                ir::Span span) const override {
    emitter.check(
        emitter.call("weld_rt_group_combine",
                     {emitter.worker, into.scalar(), partials.first, emitter.i64(partials.stride_bytes),
                      partials.count, keys_function(emitter, into.type, "find_keys", write_find_keys),
                      keys_function(emitter, into.type, "insert_keys", write_insert_keys)}),
        span);
    return into;
  }

  Value result(Emitter& emitter, const Value& builder, ir::Type type, ir::Span span) const override {
    llvm::AllocaInst* slot = emitter.frame(emitter.ir.getPtrTy());
    emitter.check(emitter.call("weld_rt_group_result", {emitter.worker, builder.scalar(), slot}), span);
    return {type, {emitter.ir.CreateLoad(emitter.ir.getPtrTy(), slot)}};
  }

 private:
  // Counts a value of the entry `id`, and adds it to the log.
  static void log(Emitter& emitter, const GroupTypes& types, llvm::Value* group, llvm::Value* id,
                  const std::function<Value()>& value, ir::Span span) {
    auto& ir = emitter.ir;
    llvm::Type* i64 = ir.getInt64Ty();
    llvm::Value* vector =
        entry_value_address(emitter, types.entry, entry_address(emitter, types.entry, group, id));
    llvm::Value* length = emitter.load_field(i64, vector, offsetof(runtime::VecView, length));
    emitter.store_field(ir.CreateAdd(length, emitter.i64(1)), vector, offsetof(runtime::VecView, length));

    llvm::Value* full =
        ir.CreateICmpEQ(emitter.load_field(i64, group, offsetof(GroupBuilder, num_values)),
                        emitter.load_field(i64, group, offsetof(GroupBuilder, value_capacity)));
    emitter.when(full,
                 [&] { emitter.check(emitter.call("weld_rt_group_grow", {emitter.worker, group}), span); });
    llvm::Value* count = emitter.load_field(i64, group, offsetof(GroupBuilder, num_values));
    llvm::Value* ids = emitter.load_field(ir.getPtrTy(), group, offsetof(GroupBuilder, ids));
    ir.CreateStore(ir.CreateTrunc(id, ir.getInt32Ty()), emitter.element_address(ids, count, 4));
    if (emitter.group_pass() == GroupPass::kLog) {
      llvm::Value* values = emitter.load_field(ir.getPtrTy(), group, offsetof(GroupBuilder, values));
      emitter.store(value(), emitter.element_address(values, count, emitter.flat(types.value).size_bytes));
    }
    emitter.store_field(ir.CreateAdd(count, emitter.i64(1)), group, offsetof(GroupBuilder, num_values));
  }

  // The ids are known before the values: where there are many, their places are fetched ahead.
  static void place(Emitter& emitter, const GroupTypes& types, llvm::Value* placer, const Value& value,
                    ir::Span span) {
    using runtime::GroupPlacer;
    constexpr std::int64_t kAhead = runtime::kGroupIdPadding / 2;
    auto& ir = emitter.ir;
    llvm::Type* i64 = ir.getInt64Ty();
    llvm::Value* full = ir.CreateICmpEQ(emitter.load_field(i64, placer, offsetof(GroupPlacer, position)),
                                        emitter.load_field(i64, placer, offsetof(GroupPlacer, num_values)));
    emitter.when(
        full, [&] { emitter.check(emitter.call("weld_rt_group_next_ids", {emitter.worker, placer}), span); });
    llvm::Value* position = emitter.load_field(i64, placer, offsetof(GroupPlacer, position));
    llvm::Value* ids = emitter.load_field(ir.getPtrTy(), placer, offsetof(GroupPlacer, ids));
    llvm::Value* cursors = emitter.load_field(ir.getPtrTy(), placer, offsetof(GroupPlacer, cursors));
    const auto cursor_at = [&](std::int64_t ahead) {
      llvm::Value* address = emitter.element_address(ids, ir.CreateAdd(position, emitter.i64(ahead)), 4);
      llvm::Value* id = ir.CreateZExt(ir.CreateLoad(ir.getInt32Ty(), address), i64);
      return emitter.element_address(cursors, id, sizeof(std::byte*));
    };
    const auto prefetch = [&](llvm::Value* address) {
      ir.CreateIntrinsic(llvm::Intrinsic::prefetch, {ir.getPtrTy()},
                         {address, emitter.i32(1), emitter.i32(3), emitter.i32(1)});
    };
    emitter.when(ir.CreateIsNotNull(emitter.load_field(i64, placer, offsetof(GroupPlacer, prefetches))), [&] {
      prefetch(cursor_at(2 * kAhead - 1));
      prefetch(ir.CreateLoad(ir.getPtrTy(), cursor_at(kAhead)));
    });
    llvm::Value* cursor = cursor_at(0);
    llvm::Value* address = ir.CreateLoad(ir.getPtrTy(), cursor);
    emitter.store(value, address);
    ir.CreateStore(emitter.offset(address, emitter.flat(types.value).size_bytes), cursor);
    emitter.store_field(ir.CreateAdd(position, emitter.i64(1)), placer, offsetof(GroupPlacer, position));
  }
};

const GroupMergerOps ops;

}  // namespace

const BuilderOps& groupmerger_ops = ops;

}  // namespace weld::codegen
