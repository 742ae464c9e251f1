#include <cstddef>

#include "codegen/builders/builder.h"
#include "codegen/dense_dictionaries.h"
#include "codegen/dictionaries.h"
#include "codegen/lane_memory.h"
#include "ir/reduction_order.h"
#include "ir/typing.h"

// A dictmerger's state is the dictionary that it fills (runtime/abi.h: Dict). A new entry starts at the
// identity.

namespace weld::codegen {
namespace {

using runtime::Dict;

const ir::DictMergerType& merger_type(ir::Type type) {
  return *type.as<ir::DictMergerType>();
}

EntryType entry_type(ir::Type type) {
  return {merger_type(type).key, merger_type(type).value};
}

bool depends_on_order(Emitter& emitter, ir::Type type) {
  return emitter.module.options().deterministic && ir::depends_on_order(type);
}

llvm::Value* dict_field(Emitter& emitter, llvm::Value* dict, std::size_t offset_bytes) {
  return emitter.load_field(emitter.ir.getInt64Ty(), dict, offset_bytes);
}

// What parts of loops that may be emptied decide by.
void count_merges(Emitter& emitter, ir::Type type, llvm::Value* dict, llvm::Value* count) {
  if (emitter.loop_depth() == 0 || depends_on_order(emitter, type)) return;
  llvm::Value* before = dict_field(emitter, dict, offsetof(Dict, num_merges));
  emitter.store_field(emitter.ir.CreateAdd(before, count), dict, offsetof(Dict, num_merges));
}

void merge_into_table(Emitter& emitter, ir::Type type, llvm::Value* dict, const Value& key,
                      const Value& value, llvm::Value* hash, ir::Span span) {
  const EntryType entry = entry_type(type);
  const ir::MergeOp op = merger_type(type).op;
  llvm::Value* index = find_or_insert_hashed(emitter, entry, dict, key, op, hash);
  check_index(emitter, index, span);
  llvm::Value* address = entry_value_address(emitter, entry, entry_address(emitter, entry, dict, index));
  emitter.store(emitter.merge_values(op, emitter.load(entry.value, address), value), address);
}

// The number of merges that a log has.
llvm::Value* merges_of_log(Emitter& emitter, llvm::Value* log) {
  return emitter.load_field(emitter.ir.getInt64Ty(), log, offsetof(runtime::DictLog, num_merges));
}

// Writes a record at the end of the hash's partition (runtime/dict_parts.h).
void append_to_log(Emitter& emitter, const EntryType& entry, llvm::Value* dict, llvm::Value* log,
                   const Value& key, const Value& value, llvm::Value* hash, llvm::Value* number,
                   ir::Span span) {
  auto& ir = emitter.ir;
  const std::int64_t bytes = runtime::record_bytes(entry_bytes(emitter, entry));
  static_assert(offsetof(runtime::DictLog, next) == 0);
  llvm::Value* partition = ir.CreateLShr(hash, 32 - runtime::kPartitionBits);
  llvm::Value* next = emitter.element_address(log, partition, 8);
  llvm::Value* place = ir.CreateLoad(ir.getPtrTy(), next);
  llvm::Value* in_chunk =
      ir.CreateAnd(ir.CreatePtrToInt(place, ir.getInt64Ty()), emitter.i64(runtime::chunk_bytes(bytes) - 1));
  const ir::Type address{};
  llvm::Value* record = emitter
                            .branch(
                                ir.CreateIsNull(in_chunk),
                                [&] {
                                  llvm::Value* first =
                                      emitter.call("weld_rt_dict_chunk", {emitter.worker, dict, partition});
                                  emitter.fail_if(ir.CreateIsNull(first), ErrorCode::kOutOfMemory, span);
                                  return Value{address, {first}};
                                },
                                [&] { return Value{address, {place}}; })
                            .scalar();
  ir.CreateStore(ir.CreateOr(ir.CreateShl(hash, 32), number), record);
  llvm::Value* stored = emitter.offset(record, 8);
  emitter.store(key, stored);
  emitter.store(value, entry_value_address(emitter, entry, stored));
  ir.CreateStore(emitter.offset(record, bytes), next);
}

// Writes one of the two, as the dictionary says.
void to_log_or_table(Emitter& emitter, llvm::Value* dict, ir::Span span,
                     const std::function<void(llvm::Value* log)>& write_down,
                     const std::function<void()>& merge) {
  llvm::Value* log = emitter.load_field(emitter.ir.getPtrTy(), dict, offsetof(Dict, log));
  emitter.branch(
      emitter.ir.CreateIsNull(log), [&] { return merge(), Value{}; },
      [&] {
        llvm::Value* left = dict_field(emitter, dict, offsetof(Dict, num_entries));
        emitter.when(emitter.ir.CreateIsNotNull(left), [&] {
          emitter.check(emitter.call("weld_rt_dict_spill", {emitter.worker, dict}), span);
        });
        return write_down(log), Value{};
      });
}

void merge_into_entry(Emitter& emitter, ir::Type type, llvm::Value* dict, llvm::Value* index,
                      const Value& value) {
  const EntryType entry = entry_type(type);
  llvm::Value* address = entry_value_address(emitter, entry, entry_address(emitter, entry, dict, index));
  const Value before = emitter.load(entry.value, address);
  emitter.store(emitter.merge_values(merger_type(type).op, before, value), address);
}

// Writes one of the two. What is dense has no log.
void if_dense(Emitter& emitter, ir::Type type, llvm::Value* dict, const std::function<void()>& dense,
              const std::function<void()>& hashed) {
  if (key_shape(emitter, entry_type(type)) == 0) return hashed();
  emitter.branch(
      is_dense(emitter, dict), [&] { return dense(), Value{}; }, [&] { return hashed(), Value{}; });
}

void merge_hashed(Emitter& emitter, ir::Type type, llvm::Value* dict, const Value& key, const Value& value,
                  ir::Span span) {
  llvm::Value* hash = hash_key(emitter, dict, key);
  to_log_or_table(
      emitter, dict, span,
      [&](llvm::Value* log) {
        llvm::Value* number = merges_of_log(emitter, log);
        append_to_log(emitter, entry_type(type), dict, log, key, value, hash, number, span);
        emitter.store_field(emitter.ir.CreateAdd(number, emitter.i64(1)), log,
                            offsetof(runtime::DictLog, num_merges));
      },
      [&] {
        merge_into_table(emitter, type, dict, key, value, hash, span);
        count_merges(emitter, type, dict, emitter.i64(1));
      });
}

void merge_entry(Emitter& emitter, ir::Type type, llvm::Value* dict, const Value& key, const Value& value,
                 ir::Span span) {
  if_dense(
      emitter, type, dict,
      [&] {
        llvm::Value* index = find_or_insert_dense(emitter, entry_type(type), dict, key, merger_type(type).op);
        check_index(emitter, index, span);
        merge_into_entry(emitter, type, dict, index, value);
        count_merges(emitter, type, dict, emitter.i64(1));
      },
      [&] { merge_hashed(emitter, type, dict, key, value, span); });
}

// ErrorCode fold(worker, into, from, count): runtime::DictFold.
void write_fold(ModuleEmitter& module, llvm::Function* function, ir::Type type) {
  Emitter emitter(module, function);
  const EntryType entry = entry_type(type);
  emitter.count_loop(function->getArg(3), [&](llvm::Value* index) {
    const auto value_at = [&](unsigned argument) {
      llvm::Value* place = emitter.element_address(function->getArg(argument), index, sizeof(std::byte*));
      return entry_value_address(emitter, entry, emitter.ir.CreateLoad(emitter.ir.getPtrTy(), place));
    };
    llvm::Value* into = value_at(1);
    const Value from = emitter.load(entry.value, value_at(2));
    emitter.store(emitter.merge_values(merger_type(type).op, emitter.load(entry.value, into), from), into);
  });
  emitter.finish();
}

// ErrorCode combine(worker, into, from): runtime::DictCombine.
void write_combine(ModuleEmitter& module, llvm::Function* function, ir::Type type) {
  Emitter emitter(module, function);
  const EntryType entry = entry_type(type);
  llvm::Value* from = function->getArg(2);
  emitter.count_loop(dict_field(emitter, from, offsetof(Dict, num_entries)), [&](llvm::Value* index) {
    llvm::Value* address = entry_address(emitter, entry, from, index);
    const Value key = emitter.load(entry.key, address);
    const Value value = emitter.load(entry.value, entry_value_address(emitter, entry, address));
    merge_entry(emitter, type, function->getArg(1), key, value, {});
  });
  emitter.finish();
}

// ErrorCode aggregate(worker, table, records, count, first_sequence): runtime::DictAggregate. Slots, then
// entries are fetched for all records before they are merged.
void write_aggregate(ModuleEmitter& module, llvm::Function* function, ir::Type type) {
  Emitter emitter(module, function);
  auto& ir = emitter.ir;
  llvm::Type* i64 = ir.getInt64Ty();
  const EntryType entry = entry_type(type);
  llvm::Value* table = function->getArg(1);
  llvm::Value* records = function->getArg(2);
  llvm::Value* count = function->getArg(3);
  const std::int64_t bytes = runtime::record_bytes(entry_bytes(emitter, entry));
  const auto header_of = [&](llvm::Value* index) {
    return ir.CreateLoad(i64, emitter.element_address(records, index, bytes));
  };
  const auto hash_of = [&](llvm::Value* index) { return ir.CreateLShr(header_of(index), 32); };
  const auto entry_of = [&](llvm::Value* index) {
    return emitter.offset(emitter.element_address(records, index, bytes), 8);
  };
  constexpr std::int64_t kNearSlots = 4096;  // of a table that is in the first cache anyway
  llvm::Value* mask = dict_field(emitter, table, offsetof(Dict, slot_mask));
  emitter.when(ir.CreateICmpUGE(mask, emitter.i64(kNearSlots)), [&] {
    const bool vectors = has_vectors(emitter, entry.key);
    emitter.count_loop(count, [&](llvm::Value* index) {
      prefetch_slot(emitter, table, hash_of(index));
      if (vectors) prefetch_vectors(emitter, entry, entry_of(index));
    });
    emitter.count_loop(count,
                       [&](llvm::Value* index) { prefetch_entry(emitter, entry, table, hash_of(index)); });
    if (!vectors) return;
    emitter.count_loop(count, [&](llvm::Value* index) {
      prefetch_stored_vectors(emitter, entry, table, hash_of(index), entry_of(index));
    });
  });
  emitter.count_loop(count, [&](llvm::Value* index) {
    llvm::Value* header = header_of(index);
    llvm::Value* record = entry_of(index);
    const Value key = emitter.load(entry.key, record);
    const Value value = emitter.load(entry.value, entry_value_address(emitter, entry, record));
    llvm::Value* before = dict_field(emitter, table, offsetof(Dict, num_entries));
    merge_into_table(emitter, type, table, key, value, ir.CreateLShr(header, 32), {});
    llvm::Value* after = dict_field(emitter, table, offsetof(Dict, num_entries));
    llvm::Value* sequence = emitter.load_field(ir.getPtrTy(), table, offsetof(Dict, sequence));
    llvm::Value* is_numbered = ir.CreateAnd(ir.CreateICmpNE(before, after), ir.CreateIsNotNull(sequence));
    emitter.when(is_numbered, [&] {
      llvm::Value* number = ir.CreateAdd(ir.CreateAnd(header, emitter.i64(0xffffffff)), function->getArg(4));
      llvm::Value* grown = emitter.load_field(ir.getPtrTy(), table, offsetof(Dict, sequence));
      ir.CreateStore(ir.CreateTrunc(number, ir.getInt32Ty()), emitter.element_address(grown, before, 4));
    });
  });
  emitter.finish();
}

// A constant of type runtime::DictMergeOps.
llvm::Constant* merge_ops(Emitter& emitter, ir::Type type, const DictUse& use) {
  ModuleEmitter& module = emitter.module;
  llvm::Type* pointer = emitter.ir.getPtrTy();
  llvm::Type* i64 = emitter.ir.getInt64Ty();
  llvm::Function* combine =
      module.shared_function("combine", type, 0, {pointer, pointer, pointer}, nullptr,
                             [&](llvm::Function* made) { write_combine(module, made, type); });
  llvm::Function* aggregate =
      module.shared_function("aggregate", type, 0, {pointer, pointer, pointer, i64, i64}, nullptr,
                             [&](llvm::Function* made) { write_aggregate(module, made, type); });
  llvm::Function* fold =
      module.shared_function("fold", type, 0, {pointer, pointer, pointer, i64}, nullptr,
                             [&](llvm::Function* made) { write_fold(module, made, type); });
  static_assert(
      sizeof(runtime::DictMergeOps) == 48 && offsetof(runtime::DictMergeOps, combine) == 8 &&
      offsetof(runtime::DictMergeOps, fold) == 16 && offsetof(runtime::DictMergeOps, is_ordered) == 24 &&
      offsetof(runtime::DictMergeOps, keeps_order) == 32 && offsetof(runtime::DictMergeOps, has_slots) == 40);
  llvm::Constant* fields[] = {aggregate,
                              combine,
                              fold,
                              emitter.i64(depends_on_order(emitter, type) ? 1 : 0),
                              emitter.i64(use.keeps_order ? 1 : 0),
                              emitter.i64(use.has_slots ? 1 : 0)};
  llvm::Constant* constant = llvm::ConstantStruct::getAnon(fields);
  return new llvm::GlobalVariable(module.module(), constant->getType(), true,
                                  llvm::GlobalValue::InternalLinkage, constant, "dict_merge_ops");
}

}  // namespace

Value create_dict_part(Emitter& emitter, const Value& outer, runtime::DictPartKind kind, ir::Span span) {
  const ir::Type type = outer.type;
  llvm::Value* dict =
      emitter.call("weld_rt_dict_part", {emitter.worker, emitter.i64(entry_bytes(emitter, entry_type(type))),
                                         emitter.i32(static_cast<std::uint32_t>(kind))});
  emitter.fail_if(emitter.ir.CreateIsNull(dict), ErrorCode::kOutOfMemory, span);
  choose_table_like(emitter, entry_type(type), dict, outer.scalar(), span);
  return {type, {dict}};
}

void combine_dict_parts(Emitter& emitter, const Value& into, const PartialArray& parts, const DictUse& use,
                        ir::Span span) {
  llvm::Value* ops = merge_ops(emitter, into.type, use);
  emitter.check(emitter.call("weld_rt_dict_combine", {emitter.worker, into.scalar(), parts.first,
                                                      emitter.i64(parts.stride_bytes), parts.count, ops}),
                span);
}

namespace {

class DictMergerOps final : public BuilderOps {
 public:
  Value create(Emitter& emitter, ir::Type type, const Value* argument, ir::Span span) const override {
    llvm::Value* dict = nullptr;
    if (argument && argument->type.as<ir::DictType>()) {
      dict = emitter.call("weld_rt_dict_copy", {emitter.worker, argument->scalar()});
    } else {
      llvm::Value* expected = argument ? argument->scalar() : emitter.i64(0);
      dict = emitter.call("weld_rt_dict_new",
                          {emitter.worker, emitter.i64(entry_bytes(emitter, entry_type(type))), expected});
    }
    emitter.fail_if(emitter.ir.CreateIsNull(dict), ErrorCode::kOutOfMemory, span);
    return {type, {dict}};
  }

  Value merge(Emitter& emitter, const Value& builder, const Value& value, ir::Span span) const override {
    merge_entry(emitter, builder.type, builder.scalar(), emitter.member(value, 0), emitter.member(value, 1),
                span);
    return builder;
  }

  Value merge_lanes(Emitter& emitter, const Value& builder, const Value& lanes, llvm::Value* mask,
                    ir::Span span) const override {
    const EntryType entry = entry_type(builder.type);
    if (!has_stored_lanes(emitter, entry.value))
      return BuilderOps::merge_lanes(emitter, builder, lanes, mask, span);
    const std::uint32_t count = *ir::num_lanes(lanes.type);
    const ir::MergeOp op = merger_type(builder.type).op;
    const Value key_lanes = emitter.member(lanes, 0);
    const SpilledLanes keys(emitter, entry.key, key_lanes);
    llvm::Value* dict = builder.scalar();
    if_dense(
        emitter, builder.type, dict,
        [&] {
          const LaneRows values(emitter, entry.value, emitter.member(lanes, 1));
          emitter.when(is_large(emitter, dict),
                       [&] { prefetch_dense(emitter, entry, dict, key_lanes.leaves, mask, count); });
          for_each_lane(emitter, mask, count, [&](llvm::Value* lane) {
            llvm::Value* index = find_or_insert(emitter, entry, dict, keys.lane(emitter, lane), op, span);
            values.merge_into(
                emitter, op, lane,
                entry_value_address(emitter, entry, entry_address(emitter, entry, dict, index)));
          });
          count_merges(emitter, builder.type, dict, mask ? count_lanes(emitter, mask) : emitter.i64(count));
        },
        [&] { merge_hashed_lanes(emitter, builder, lanes, keys, mask, span); });
    return builder;
  }

 private:
  static void merge_hashed_lanes(Emitter& emitter, const Value& builder, const Value& lanes,
                                 const SpilledLanes& keys, llvm::Value* mask, ir::Span span) {
    const EntryType entry = entry_type(builder.type);
    const std::uint32_t count = *ir::num_lanes(lanes.type);
    const ir::MergeOp op = merger_type(builder.type).op;
    const Value key_lanes = emitter.member(lanes, 0);
    llvm::Value* dict = builder.scalar();
    const LaneHashes hashes(emitter, entry.key, dict, key_lanes, keys, mask);
    const auto to_table = [&] {
      const LaneRows values(emitter, entry.value, emitter.member(lanes, 1));
      emitter.when(is_large(emitter, dict), [&] {
        for_each_lane(emitter, mask, count,
                      [&](llvm::Value* lane) { prefetch_slot(emitter, dict, hashes.lane(emitter, lane)); });
        for_each_lane(emitter, mask, count, [&](llvm::Value* lane) {
          prefetch_entry(emitter, entry, dict, hashes.lane(emitter, lane));
        });
      });
      const auto merge_at = [&](llvm::Value* lane, llvm::Value* index) {
        values.merge_into(emitter, op, lane,
                          entry_value_address(emitter, entry, entry_address(emitter, entry, dict, index)));
      };
      const auto merge_one_by_one = [&](llvm::Value* lanes_left) {
        for_each_lane(emitter, lanes_left, count, [&](llvm::Value* lane) {
          const Value key = keys.lane(emitter, lane);
          merge_at(lane, find_or_insert(emitter, entry, dict, key, op, span, hashes.lane(emitter, lane)));
        });
      };
      if (!has_scalar_leaves(emitter, entry.key) || emitter.module.options().vector_bits < 512) {
        merge_one_by_one(mask);
      } else {
        // All that the slots where probing starts tell. Lanes of one key are all found there, or none is.
        const FirstSlots first = read_first_slots(emitter, entry, dict, key_lanes, hashes.all(emitter), mask);
        const ir::Type i64 = ir::Type::scalar(ir::ScalarKind::kI64);
        const SpilledLanes indices(emitter, i64, {i64, {first.index}});
        for_each_lane(emitter, first.found, count,
                      [&](llvm::Value* lane) { merge_at(lane, indices.lane(emitter, lane).scalar()); });
        llvm::Value* others = emitter.ir.CreateNot(first.found);
        if (mask) others = emitter.ir.CreateAnd(mask, others);
        emitter.when(any_lane(emitter, others), [&] { merge_one_by_one(others); });
      }
      count_merges(emitter, builder.type, dict, mask ? count_lanes(emitter, mask) : emitter.i64(count));
    };
    to_log_or_table(
        emitter, dict, span,
        [&](llvm::Value* log) {
          const SpilledLanes values(emitter, entry.value, emitter.member(lanes, 1));
          llvm::AllocaInst* number = emitter.frame(emitter.ir.getInt64Ty(), "number");
          emitter.ir.CreateStore(merges_of_log(emitter, log), number);
          for_each_lane(emitter, mask, count, [&](llvm::Value* lane) {
            llvm::Value* now = emitter.ir.CreateLoad(emitter.ir.getInt64Ty(), number);
            append_to_log(emitter, entry, dict, log, keys.lane(emitter, lane), values.lane(emitter, lane),
                          hashes.lane(emitter, lane), now, span);
            emitter.ir.CreateStore(emitter.ir.CreateAdd(now, emitter.i64(1)), number);
          });
          emitter.store_field(emitter.ir.CreateLoad(emitter.ir.getInt64Ty(), number), log,
                              offsetof(runtime::DictLog, num_merges));
        },
        to_table);
  }

 public:
  Value create_partial(Emitter& emitter, const Value& outer, ir::Span span) const override {
    const auto kind = depends_on_order(emitter, outer.type) ? runtime::DictPartKind::kTable
                                                            : runtime::DictPartKind::kPreaggregates;
    return create_dict_part(emitter, outer, kind, span);
  }

  Value combine(Emitter& emitter, const Value& into, const PartialArray& partials,
                ir::Span span) const override {
    combine_dict_parts(emitter, into, partials, {}, span);
    return into;
  }

  Value result(Emitter&, const Value& builder, ir::Type type, ir::Span) const override {
    return {type, builder.leaves};
  }
};

const DictMergerOps ops;

}  // namespace

const BuilderOps& dictmerger_ops = ops;

}  // namespace weld::codegen
