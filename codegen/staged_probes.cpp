#include <optional>

#include "codegen/builders/builder.h"
#include "codegen/dictionaries.h"
#include "codegen/lane_memory.h"

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
      : emitter_(emitter), num_lanes_(node.mask.type().template as<ir::SimdType>()->lanes), values_(values) {
    const auto& types = *node.dict.type().template as<ir::DictType>();
    entry_ = {types.key, types.value};
    const auto* structure = values.as<ir::StructType>();
    has_values_ = !structure || !structure->members.empty();
    dict_ = emitter.emit_scalar(node.dict);
    keys_ = emitter.emit(node.keys);
    mask_ = emitter.emit_scalar(node.mask);
  }

  llvm::Value* mask() const { return mask_; }

  // One key after the other.
  Probed plain() {
    const ir::Type boolean = ir::Type::scalar(ir::ScalarKind::kBool);
    const SpilledLanes inputs(emitter_, entry_.key, keys_);
    SpilledLanes found(emitter_, boolean, {boolean, {llvm::Constant::getNullValue(mask_->getType())}});
    std::optional<SpilledLanes> values;
    if (has_values_) values.emplace(emitter_, entry_.value, emitter_.zero(values_));
    for_each_lane(emitter_, mask_, num_lanes_, [&](llvm::Value* lane) {
      llvm::Value* entry = find_entry(emitter_, entry_, dict_, inputs.lane(emitter_, lane));
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
  const Probed probed = probes.plain();
  llvm::Value* absent = emitter.ir.CreateAnd(probes.mask(), emitter.ir.CreateNot(probed.found));
  emitter.fail_if(any_lane(emitter, absent), ErrorCode::kKeyNotFoundError, expr.span());
  return probed.values;
}

Value emit_optlookup_lanes(Emitter& emitter, ir::Expr expr) {
  Probes probes(emitter, *expr.as<ir::OptLookupLanes>(), expr.type().as<ir::StructType>()->members[1]);
  const Probed probed = probes.plain();
  Value made{expr.type(), {probed.found}};
  made.leaves.append(probed.values.leaves.begin(), probed.values.leaves.end());
  return made;
}

}  // namespace weld::codegen
