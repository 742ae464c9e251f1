#include "codegen/builders/builder.h"
#include "codegen/dictionaries.h"
#include "codegen/lane_memory.h"
#include "ir/typing.h"

// A dictmerger's state is the dictionary that it fills (runtime/abi.h: Dict). A new entry starts at the
// identity.

namespace weld::codegen {
namespace {

const ir::DictMergerType& merger_type(ir::Type type) {
  return *type.as<ir::DictMergerType>();
}

EntryType entry_type(ir::Type type) {
  return {merger_type(type).key, merger_type(type).value};
}

void merge_entry(Emitter& emitter, ir::Type type, llvm::Value* dict, const Value& key, const Value& value,
                 ir::Span span, llvm::Value* hash = nullptr) {
  const EntryType entry = entry_type(type);
  const ir::MergeOp op = merger_type(type).op;
  llvm::Value* index = find_or_insert(emitter, entry, dict, key, op, span, hash);
  llvm::Value* address = entry_value_address(emitter, entry, entry_address(emitter, entry, dict, index));
  emitter.store(emitter.merge_values(op, emitter.load(entry.value, address), value), address);
}

// ErrorCode combine(worker, into, from): merges all entries of a dictionary, in their order.
void write_combine(ModuleEmitter& module, llvm::Function* function, ir::Type type) {
  Emitter emitter(module, function);
  const EntryType entry = entry_type(type);
  llvm::Value* from = function->getArg(2);
  llvm::Value* count =
      emitter.load_field(emitter.ir.getInt64Ty(), from, offsetof(runtime::Dict, num_entries));
  emitter.count_loop(count, [&](llvm::Value* index) {
    llvm::Value* address = entry_address(emitter, entry, from, index);
    const Value key = emitter.load(entry.key, address);
    const Value value = emitter.load(entry.value, entry_value_address(emitter, entry, address));
    merge_entry(emitter, type, function->getArg(1), key, value, {});
  });
  emitter.finish();
}

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
    const LaneRows values(emitter, entry.value, emitter.member(lanes, 1));
    llvm::Value* dict = builder.scalar();
    const LaneHashes hashes(emitter, entry.key, dict, key_lanes, keys, mask);
    emitter.when(is_large(emitter, dict), [&] {
      for_each_lane(emitter, mask, count,
                    [&](llvm::Value* lane) { prefetch_slot(emitter, dict, hashes.lane(emitter, lane)); });
      for_each_lane(emitter, mask, count, [&](llvm::Value* lane) {
        prefetch_entry(emitter, entry, dict, hashes.lane(emitter, lane));
      });
    });
    for_each_lane(emitter, mask, count, [&](llvm::Value* lane) {
      const Value key = keys.lane(emitter, lane);
      llvm::Value* index = find_or_insert(emitter, entry, dict, key, op, span, hashes.lane(emitter, lane));
      values.merge_into(emitter, op, lane,
                        entry_value_address(emitter, entry, entry_address(emitter, entry, dict, index)));
    });
    return builder;
  }

  Value create_partial(Emitter& emitter, const Value& outer, ir::Span span) const override {
    return create(emitter, outer.type, nullptr, span);
  }

  Value combine(Emitter& emitter, const Value& into, const PartialArray& partials,
                ir::Span span) const override {
    return combine_tables(emitter, into, partials, write_combine, span);
  }

  Value result(Emitter&, const Value& builder, ir::Type type, ir::Span) const override {
    return {type, builder.leaves};
  }
};

const DictMergerOps ops;

}  // namespace

const BuilderOps& dictmerger_ops = ops;

}  // namespace weld::codegen
