#pragma once

#include "codegen/emitter.h"
#include "runtime/dict_parts.h"

namespace weld::codegen {

/// The states of a loop's partials (runtime/morsel_loop.h): builder `i` of `count` is at `first + i *
/// stride_bytes`.
struct PartialArray {
  llvm::Value* first;
  std::int64_t stride_bytes;
  llvm::Value* count;
};

/// What generated code does with one type of builder. A builder is a commutative monoid (the appender: an
/// ordered one): `create` makes it empty, `merge` adds a value, `combine` adds other states in order,
/// `result` ends it.
///
/// All functions write code at the emitter's place and leave on errors. States are Values, passed on: a state
/// that was given to a function must not be used again.
class BuilderOps {
 public:
  virtual ~BuilderOps() = default;

  /// init. `argument` is null, or the evaluated argument of the NewBuilder.
  virtual Value create(Emitter& emitter, ir::Type type, const Value* argument, ir::Span span) const = 0;
  /// Adds one value of the merge type (ir/typing.h).
  virtual Value merge(Emitter& emitter, const Value& builder, const Value& value, ir::Span span) const = 0;
  /// Adds the lanes of a value of lanes_type(merge type, n) (ir/typing.h) where `mask` (simd[bool]) is true;
  /// null: all. In a lanes function (ir/nodes.h: For), where a merger has vectors as leaves; elsewhere n is 4
  /// and only appenders and mergers take lanes.
  virtual Value merge_lanes(Emitter& emitter, const Value& builder, const Value& lanes, llvm::Value* mask,
                            ir::Span span) const;
  /// A state for a part of a loop over a builder in the state `outer`, to be combined into it.
  virtual Value create_partial(Emitter& emitter, const Value& outer, ir::Span span) const = 0;
  /// Adds partial states, in their order.
  virtual Value combine(Emitter& emitter, const Value& into, const PartialArray& partials,
                        ir::Span span) const = 0;
  virtual Value result(Emitter& emitter, const Value& builder, ir::Type type, ir::Span span) const = 0;
};

const BuilderOps& builder_ops(ir::Type builder);

// One object each, defined in the file of the builder.
extern const BuilderOps& appender_ops;
extern const BuilderOps& merger_ops;
extern const BuilderOps& dictmerger_ops;
extern const BuilderOps& groupmerger_ops;
extern const BuilderOps& vecmerger_ops;

/// A partial state of a dictmerger that goes about it in one way (runtime/dict_parts.h).
Value create_dict_part(Emitter& emitter, const Value& outer, runtime::DictPartKind kind, ir::Span span);
/// BuilderOps::combine for a dictmerger whose dictionary is for that use.
void combine_dict_parts(Emitter& emitter, const Value& into, const PartialArray& parts, const DictUse& use,
                        ir::Span span);

/// Merges a value of the merge type, or lanes of it.
Value merge_any(Emitter& emitter, const Value& builder, const Value& value, ir::Span span);
/// Merges where the mask (bool, or simd[bool] for lanes) is true.
Value merge_masked(Emitter& emitter, const Value& builder, const Value& value, llvm::Value* mask,
                   ir::Span span);

/// Takes the builder, or struct of builders, of a lanes function through `add` for each lane where the mask
/// is true (null: all `count`), in order. In there the builder is as a scalar iteration has it, of that lane.
Value merge_each_lane(Emitter& emitter, const Value& builder, llvm::Value* mask, std::uint32_t count,
                      const std::function<Value(const Value& builder, llvm::Value* lane)>& add);

/// The sums of a vecmerger of few places, kept as vectors while a part of a loop runs: of each scalar of each
/// place as many as a register holds, which are folded when the part ends.
struct PlaceVectors {
  llvm::Value* used;  ///< a bool: the places are few, and the part is long enough
  llvm::Value* data;
};
/// Whether the vecmerger's sums may be added up in any order, and are few.
bool may_have_place_vectors(Emitter& emitter, ir::Type vecmerger);
PlaceVectors open_place_vectors(Emitter& emitter, const Value& builder, llvm::Value* num_iterations);
/// Adds them to what the builder holds.
void close_place_vectors(Emitter& emitter, const Value& builder, const PlaceVectors& vectors);

/// The records of a part of a loop (runtime/abi.h: MergeRecorder), which has room for them.
struct MergeRecords {
  llvm::Value* data;
  llvm::AllocaInst* count;
};
enum class Applier : std::uint8_t { kAlone, kAtomically };
/// A function for vecmergers of that type (runtime/abi.h: VecMergerLoop::apply, apply_atomically).
llvm::Function* record_applier(ModuleEmitter& module, ir::Type vecmerger, Applier applier);
/// Whether threads may merge into the same vector at a time: scalars of at most 8 bytes whose order of merges
/// cannot be seen.
bool may_merge_atomically(Emitter& emitter, ir::Type vecmerger);

/// Writes a loop over the partial states and threads `into` through `add(into, partial)`.
Value combine_each(Emitter& emitter, const Value& into, const PartialArray& partials,
                   const std::function<Value(const Value& into, const Value& partial)>& add);

/// The same for builders that are one pointer, through a function (worker, into, from) that `write` fills,
/// one for a type.
Value combine_tables(Emitter& emitter, const Value& into, const PartialArray& partials,
                     void (*write)(ModuleEmitter& module, llvm::Function* function, ir::Type type),
                     ir::Span span);

/// The appender with room for `count` more elements.
Value reserve_appender(Emitter& emitter, const Value& builder, llvm::Value* count, ir::Span span);

/// The capacity of an appender whose loop has made room for all merges: no merge has to check it.
enum class Reserved : std::uint8_t {
  kExactly,
  kLanesMore,  ///< and for as many elements more as one merge has lanes
};
llvm::ConstantInt* reserved_capacity(Emitter& emitter, Reserved reserved);
bool has_reserved(Emitter& emitter, const Value& appender);

/// How a groupmerger's rows {K, V} are written down (runtime/abi.h: GroupLoop).
struct GroupRowLayout {
  std::int64_t row_bytes;
  std::int64_t value_offset;
  llvm::Function* index;
};
GroupRowLayout group_row_layout(Emitter& emitter, ir::Type groupmerger);

/// Folds the lanes of a vector by halves; their number is a power of two.
llvm::Value* fold_halves(Emitter& emitter, ir::MergeOp op, ir::ScalarKind kind, llvm::Value* lanes);
/// Folds the lanes of a simd value, of any number of them (ir/reduction_order.h: fold_simd).
llvm::Value* fold_simd(Emitter& emitter, ir::MergeOp op, ir::ScalarKind kind, llvm::Value* lanes);

}  // namespace weld::codegen
