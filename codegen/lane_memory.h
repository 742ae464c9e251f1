#pragma once

#include <span>

#include "codegen/emitter.h"

namespace weld::codegen {

// Values of many lanes (lanes_type, ir/typing.h) in memory: as elements of vectors, and on the stack.

/// `count` lanes from `first` on.
llvm::Value* some_lanes(Emitter& emitter, llvm::Value* lanes, std::uint32_t first, std::uint32_t count);
/// Parts of equal length, one after the other; their number is a power of two.
llvm::Value* join_lanes(Emitter& emitter, llvm::ArrayRef<llvm::Value*> parts);
/// The mask as an integer: bit l is lane l.
llvm::Value* lane_bits(Emitter& emitter, llvm::Value* mask);
/// How many lanes are true.
llvm::Value* count_lanes(Emitter& emitter, llvm::Value* mask);
llvm::Value* any_lane(Emitter& emitter, llvm::Value* mask);

/// True for the first `active` of `count` lanes: `active` is at least 0, and may be more than there are.
llvm::Value* first_lanes(Emitter& emitter, std::uint32_t count, llvm::Value* active);

/// One leaf of `count` elements that follow each other, each of the flat type `element`, from `address` on;
/// those where the mask (null: all) is false are not read, and zero.
llvm::Value* load_lanes(Emitter& emitter, const FlatType& element, const Leaf& leaf, llvm::Value* address,
                        std::uint32_t count, llvm::Value* mask = nullptr);
/// One leaf of the elements at `index` (simd[i64,n] or simd[i32,n]) of a vector that begins at `data`, zero
/// where the mask is false. The active indices are inside of the vector; null: all are active.
llvm::Value* gather_lanes(Emitter& emitter, const FlatType& element, const Leaf& leaf, llvm::Value* data,
                          llvm::Value* index, llvm::Value* mask);

/// Whether store_lanes takes elements of that type.
bool has_stored_lanes(Emitter& emitter, ir::Type element);
enum class Access : std::uint8_t {
  kCached,
  kStreamed,  ///< past the caches; without a mask, and where may_stream holds
};
/// Writes lanes as elements of type `element` to `address`: those where the mask is true, one after the
/// other; null: all. May write anything to the rest of the n elements there. Returns how many count.
llvm::Value* store_lanes(Emitter& emitter, ir::Type element, const Value& lanes, llvm::Value* mask,
                         llvm::Value* address, Access access = Access::kCached);
/// Whether `count` elements that start at the address can be streamed: bool.
llvm::Value* may_stream(Emitter& emitter, ir::Type element, std::uint32_t count, llvm::Value* address);

/// Lanes on the stack as elements, to be merged into elements in memory: members of one type that lie beside
/// each other at once. For what store_lanes takes.
class LaneRows {
 public:
  LaneRows(Emitter& emitter, ir::Type element, const Value& lanes);
  void merge_into(Emitter& emitter, ir::MergeOp op, llvm::Value* lane, llvm::Value* address) const;

 private:
  ir::Type element_;
  std::int64_t bytes_;
  llvm::AllocaInst* rows_;
};

/// A value of many lanes on the stack, a lane at a time.
class SpilledLanes {
 public:
  /// Stores a value of the type lanes_type(element, n).
  SpilledLanes(Emitter& emitter, ir::Type element, const Value& lanes);
  Value lane(Emitter& emitter, llvm::Value* index) const;
  void set_lane(Emitter& emitter, llvm::Value* index, const Value& value);
  Value all(Emitter& emitter, ir::Type lanes) const;

 private:
  ir::Type element_;
  std::vector<llvm::AllocaInst*> slots_;  // by leaf
};

/// Writes a loop over the lanes where the mask is true (null: over all `count`), in their order.
void for_each_lane(Emitter& emitter, llvm::Value* mask, std::uint32_t count,
                   const std::function<void(llvm::Value* lane)>& body);

}  // namespace weld::codegen
