#include <optional>

#include "codegen/builders/builder.h"
#include "codegen/dictionaries.h"
#include "codegen/lane_memory.h"
#include "ir/typing.h"

// Lookups of many keys at once (ir::LookupLanes, ir::OptLookupLanes).

namespace weld::codegen {
namespace {

// Which lanes were found, and the lanes of their values.
struct Probed {
  llvm::Value* found;
  Value values;
};

class Probes {
 public:
  /// The values' type is an empty struct where nobody wants them.
  template <class Node>
  Probes(Emitter& emitter, const Node& node, ir::Type values)
      : emitter_(emitter),
        mask_type_(node.mask.type()),
        num_lanes_(*ir::num_lanes(mask_type_)),
        values_(values) {
    const auto& types = *node.dict.type().template as<ir::DictType>();
    entry_ = {types.key, types.value};
    const auto* structure = values.as<ir::StructType>();
    has_values_ = !structure || !structure->members.empty();
    dict_ = emitter.emit_scalar(node.dict);
    keys_ = emitter.emit(node.keys);
    mask_ = emitter.emit_scalar(node.mask);
  }

  llvm::Value* mask() const { return mask_; }

  Probed look_up(ir::Annotations annotations) {
    const ir::Type boolean = ir::Type::scalar(ir::ScalarKind::kBool);
    const SpilledLanes keys(emitter_, entry_.key, keys_);
    const LaneHashes hashes(emitter_, entry_.key, dict_, keys_, keys, active());
    SpilledLanes found(emitter_, boolean, {boolean, {llvm::Constant::getNullValue(mask_->getType())}});
    std::optional<SpilledLanes> values;
    if (has_values_) values.emplace(emitter_, entry_.value, emitter_.zero(values_));
    if (ir::annotated_word(annotations, "impl", "staged"))
      fetch(hashes);
    else if (!ir::annotated_word(annotations, "impl", "plain"))
      emitter_.when(is_large(emitter_, dict_), [&] { fetch(hashes); });
    for_each_lane(emitter_, active(), num_lanes_, [&](llvm::Value* lane) {
      const Value key = keys.lane(emitter_, lane);
      llvm::Value* entry = find_entry(emitter_, entry_, dict_, key, hashes.lane(emitter_, lane));
      emitter_.when(emitter_.ir.CreateIsNotNull(entry), [&] {
        found.set_lane(emitter_, lane, {boolean, {emitter_.ir.getTrue()}});
        if (!values) return;
        llvm::Value* address = entry_value_address(emitter_, entry_, entry);
        values->set_lane(emitter_, lane, emitter_.load(entry_.value, address));
      });
    });
    const Value lanes = values ? values->all(emitter_, values_) : Value{values_, {}};
    return {found.all(emitter_, mask_type_).scalar(), lanes};
  }

 private:
  // Starts to read what the keys will be found in.
  void fetch(const LaneHashes& hashes) {
    for_each_lane(emitter_, active(), num_lanes_,
                  [&](llvm::Value* lane) { prefetch_slot(emitter_, dict_, hashes.lane(emitter_, lane)); });
    for_each_lane(emitter_, active(), num_lanes_, [&](llvm::Value* lane) {
      prefetch_entry(emitter_, entry_, dict_, hashes.lane(emitter_, lane));
    });
  }

  // Null: all lanes.
  llvm::Value* active() const {
    const auto* constant = llvm::dyn_cast<llvm::Constant>(mask_);
    return constant && constant->isAllOnesValue() ? nullptr : mask_;
  }

  Emitter& emitter_;
  ir::Type mask_type_;
  std::uint32_t num_lanes_;
  ir::Type values_;
  bool has_values_ = false;
  EntryType entry_;
  llvm::Value* dict_ = nullptr;
  Value keys_;
  llvm::Value* mask_ = nullptr;
};

}  // namespace

Value emit_lookup_lanes(Emitter& emitter, ir::Expr expr) {
  Probes probes(emitter, *expr.as<ir::LookupLanes>(), expr.type());
  const Probed probed = probes.look_up(expr.annotations());
  llvm::Value* absent = emitter.ir.CreateAnd(probes.mask(), emitter.ir.CreateNot(probed.found));
  emitter.fail_if(any_lane(emitter, absent), ErrorCode::kKeyNotFoundError, expr.span());
  return probed.values;
}

Value emit_optlookup_lanes(Emitter& emitter, ir::Expr expr) {
  Probes probes(emitter, *expr.as<ir::OptLookupLanes>(), expr.type().as<ir::StructType>()->members[1]);
  const Probed probed = probes.look_up(expr.annotations());
  Value made{expr.type(), {probed.found}};
  made.leaves.append(probed.values.leaves.begin(), probed.values.leaves.end());
  return made;
}

}  // namespace weld::codegen
