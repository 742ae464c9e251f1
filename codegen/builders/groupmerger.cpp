#include <llvm/IR/Intrinsics.h>

#include <cstddef>

#include "codegen/builders/builder.h"
#include "codegen/dictionaries.h"
#include "codegen/lane_memory.h"
#include "ir/typing.h"

// A groupmerger's state is a runtime::GroupBuilder: the keys, and the values in the order of their merge with
// the entry that each belongs to. Grouping is the runtime's work (runtime/group.cpp), once, in `result`. A
// loop that may run twice keeps no values: its second run, whose state is a runtime::GroupPlacer, puts them
// in place. Its first run may be told to write rows of keys and values down instead (runtime/group_rows.cpp).

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

void count_value(Emitter& emitter, const GroupTypes& types, llvm::Value* dict, llvm::Value* id) {
  llvm::Type* i64 = emitter.ir.getInt64Ty();
  llvm::Value* vector =
      entry_value_address(emitter, types.entry, entry_address(emitter, types.entry, dict, id));
  llvm::Value* length = emitter.load_field(i64, vector, offsetof(runtime::VecView, length));
  emitter.store_field(emitter.ir.CreateAdd(length, emitter.i64(1)), vector,
                      offsetof(runtime::VecView, length));
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

EntryType row_type(const GroupTypes& types) {
  return {types.entry.key, types.value};
}

// LoopBody: the entries of the rows [begin, end) of GroupRows.
void write_index_rows(ModuleEmitter& module, llvm::Function* function, ir::Type type) {
  using runtime::GroupRows;
  Emitter emitter(module, function);
  auto& ir = emitter.ir;
  llvm::Type* i64 = ir.getInt64Ty();
  llvm::Type* i32 = ir.getInt32Ty();
  const GroupTypes types = group_types(emitter, type);
  const std::int64_t row_bytes = entry_bytes(emitter, row_type(types));
  llvm::Value* captures = function->getArg(1);
  llvm::Value* begin = function->getArg(2);
  llvm::Value* table = emitter.load_field(ir.getPtrTy(), captures, offsetof(GroupRows, table));
  llvm::Value* rows = emitter.load_field(ir.getPtrTy(), captures, offsetof(GroupRows, rows));
  llvm::Value* numbers = emitter.load_field(ir.getPtrTy(), captures, offsetof(GroupRows, numbers));
  llvm::Value* first_number = emitter.load_field(i64, captures, offsetof(GroupRows, first_number));
  llvm::Value* ids = emitter.load_field(ir.getPtrTy(), captures, offsetof(GroupRows, ids));
  emitter.count_loop(ir.CreateSub(function->getArg(3), begin), [&](llvm::Value* index) {
    llvm::Value* row = ir.CreateAdd(begin, index);
    const Value key = emitter.load(types.entry.key, emitter.element_address(rows, row, row_bytes));
    llvm::Value* before = emitter.load_field(i64, table, offsetof(runtime::Dict, num_entries));
    llvm::Value* id = entry_of_key(emitter, types, table, key, {});
    ir.CreateStore(ir.CreateTrunc(id, i32), emitter.element_address(ids, row, 4));
    count_value(emitter, types, table, id);
    emitter.when(ir.CreateAnd(ir.CreateICmpEQ(id, before), ir.CreateIsNotNull(numbers)), [&] {
      llvm::Value* number = ir.CreateZExt(ir.CreateLoad(i32, emitter.element_address(numbers, row, 4)), i64);
      llvm::Value* sequence = emitter.load_field(ir.getPtrTy(), table, offsetof(runtime::Dict, sequence));
      ir.CreateStore(ir.CreateTrunc(ir.CreateAdd(number, first_number), i32),
                     emitter.element_address(sequence, id, 4));
    });
  });
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
    const GroupTypes types = group_types(emitter, builder.type);
    if (emitter.group_pass() == GroupPass::kPlace) {
      place(emitter, types, builder.scalar(), emitter.member(value, 1), span);
      return builder;
    }
    llvm::Value* group = builder.scalar();
    const Value key = emitter.member(value, 0);
    llvm::Value* hash = hash_key(emitter, group, key);
    to_rows_or_table(
        emitter, group, [&] { write_row(emitter, types, group, value, hash, span); },
        [&] {
          llvm::Value* id = entry_of_key(emitter, types, group, key, span, hash);
          log(emitter, types, group, id, [&] { return emitter.member(value, 1); }, span);
        });
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
    llvm::Value* group = builder.scalar();
    const LaneHashes hashes(emitter, types.entry.key, group, key_lanes, keys, mask);
    const auto to_rows = [&] {
      if (has_stored_lanes(emitter, entry_struct(emitter, row_type(types)))) {
        write_rows(emitter, types, group, lanes, mask, hashes, span);
        return;
      }
      const SpilledLanes rows(emitter, emitter.module.merge_type(builder.type), lanes);
      for_each_lane(emitter, mask, count, [&](llvm::Value* lane) {
        write_row(emitter, types, group, rows.lane(emitter, lane), hashes.lane(emitter, lane), span);
      });
    };
    to_rows_or_table(emitter, group, to_rows, [&] {
      const SpilledLanes values(emitter, types.value, emitter.member(lanes, 1));
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
    });
    return builder;
  }

  Value create_partial(Emitter& emitter, const Value& outer, ir::Span span) const override {
    const Value partial = create(emitter, outer.type, nullptr, span);
    emitter.check(
        emitter.call("weld_rt_group_begin_part", {emitter.worker, partial.scalar(), outer.scalar()}), span);
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
  // Writes one of the two, as the builder says; only what may run several times has rows.
  static void to_rows_or_table(Emitter& emitter, llvm::Value* group, const std::function<void()>& rows,
                               const std::function<void()>& table) {
    if (emitter.group_pass() != GroupPass::kCount) return table();
    llvm::Value* loop = emitter.load_field(emitter.ir.getPtrTy(), group, offsetof(GroupBuilder, rows_of));
    emitter.branch(
        emitter.ir.CreateIsNull(loop), [&] { return table(), Value{}; }, [&] { return rows(), Value{}; });
  }

  static llvm::Value* add_to_field(Emitter& emitter, llvm::Value* group, std::size_t offset_bytes,
                                   llvm::Value* count) {
    llvm::Value* before = emitter.load_field(emitter.ir.getInt64Ty(), group, offset_bytes);
    emitter.store_field(emitter.ir.CreateAdd(before, count), group, offset_bytes);
    return before;
  }

  // Makes room for so many rows. The number of those that are there.
  static llvm::Value* reserve_rows(Emitter& emitter, llvm::Value* group, std::int64_t count, ir::Span span) {
    auto& ir = emitter.ir;
    llvm::Type* i64 = ir.getInt64Ty();
    llvm::Value* needed =
        ir.CreateAdd(emitter.load_field(i64, group, offsetof(GroupBuilder, log_size)), emitter.i64(count));
    llvm::Value* capacity = emitter.load_field(i64, group, offsetof(GroupBuilder, log_capacity));
    emitter.when(ir.CreateICmpSGT(needed, capacity),
                 [&] { emitter.check(emitter.call("weld_rt_group_spill", {emitter.worker, group}), span); });
    return emitter.load_field(i64, group, offsetof(GroupBuilder, log_size));
  }

  static llvm::Value* row_address(Emitter& emitter, const GroupTypes& types, llvm::Value* group,
                                  llvm::Value* row) {
    llvm::Value* rows = emitter.load_field(emitter.ir.getPtrTy(), group, offsetof(GroupBuilder, log_rows));
    return emitter.element_address(rows, row, entry_bytes(emitter, row_type(types)));
  }
  static llvm::Value* beside_row(Emitter& emitter, llvm::Value* group, std::size_t array, llvm::Value* row) {
    return emitter.element_address(emitter.load_field(emitter.ir.getPtrTy(), group, array), row, 4);
  }

  // Whether this run of the loop takes a hash, or lanes of them.
  static llvm::Value* takes(Emitter& emitter, llvm::Value* group, llvm::Value* hash) {
    auto& ir = emitter.ir;
    const auto bound = [&](std::size_t offset_bytes) {
      llvm::Type* type = hash->getType();
      llvm::Value* value =
          ir.CreateTrunc(emitter.load_field(ir.getInt64Ty(), group, offset_bytes), type->getScalarType());
      const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(type);
      return vector ? ir.CreateVectorSplat(vector->getNumElements(), value) : value;
    };
    return ir.CreateICmpULE(ir.CreateSub(hash, bound(offsetof(GroupBuilder, first_hash))),
                            bound(offsetof(GroupBuilder, last_hash)));
  }

  static void when_numbered(Emitter& emitter, llvm::Value* group, const std::function<void()>& write) {
    emitter.when(emitter.ir.CreateIsNotNull(
                     emitter.load_field(emitter.ir.getPtrTy(), group, offsetof(GroupBuilder, log_numbers))),
                 write);
  }

  static void write_row(Emitter& emitter, const GroupTypes& types, llvm::Value* group, const Value& row,
                        llvm::Value* hash, ir::Span span) {
    auto& ir = emitter.ir;
    llvm::Type* i32 = ir.getInt32Ty();
    add_to_field(emitter, group, offsetof(GroupBuilder, num_merges), emitter.i64(1));
    llvm::Value* number = add_to_field(emitter, group, offsetof(GroupBuilder, next_number), emitter.i64(1));
    emitter.when(takes(emitter, group, hash), [&] {
      llvm::Value* size = reserve_rows(emitter, group, 1, span);
      llvm::Value* address = row_address(emitter, types, group, size);
      emitter.store(emitter.member(row, 0), address);
      emitter.store(emitter.member(row, 1), entry_value_address(emitter, row_type(types), address));
      ir.CreateStore(ir.CreateTrunc(hash, i32),
                     beside_row(emitter, group, offsetof(GroupBuilder, log_hashes), size));
      when_numbered(emitter, group, [&] {
        ir.CreateStore(ir.CreateTrunc(number, i32),
                       beside_row(emitter, group, offsetof(GroupBuilder, log_numbers), size));
      });
      emitter.store_field(ir.CreateAdd(size, emitter.i64(1)), group, offsetof(GroupBuilder, log_size));
    });
  }

  static void write_rows(Emitter& emitter, const GroupTypes& types, llvm::Value* group, const Value& lanes,
                         llvm::Value* mask, const LaneHashes& hashes, ir::Span span) {
    auto& ir = emitter.ir;
    const std::uint32_t count = *ir::num_lanes(lanes.type);
    const ir::Type u32 = ir::Type::scalar(ir::ScalarKind::kU32);
    const ir::Type u32_lanes = emitter.module.simd_type(ir::ScalarKind::kU32);
    add_to_field(emitter, group, offsetof(GroupBuilder, num_merges),
                 mask ? count_lanes(emitter, mask) : emitter.i64(count));
    llvm::Value* number =
        add_to_field(emitter, group, offsetof(GroupBuilder, next_number), emitter.i64(count));
    llvm::Value* all_hashes = hashes.all(emitter);
    llvm::Value* taken = takes(emitter, group, all_hashes);
    if (mask) taken = ir.CreateAnd(taken, mask);
    llvm::Value* size = reserve_rows(emitter, group, count, span);
    llvm::Value* written = store_lanes(emitter, entry_struct(emitter, row_type(types)), lanes, taken,
                                       row_address(emitter, types, group, size));
    store_lanes(emitter, u32, {u32_lanes, {all_hashes}}, taken,
                beside_row(emitter, group, offsetof(GroupBuilder, log_hashes), size));
    when_numbered(emitter, group, [&] {
      llvm::Value* first = ir.CreateVectorSplat(count, ir.CreateTrunc(number, ir.getInt32Ty()));
      llvm::Value* numbers = ir.CreateAdd(first, ir.CreateStepVector(all_hashes->getType()));
      store_lanes(emitter, u32, {u32_lanes, {numbers}}, taken,
                  beside_row(emitter, group, offsetof(GroupBuilder, log_numbers), size));
    });
    emitter.store_field(ir.CreateAdd(size, written), group, offsetof(GroupBuilder, log_size));
  }

  // Counts a value of the entry `id`, and adds it to the log.
  static void log(Emitter& emitter, const GroupTypes& types, llvm::Value* group, llvm::Value* id,
                  const std::function<Value()>& value, ir::Span span) {
    auto& ir = emitter.ir;
    llvm::Type* i64 = ir.getInt64Ty();
    count_value(emitter, types, group, id);
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

GroupRowLayout group_row_layout(Emitter& emitter, ir::Type groupmerger) {
  const GroupTypes types = group_types(emitter, groupmerger);
  return {.row_bytes = entry_bytes(emitter, row_type(types)),
          .value_offset = entry_value_offset(emitter, row_type(types)),
          .index = keys_function(emitter, groupmerger, "index_rows", write_index_rows)};
}

}  // namespace weld::codegen
