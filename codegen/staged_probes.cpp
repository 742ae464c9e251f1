#include <llvm/IR/Intrinsics.h>

#include <cstddef>
#include <optional>

#include "codegen/builders/builder.h"
#include "codegen/dense_dictionaries.h"
#include "codegen/dictionaries.h"
#include "codegen/lane_memory.h"
#include "ir/typing.h"

// Lookups of many keys at once (ir::LookupLanes, ir::OptLookupLanes).

namespace weld::codegen {
namespace {

// Which lanes were found, and the lanes of their values, zero elsewhere.
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
    if (key_shape(emitter_, entry_) == 0) return look_up_hashed(annotations);
    return unpacked(emitter_.branch(
        is_dense(emitter_, dict_), [&] { return packed(look_up_dense(annotations)); },
        [&] { return packed(look_up_hashed(annotations)); }));
  }

 private:
  // Without a comparison: what has a place is found where there is an entry.
  Probed look_up_dense(ir::Annotations annotations) {
    auto& ir = emitter_.ir;
    const auto fetch = [&] { prefetch_dense(emitter_, entry_, dict_, keys_.leaves, active(), num_lanes_); };
    const ProbeStyle style = style_of(annotations);
    if (style == ProbeStyle::kStaged) fetch();
    if (style == ProbeStyle::kChosen) emitter_.when(is_large(emitter_, dict_), fetch);
    const DensePlace place = dense_place(emitter_, entry_.key, dict_, keys_.leaves);
    llvm::Value* inside = ir.CreateAnd(mask_, place.inside);
    const FlatType& slot_type = emitter_.flat(ir::Type::scalar(ir::ScalarKind::kU32));
    llvm::Value* table = emitter_.load_field(ir.getPtrTy(), dict_, offsetof(runtime::Dict, slots));
    llvm::Value* slot =
        gather_lanes(emitter_, slot_type, slot_type.leaves.front(), table, place.place, inside);
    llvm::Value* found = ir.CreateAnd(inside, ir.CreateIsNotNull(slot));
    Probed probed{found, {values_, {}}};
    if (!has_values_) return probed;
    llvm::Value* index = ir.CreateZExt(slot, place.place->getType());
    index = ir.CreateSub(index, llvm::ConstantInt::get(index->getType(), 1));
    llvm::Value* entries = emitter_.load_field(ir.getPtrTy(), dict_, offsetof(runtime::Dict, entries));
    const FlatType& entry = emitter_.flat(entry_struct(emitter_, entry_));
    for (std::size_t i = keys_.leaves.size(); i < entry.leaves.size(); ++i)
      probed.values.leaves.push_back(gather_lanes(emitter_, entry, entry.leaves[i], entries, index, found));
    return probed;
  }

  Probed look_up_hashed(ir::Annotations annotations) {
    const SpilledLanes keys(emitter_, entry_.key, keys_);
    const LaneHashes hashes(emitter_, entry_.key, dict_, keys_, keys, active());
    const ProbeStyle style = style_of(annotations);
    if (style == ProbeStyle::kStaged) fetch(hashes);
    if (style == ProbeStyle::kChosen) emitter_.when(is_large(emitter_, dict_), [&] { fetch(hashes); });
    if (emitter_.module.options().vector_bits < 512) return found_one_by_one(keys, hashes, mask_, nothing());

    // Few lanes are not worth the gathers.
    constexpr std::uint64_t kFewLanes = 4;
    llvm::Value* bits = lane_bits(emitter_, mask_);
    llvm::Value* active_lanes = emitter_.ir.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, bits);
    llvm::Value* many =
        emitter_.ir.CreateICmpUGT(active_lanes, llvm::ConstantInt::get(bits->getType(), kFewLanes));
    Value at_once = emitter_.branch(
        many, [&] { return found_at_once(hashes.all(emitter_)); },
        [&] { return with_others(nothing(), mask_); });
    llvm::Value* others = at_once.leaves.pop_back_val();
    const Probed first = unpacked(at_once);
    return unpacked(emitter_.branch(
        any_lane(emitter_, others), [&] { return packed(found_one_by_one(keys, hashes, others, first)); },
        [&] { return packed(first); }));
  }

  ProbeStyle style_of(ir::Annotations annotations) const {
    if (ir::annotated_word(annotations, "impl", "plain")) return ProbeStyle::kPlain;
    if (ir::annotated_word(annotations, "impl", "staged")) return ProbeStyle::kStaged;
    return emitter_.module.options().probes;
  }

  // Starts to read what the keys will be found in.
  void fetch(const LaneHashes& hashes) {
    for_each_lane(emitter_, active(), num_lanes_,
                  [&](llvm::Value* lane) { prefetch_slot(emitter_, dict_, hashes.lane(emitter_, lane)); });
    for_each_lane(emitter_, active(), num_lanes_, [&](llvm::Value* lane) {
      prefetch_entry(emitter_, entry_, dict_, hashes.lane(emitter_, lane));
    });
  }

  Probed nothing() {
    return {llvm::Constant::getNullValue(mask_->getType()),
            has_values_ ? emitter_.zero(values_) : Value{values_, {}}};
  }
  static Value packed(const Probed& probed) {
    Value all{{}, {probed.found}};
    all.leaves.append(probed.values.leaves.begin(), probed.values.leaves.end());
    return all;
  }
  static Value with_others(const Probed& probed, llvm::Value* others) {
    Value all = packed(probed);
    all.leaves.push_back(others);
    return all;
  }
  Probed unpacked(const Value& all) const {
    Probed probed{all.leaves.front(), {values_, {}}};
    probed.values.leaves.append(all.leaves.begin() + 1, all.leaves.end());
    return probed;
  }

  // All that the slot where probing starts tells: what is found there, and the lanes that have to look on.
  Value found_at_once(llvm::Value* hashes) {
    auto& ir = emitter_.ir;
    llvm::Type* i64 = ir.getInt64Ty();
    const auto splat = [&](llvm::Type* type, std::size_t offset) {
      return ir.CreateVectorSplat(num_lanes_, emitter_.load_field(type, dict_, offset));
    };
    llvm::Value* hash = ir.CreateZExt(hashes, llvm::FixedVectorType::get(i64, num_lanes_));
    llvm::Value* place = ir.CreateLShr(hash, splat(i64, offsetof(runtime::Dict, slot_shift)));
    place = ir.CreateAnd(place, splat(i64, offsetof(runtime::Dict, slot_mask)));
    const FlatType& slot_type = emitter_.flat(ir::Type::scalar(ir::ScalarKind::kU64));
    llvm::Value* slots = emitter_.load_field(ir.getPtrTy(), dict_, offsetof(runtime::Dict, slots));
    llvm::Value* slot = gather_lanes(emitter_, slot_type, slot_type.leaves.front(), slots, place, mask_);
    const auto constant = [&](std::uint64_t value) { return llvm::ConstantInt::get(slot->getType(), value); };

    llvm::Value* found = ir.CreateAnd(mask_, ir.CreateICmpEQ(ir.CreateLShr(slot, 32), hash));
    llvm::Value* index = ir.CreateSub(ir.CreateAnd(slot, constant(0xffffffff)), constant(1));
    llvm::Value* entries = emitter_.load_field(ir.getPtrTy(), dict_, offsetof(runtime::Dict, entries));
    const FlatType& entry = emitter_.flat(entry_struct(emitter_, entry_));
    llvm::Value* same = found;
    for (std::size_t i = 0; i < keys_.leaves.size(); ++i) {
      llvm::Value* stored = gather_lanes(emitter_, entry, entry.leaves[i], entries, index, found);
      same = ir.CreateAnd(same, equal_keys(stored, keys_.leaves[i]));
    }
    found = same;
    Probed probed{found, {values_, {}}};
    for (std::size_t i = keys_.leaves.size(); has_values_ && i < entry.leaves.size(); ++i)
      probed.values.leaves.push_back(gather_lanes(emitter_, entry, entry.leaves[i], entries, index, found));
    llvm::Value* is_occupied = ir.CreateICmpNE(slot, constant(0));
    return with_others(probed, ir.CreateAnd(is_occupied, ir.CreateAnd(mask_, ir.CreateNot(found))));
  }
  // As Emitter::keys_equal: NaN is itself.
  llvm::Value* equal_keys(llvm::Value* stored, llvm::Value* key) {
    auto& ir = emitter_.ir;
    if (!stored->getType()->isFPOrFPVectorTy()) return ir.CreateICmpEQ(stored, key);
    llvm::Value* nans = ir.CreateAnd(ir.CreateFCmpUNO(stored, stored), ir.CreateFCmpUNO(key, key));
    return ir.CreateOr(ir.CreateFCmpOEQ(stored, key), nans);
  }

  // `first` with those lanes looked up as well.
  Probed found_one_by_one(const SpilledLanes& keys, const LaneHashes& hashes, llvm::Value* lanes,
                          const Probed& first) {
    const ir::Type boolean = ir::Type::scalar(ir::ScalarKind::kBool);
    SpilledLanes found(emitter_, boolean, {boolean, {first.found}});
    std::optional<SpilledLanes> values;
    if (has_values_) values.emplace(emitter_, entry_.value, first.values);
    for_each_lane(emitter_, is_all(lanes) ? nullptr : lanes, num_lanes_, [&](llvm::Value* lane) {
      const Value key = keys.lane(emitter_, lane);
      llvm::Value* entry = find_entry(emitter_, entry_, dict_, key, hashes.lane(emitter_, lane));
      emitter_.when(emitter_.ir.CreateIsNotNull(entry), [&] {
        found.set_lane(emitter_, lane, {boolean, {emitter_.ir.getTrue()}});
        if (!values) return;
        llvm::Value* address = entry_value_address(emitter_, entry_, entry);
        values->set_lane(emitter_, lane, emitter_.load(entry_.value, address));
      });
    });
    return {found.all(emitter_, mask_type_).scalar(),
            values ? values->all(emitter_, values_) : Value{values_, {}}};
  }

  // Null: all lanes.
  llvm::Value* active() const { return is_all(mask_) ? nullptr : mask_; }
  static bool is_all(llvm::Value* mask) {
    const auto* constant = llvm::dyn_cast<llvm::Constant>(mask);
    return constant && constant->isAllOnesValue();
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
