#pragma once

#include <span>
#include <vector>

#include "codegen/emitter.h"

namespace weld::codegen {

/// An iterator of a `for`, evaluated.
struct EvaluatedIterator {
  ir::IteratorKind kind;
  bool strided = false;
  bool has_unit_stride = false;  ///< known to be 1: not strided, or so written
  bool is_part = false;          ///< of a vector: the loop outside may well go on with the next one
  ir::Type element;              ///< of the vector
  ir::Span span;
  llvm::Value* end = nullptr;  ///< where it is strided; needed for the count only
  /// Data (but for kRange), then start and stride if strided, then shape and strides of kNd: what the loop's
  /// body needs.
  std::vector<Value> values;

  const Value& data() const { return values[0]; }
  llvm::Value* start() const { return values[kind == ir::IteratorKind::kRange ? 0 : 1].scalar(); }
  llvm::Value* stride() const { return values[kind == ir::IteratorKind::kRange ? 1 : 2].scalar(); }
  bool has_shape() const { return kind == ir::IteratorKind::kNd && values.size() > 3; }
  const Value& shape() const { return values[3]; }
  const Value& strides() const { return values[4]; }
};

/// Writes the code of all parts of the iterators, in program order.
std::vector<EvaluatedIterator> evaluate_iterators(Emitter& emitter, const ir::For& loop);

/// The number of iterations. Leaves with BadIteratorLength, ArrayOutOfBounds or MismatchedZipSize
/// (LANGUAGE.md §1.6). A fringe iterator becomes a plain walk over the rest.
llvm::Value* count_iterations(Emitter& emitter, std::vector<EvaluatedIterator>& iterators, ir::Span loop);

/// The element of an iteration, from 0. Its vectors, where it has some, are checked.
Value iterator_element(Emitter& emitter, const EvaluatedIterator& iterator, llvm::Value* index);

/// Binds the parameters of a loop's function for one iteration: the builder, as a state of the loop, the
/// iteration number and the element.
void bind_iteration(Emitter& emitter, const ir::Lambda& function, const Value& builder,
                    std::span<const EvaluatedIterator> iterators, llvm::Value* index);

/// first, first + step, …: simd[i64,n].
llvm::Value* counting_lanes(Emitter& emitter, llvm::Value* first, llvm::Value* step, std::uint32_t count);

/// Binds the parameters of a loop's lanes function for the iterations from `first` on: the builder, as a
/// state of the loop, the iteration numbers, the elements, each leaf of which is read where it is first used,
/// and the mask of lanes that have an iteration, if the function takes one. `active` is that mask, without
/// which nothing is read; null: all.
void bind_lanes(Emitter& emitter, const ir::Lambda& function, const Value& builder,
                std::span<const EvaluatedIterator> iterators, llvm::Value* first, llvm::Value* active);

}  // namespace weld::codegen
