#include "codegen/loop_iterators.h"

#include <llvm/IR/Intrinsics.h>

#include "codegen/lane_memory.h"

namespace weld::codegen {
namespace {

bool is_one(ir::Expr expr) {
  const auto* literal = expr.as<ir::Literal>();
  return literal && literal->value.bits == 1;
}

// Iterations from start, exclusive of end, by stride.
llvm::Value* strided_count(Emitter& emitter, const EvaluatedIterator& it) {
  auto& ir = emitter.ir;
  llvm::Value* difference = ir.CreateBinaryIntrinsic(llvm::Intrinsic::ssub_with_overflow, it.end, it.start());
  llvm::Value* distance = ir.CreateExtractValue(difference, 0);
  llvm::Value* bad =
      ir.CreateOr(ir.CreateICmpSLE(it.stride(), emitter.i64(0)),
                  ir.CreateOr(ir.CreateICmpSLT(it.end, it.start()), ir.CreateExtractValue(difference, 1)));
  emitter.fail_if(bad, ErrorCode::kBadIteratorLength, it.span);
  // ceil(distance / stride), without the overflow of adding stride - 1.
  llvm::Value* whole = ir.CreateUDiv(distance, it.stride());
  llvm::Value* has_rest = ir.CreateICmpNE(ir.CreateMul(whole, it.stride()), distance);
  return ir.CreateAdd(whole, ir.CreateZExt(has_rest, ir.getInt64Ty()));
}

llvm::Value* checked_walk(Emitter& emitter, const EvaluatedIterator& it) {
  const Value& shape = it.shape();
  const Value& strides = it.strides();
  emitter.check(
      emitter.call("weld_rt_check_nditer", {it.start(), it.end, it.stride(), shape.leaves[0], shape.leaves[1],
                                            strides.leaves[0], strides.leaves[1], it.data().leaves[1]}),
      it.span);
  return emitter.ir.CreateSub(it.end, it.start());
}

llvm::Value* iterations_of(Emitter& emitter, EvaluatedIterator& it) {
  auto& ir = emitter.ir;
  if (it.kind == ir::IteratorKind::kRange) return strided_count(emitter, it);
  llvm::Value* length = it.data().leaves[1];
  if (it.strided) {
    if (it.has_shape()) return checked_walk(emitter, it);
    if (it.kind != ir::IteratorKind::kScalar) {
      emitter.fail_if(ir.CreateICmpNE(it.stride(), emitter.i64(1)), ErrorCode::kBadIteratorLength, it.span);
    }
    llvm::Value* count = strided_count(emitter, it);
    llvm::Value* outside =
        ir.CreateOr(ir.CreateICmpSLT(it.start(), emitter.i64(0)), ir.CreateICmpSGT(it.end, length));
    emitter.fail_if(outside, ErrorCode::kArrayOutOfBounds, it.span);
    length = count;
  }
  if (it.kind == ir::IteratorKind::kSimd) return ir.CreateAShr(length, 2);
  if (it.kind != ir::IteratorKind::kFringe) return length;
  // The rest after the whole groups of four: a plain walk from there on.
  llvm::Value* rest = ir.CreateAnd(length, emitter.i64(3));
  llvm::Value* first = ir.CreateSub(length, rest);
  if (it.strided) {
    it.values[1].leaves[0] = ir.CreateAdd(it.start(), first);
  } else {
    const std::int64_t bytes = emitter.flat(it.element).size_bytes;
    it.values[0].leaves[0] = emitter.element_address(it.data().leaves[0], first, bytes);
  }
  return rest;
}

}  // namespace

std::vector<EvaluatedIterator> evaluate_iterators(Emitter& emitter, const ir::For& loop) {
  std::vector<EvaluatedIterator> evaluated;
  for (const ir::Iterator& it : loop.iterators) {
    EvaluatedIterator& made = evaluated.emplace_back();
    made.kind = it.kind;
    made.strided = static_cast<bool>(it.start);
    made.has_unit_stride = !it.start || is_one(it.stride);
    made.span = it.data ? it.data.span() : it.start.span();
    if (it.data) {
      made.element = it.data.type().as<ir::VecType>()->element;
      made.values.push_back(emitter.emit(it.data));
      made.is_part = it.start || emitter.is_part(made.data().leaves[0]);
    }
    if (it.start) {
      made.values.push_back(emitter.emit(it.start));
      made.end = emitter.emit_scalar(it.end);
      made.values.push_back(emitter.emit(it.stride));
    }
    if (it.shape) {
      made.values.push_back(emitter.emit(it.shape));
      made.values.push_back(emitter.emit(it.strides));
    }
  }
  return evaluated;
}

llvm::Value* count_iterations(Emitter& emitter, std::vector<EvaluatedIterator>& iterators, ir::Span loop) {
  std::vector<llvm::Value*> counts;
  for (EvaluatedIterator& it : iterators) counts.push_back(iterations_of(emitter, it));
  std::vector<llvm::Value*> differ;
  for (std::size_t i = 1; i < counts.size(); ++i)
    differ.push_back(emitter.ir.CreateICmpNE(counts[i], counts[0]));
  emitter.fail_if_any(differ, ErrorCode::kMismatchedZipSize, loop);
  return counts.front();
}

Value iterator_element(Emitter& emitter, const EvaluatedIterator& it, llvm::Value* index) {
  auto& ir = emitter.ir;
  if (it.kind == ir::IteratorKind::kRange) {
    llvm::Value* value = ir.CreateAdd(it.start(), ir.CreateMul(index, it.stride()));
    return {ir::Type::scalar(ir::ScalarKind::kI64), {value}};
  }
  const std::int64_t bytes = emitter.flat(it.element).size_bytes;
  llvm::Value* data = it.data().leaves[0];
  if (it.kind == ir::IteratorKind::kSimd) {
    const ir::Type lanes = emitter.module.simd_type(ir::element_kind(it.element));
    llvm::Value* group = ir.CreateShl(index, 2);
    if (it.strided) group = ir.CreateAdd(it.start(), group);
    return emitter.load(lanes, emitter.element_address(data, group, bytes));
  }
  llvm::Value* position = index;
  if (it.has_shape()) {
    position = emitter.call("weld_bc_nditer_offset", {index, it.start(), it.shape().leaves[0],
                                                      it.strides().leaves[0], it.shape().leaves[1]});
  } else if (it.strided) {
    position = ir.CreateAdd(it.start(), ir.CreateMul(index, it.stride()));
  }
  return emitter.load_element(it.element, emitter.element_address(data, position, bytes), it.span);
}

void bind_iteration(Emitter& emitter, const ir::Lambda& function, const Value& builder,
                    std::span<const EvaluatedIterator> iterators, llvm::Value* index) {
  std::vector<Value> elements;
  for (const EvaluatedIterator& it : iterators) elements.push_back(iterator_element(emitter, it, index));
  emitter.bind(function.parameters[0].symbol, builder);
  emitter.mark_loop_state(function.parameters[0].symbol);
  emitter.bind(function.parameters[1].symbol, {ir::Type::scalar(ir::ScalarKind::kI64), {index}});
  emitter.bind(function.parameters[2].symbol, elements.size() == 1
                                                  ? elements.front()
                                                  : emitter.structure(function.parameters[2].type, elements));
}

llvm::Value* counting_lanes(Emitter& emitter, llvm::Value* first, llvm::Value* step, std::uint32_t count) {
  auto& ir = emitter.ir;
  llvm::SmallVector<llvm::Constant*, 64> numbers;
  for (std::uint32_t lane = 0; lane < count; ++lane) numbers.push_back(emitter.i64(lane));
  llvm::Value* steps = llvm::ConstantVector::get(numbers);
  const auto* constant = llvm::dyn_cast<llvm::ConstantInt>(step);
  const bool counts = constant && constant->isOne();
  if (!counts) steps = ir.CreateMul(steps, ir.CreateVectorSplat(count, step));
  llvm::Value* lanes = ir.CreateAdd(ir.CreateVectorSplat(count, first), steps);
  if (counts) emitter.note_counting(lanes, first);
  return lanes;
}

namespace {

// A leaf of the elements of an iterator.
struct ElementLeaf {
  const EvaluatedIterator* iterator;
  Leaf leaf;
};

// The leaves that have lanes, in the order of lanes_type's.
void collect_lane_leaves(Emitter& emitter, const EvaluatedIterator& it, ir::Type type, std::int64_t offset,
                         std::vector<ElementLeaf>& leaves) {
  const FlatType& flat = emitter.flat(type);
  if (type.as<ir::ScalarType>()) {
    Leaf leaf = flat.leaves.front();
    leaf.offset = offset;
    leaves.push_back({&it, leaf});
  }
  const auto* structure = type.as<ir::StructType>();
  if (!structure) return;
  std::int64_t end = 0;
  for (ir::Type member : structure->members) {
    const FlatType& part = emitter.flat(member);
    end = (end + part.align_bytes - 1) / part.align_bytes * part.align_bytes;
    collect_lane_leaves(emitter, it, member, offset + end, leaves);
    end += part.size_bytes;
  }
}

// The places of the elements of an nditer, one by one.
llvm::Value* nd_places(Emitter& emitter, const EvaluatedIterator& it, llvm::Value* first,
                       std::uint32_t count) {
  auto& ir = emitter.ir;
  llvm::Value* places = llvm::PoisonValue::get(llvm::FixedVectorType::get(ir.getInt64Ty(), count));
  for (std::uint32_t lane = 0; lane < count; ++lane) {
    llvm::Value* place = emitter.call(
        "weld_bc_nditer_offset", {ir.CreateNSWAdd(first, emitter.i64(lane)), it.start(), it.shape().leaves[0],
                                  it.strides().leaves[0], it.shape().leaves[1]});
    places = ir.CreateInsertElement(places, place, lane);
  }
  return places;
}

// Asks for what the next groups read. The processor's own prefetching does not keep up with groups of
// several wide vectors: sums of two streams take 1.35 times as long without it, at any number of threads. A
// KiB ahead was best of 512 bytes to 8 KiB.
void prefetch_ahead(Emitter& emitter, llvm::Value* group, std::int64_t group_bytes) {
  constexpr std::int64_t kBytesAhead = 1024;
  constexpr std::int64_t kLineBytes = 64;
  auto& ir = emitter.ir;
  for (std::int64_t line = 0; line < group_bytes; line += kLineBytes) {
    llvm::Value* address =
        ir.CreateGEP(ir.getInt8Ty(), group, emitter.i64(kBytesAhead + line));  // may be past the end
    ir.CreateIntrinsic(llvm::Intrinsic::prefetch, {address->getType()},
                       {address, ir.getInt32(0), ir.getInt32(3), ir.getInt32(1)});
  }
}

llvm::Value* load_element_lanes(Emitter& emitter, const ElementLeaf& wanted, llvm::Value* first,
                                std::uint32_t count, llvm::Value* active) {
  auto& ir = emitter.ir;
  const EvaluatedIterator& it = *wanted.iterator;
  if (it.kind == ir::IteratorKind::kRange) {
    llvm::Value* step = it.has_unit_stride ? emitter.i64(1) : it.stride();
    llvm::Value* start = ir.CreateAdd(it.start(), ir.CreateMul(first, step));
    return counting_lanes(emitter, start, step, count);
  }
  const FlatType& element = emitter.flat(it.element);
  llvm::Value* data = it.data().leaves[0];
  if (it.has_shape())
    return gather_lanes(emitter, element, wanted.leaf, data, nd_places(emitter, it, first, count), active);
  const auto contiguous = [&](llvm::Value* place) {
    llvm::Value* group = emitter.element_address(data, place, element.size_bytes);
    const bool is_first = wanted.leaf.offset == 0;
    if (is_first && (it.is_part || (!active && emitter.loop_depth() == 1)))
      prefetch_ahead(emitter, group, element.size_bytes * count);
    return load_lanes(emitter, element, wanted.leaf, group, count, active);
  };
  if (!it.strided) return contiguous(first);
  if (it.has_unit_stride) return contiguous(ir.CreateAdd(it.start(), first));
  const Value value = emitter.branch(
      ir.CreateICmpEQ(it.stride(), emitter.i64(1)),
      [&] { return Value{{}, {contiguous(ir.CreateAdd(it.start(), first))}}; },
      [&] {
        llvm::Value* start = ir.CreateAdd(it.start(), ir.CreateMul(first, it.stride()));
        llvm::Value* places = counting_lanes(emitter, start, it.stride(), count);
        return Value{{}, {gather_lanes(emitter, element, wanted.leaf, data, places, active)}};
      });
  return value.scalar();
}

}  // namespace

void bind_lanes(Emitter& emitter, const ir::Lambda& function, const Value& builder,
                std::span<const EvaluatedIterator> iterators, llvm::Value* first, llvm::Value* active) {
  const auto& parameters = function.parameters;
  const std::uint32_t count = parameters[1].type.as<ir::SimdType>()->lanes;
  emitter.bind(parameters[0].symbol, builder);
  emitter.mark_loop_state(parameters[0].symbol);
  emitter.bind_lazily(parameters[1].symbol, parameters[1].type, [&emitter, first, count](std::size_t) {
    return counting_lanes(emitter, first, emitter.i64(1), count);
  });
  std::vector<ElementLeaf> leaves;
  for (const EvaluatedIterator& it : iterators) {
    if (it.kind == ir::IteratorKind::kSimd) continue;  // its elements have no lanes
    const ir::Type type =
        it.kind == ir::IteratorKind::kRange ? ir::Type::scalar(ir::ScalarKind::kI64) : it.element;
    collect_lane_leaves(emitter, it, type, 0, leaves);
  }
  emitter.bind_lazily(parameters[2].symbol, parameters[2].type,
                      [&emitter, leaves = std::move(leaves), first, count, active](std::size_t leaf) {
                        return load_element_lanes(emitter, leaves[leaf], first, count, active);
                      });
  if (parameters.size() < 4) return;
  llvm::Value* all = emitter.ir.CreateVectorSplat(count, emitter.ir.getTrue());
  emitter.bind(parameters[3].symbol, {parameters[3].type, {active ? active : all}});
}

}  // namespace weld::codegen
