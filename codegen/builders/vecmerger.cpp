#include <algorithm>
#include <cstddef>

#include "codegen/builders/builder.h"
#include "codegen/lane_memory.h"
#include "ir/reduction_order.h"
#include "ir/typing.h"

// A vecmerger's state is the vector that it updates in place, a copy of its argument.

namespace weld::codegen {
namespace {

const ir::VecMergerType& merger_type(ir::Type type) {
  return *type.as<ir::VecMergerType>();
}

constexpr std::int64_t kFewPlaces = 8;
constexpr std::int64_t kCombinedElements = 16384;  // in one morsel
constexpr std::size_t kMostVectors = 8;            // of a place

std::uint32_t lanes_in_register(Emitter& emitter, const Leaf& leaf) {
  return static_cast<std::uint32_t>(emitter.module.options().vector_bits / ir::bit_width(leaf.scalar));
}

std::int64_t vector_bytes(Emitter& emitter) {
  return emitter.module.options().vector_bits / 8;
}

// The vectors of a place, from which each leaf's is vector_bytes after the one before.
llvm::Value* place_address(Emitter& emitter, const PlaceVectors& vectors, ir::Type element,
                           llvm::Value* place) {
  const auto leaves = static_cast<std::int64_t>(emitter.flat(element).leaves.size());
  return emitter.element_address(vectors.data, place, leaves * vector_bytes(emitter));
}

class VecMergerOps final : public BuilderOps {
 public:
  Value create(Emitter& emitter, ir::Type type, const Value* argument, ir::Span span) const override {
    llvm::AllocaInst* slot = emitter.frame(type);
    const std::int64_t bytes = emitter.flat(merger_type(type).element).size_bytes;
    emitter.check(emitter.call("weld_rt_copy_vector", {emitter.worker, argument->leaves[0],
                                                       argument->leaves[1], emitter.i64(bytes), slot}),
                  span);
    return emitter.load(type, slot);
  }

  Value merge(Emitter& emitter, const Value& builder, const Value& value, ir::Span span) const override {
    const ir::Type element = merger_type(builder.type).element;
    llvm::Value* index = emitter.member(value, 0).scalar();
    emitter.fail_if(emitter.ir.CreateICmpUGE(index, builder.leaves[1]), ErrorCode::kArrayOutOfBounds, span);
    if (const MergeRecords* records = emitter.merge_records()) {
      record(emitter, *records, value);
      return builder;
    }
    llvm::Value* address =
        emitter.element_address(builder.leaves[0], index, emitter.flat(element).size_bytes);
    const Value held = emitter.load(element, address);
    emitter.store(emitter.merge_values(merger_type(builder.type).op, held, emitter.member(value, 1)),
                  address);
    return builder;
  }

  Value merge_lanes(Emitter& emitter, const Value& builder, const Value& lanes, llvm::Value* mask,
                    ir::Span span) const override {
    if (emitter.merge_records() || !has_stored_lanes(emitter, merger_type(builder.type).element))
      return BuilderOps::merge_lanes(emitter, builder, lanes, mask, span);
    llvm::Value* first = emitter.counts_from(emitter.member(lanes, 0).scalar());
    const PlaceVectors* vectors = first ? nullptr : emitter.place_vectors(builder.leaves[0]);
    if (!first) check_places(emitter, builder, lanes, mask, span);
    if (vectors) {
      return emitter.branch(
          vectors->used,
          [&] {
            merge_into_vectors(emitter, builder, *vectors, lanes, mask);
            return builder;
          },
          [&] {
            merge_scattered(emitter, builder, lanes, mask);
            return builder;
          });
    }
    if (!first) {
      merge_scattered(emitter, builder, lanes, mask);
      return builder;
    }
    auto& ir = emitter.ir;
    const std::uint32_t count = *ir::num_lanes(lanes.type);
    llvm::Value* end = ir.CreateAdd(first, emitter.i64(count));
    llvm::Value* inside =
        ir.CreateAnd(ir.CreateICmpSGE(first, emitter.i64(0)),
                     ir.CreateAnd(ir.CreateICmpSLT(first, end), ir.CreateICmpSLE(end, builder.leaves[1])));
    return emitter.branch(
        inside,
        [&] {
          merge_in_a_row(emitter, builder, emitter.member(lanes, 1), first, mask);
          return builder;
        },
        [&] {
          check_places(emitter, builder, lanes, mask, span);
          merge_scattered(emitter, builder, lanes, mask);
          return builder;
        });
  }

  // A vector of identities.
  Value create_partial(Emitter& emitter, const Value& outer, ir::Span span) const override {
    const ir::Type element = merger_type(outer.type).element;
    const std::int64_t bytes = emitter.flat(element).size_bytes;
    llvm::Value* length = outer.leaves[1];
    const Value identity = emitter.identity(merger_type(outer.type).op, element);
    llvm::Value* size = emitter.checked_bytes(length, bytes, span);
    if (std::ranges::all_of(identity.leaves, [](llvm::Value* leaf) {
          const auto* constant = llvm::dyn_cast<llvm::Constant>(leaf);
          return constant && constant->isNullValue();
        })) {
      llvm::Value* zeros = emitter.call("weld_rt_allocate_zeroed", {emitter.worker, size});
      emitter.fail_if(emitter.ir.CreateIsNull(zeros), ErrorCode::kOutOfMemory, span);
      return {outer.type, {zeros, length}};
    }
    llvm::Value* data = emitter.allocate(size, span);
    emitter.count_loop(
        length,
        [&](llvm::Value* index) { emitter.store(identity, emitter.element_address(data, index, bytes)); },
        LoopLength::kLong);
    return {outer.type, {data, length}};
  }

  // A part of the elements after the other, in parallel where they are many: of each the partials in order.
  Value combine(Emitter& emitter, const Value& into, const PartialArray& partials, ir::Span) const override {
    auto& ir = emitter.ir;
    llvm::AllocaInst* vectors = emitter.frame(sizeof(PartialVectors), alignof(PartialVectors));
    emitter.store_field(into.leaves[0], vectors, offsetof(PartialVectors, into));
    emitter.store_field(partials.first, vectors, offsetof(PartialVectors, first));
    emitter.store_field(emitter.i64(partials.stride_bytes), vectors, offsetof(PartialVectors, stride_bytes));
    emitter.store_field(partials.count, vectors, offsetof(PartialVectors, count));
    llvm::Type* pointer = ir.getPtrTy();
    llvm::Function* function = emitter.module.shared_function(
        "combine_vectors", into.type, 0, {pointer, pointer, ir.getInt64Ty(), ir.getInt64Ty(), pointer},
        nullptr, [&](llvm::Function* made) { write_combine(emitter.module, made, into.type); });
    emitter.propagate(
        emitter.call("weld_rt_for_each_morsel",
                     {emitter.worker, into.leaves[1], emitter.i64(kCombinedElements), function, vectors}));
    return into;
  }

  Value result(Emitter&, const Value& builder, ir::Type type, ir::Span) const override {
    return {type, builder.leaves};
  }

 private:
  static void record(Emitter& emitter, const MergeRecords& records, const Value& value) {
    auto& ir = emitter.ir;
    llvm::Value* count = ir.CreateLoad(ir.getInt64Ty(), records.count);
    emitter.store(value, emitter.element_address(records.data, count, emitter.flat(value.type).size_bytes));
    ir.CreateStore(ir.CreateNSWAdd(count, emitter.i64(1)), records.count);
  }

  // What combining needs to know.
  struct PartialVectors {
    std::byte* into;
    std::byte* first;
    std::int64_t stride_bytes;
    std::int64_t count;
  };

  // A function (runtime/abi.h: LoopBody) of the elements [begin, end).
  static void write_combine(ModuleEmitter& module, llvm::Function* function, ir::Type type) {
    Emitter inside(module, function);
    auto& ir = inside.ir;
    const ir::Type element = merger_type(type).element;
    const std::int64_t bytes = inside.flat(element).size_bytes;
    llvm::Value* vectors = function->getArg(1);
    llvm::Value* begin = function->getArg(2);
    llvm::Value* size = ir.CreateSub(function->getArg(3), begin);
    const auto field = [&](llvm::Type* of, std::size_t offset) {
      return inside.load_field(of, vectors, offset);
    };
    llvm::Value* into =
        inside.element_address(field(ir.getPtrTy(), offsetof(PartialVectors, into)), begin, bytes);
    llvm::Value* first = field(ir.getPtrTy(), offsetof(PartialVectors, first));
    llvm::Value* stride = field(ir.getInt64Ty(), offsetof(PartialVectors, stride_bytes));
    inside.count_loop(field(ir.getInt64Ty(), offsetof(PartialVectors, count)), [&](llvm::Value* partial) {
      llvm::Value* state = ir.CreateInBoundsGEP(ir.getInt8Ty(), first, ir.CreateMul(partial, stride));
      llvm::Value* from = inside.element_address(inside.load_field(ir.getPtrTy(), state, 0), begin, bytes);
      inside.count_loop(
          size,
          [&](llvm::Value* index) {
            llvm::Value* address = inside.element_address(into, index, bytes);
            const Value added = inside.load(element, inside.element_address(from, index, bytes));
            inside.store(inside.merge_values(merger_type(type).op, inside.load(element, address), added),
                         address);
          },
          LoopLength::kLong);
    });
    inside.finish();
  }

  static void check_places(Emitter& emitter, const Value& builder, const Value& lanes, llvm::Value* mask,
                           ir::Span span) {
    auto& ir = emitter.ir;
    llvm::Value* index = emitter.member(lanes, 0).scalar();
    llvm::Value* length = ir.CreateVectorSplat(*ir::num_lanes(lanes.type), builder.leaves[1]);
    llvm::Value* outside = ir.CreateICmpUGE(index, length);
    if (mask) outside = ir.CreateAnd(mask, outside);
    emitter.fail_if(any_lane(emitter, outside), ErrorCode::kArrayOutOfBounds, span);
  }

  // All lanes of one place after the other: their number is that of the different places.
  static void merge_into_vectors(Emitter& emitter, const Value& builder, const PlaceVectors& vectors,
                                 const Value& lanes, llvm::Value* mask) {
    auto& ir = emitter.ir;
    const ir::Type element = merger_type(builder.type).element;
    const ir::MergeOp op = merger_type(builder.type).op;
    const std::uint32_t count = *ir::num_lanes(lanes.type);
    const Value index = emitter.member(lanes, 0);
    const Value values = emitter.member(lanes, 1);
    const SpilledLanes places(emitter, ir::Type::scalar(ir::ScalarKind::kI64), index);
    llvm::Type* bits = ir.getIntNTy(count);
    llvm::Value* all = mask ? lane_bits(emitter, mask) : llvm::Constant::getAllOnesValue(bits);

    llvm::BasicBlock* before = ir.GetInsertBlock();
    llvm::BasicBlock* header = emitter.block("next_place");
    llvm::BasicBlock* inside = emitter.block("place");
    llvm::BasicBlock* after = emitter.block("after_places");
    ir.CreateBr(header);
    ir.SetInsertPoint(header);
    llvm::PHINode* rest = ir.CreatePHI(bits, 2, "rest");
    rest->addIncoming(all, before);
    ir.CreateCondBr(ir.CreateIsNotNull(rest), inside, after);

    ir.SetInsertPoint(inside);
    llvm::Value* lane = ir.CreateBinaryIntrinsic(llvm::Intrinsic::cttz, rest, ir.getTrue());
    llvm::Value* place = places.lane(emitter, ir.CreateZExt(lane, ir.getInt64Ty())).scalar();
    llvm::Value* same = ir.CreateICmpEQ(index.scalar(), ir.CreateVectorSplat(count, place));
    if (mask) same = ir.CreateAnd(same, mask);
    llvm::Value* address = place_address(emitter, vectors, element, place);
    const FlatType& type = emitter.flat(element);
    for (std::size_t i = 0; i < type.leaves.size(); ++i) {
      const std::uint32_t width = std::min(count, lanes_in_register(emitter, type.leaves[i]));
      llvm::Value* slot = emitter.offset(address, static_cast<std::int64_t>(i) * vector_bytes(emitter));
      llvm::Value* held =
          ir.CreateAlignedLoad(llvm::FixedVectorType::get(type.leaves[i].type, width), slot, llvm::Align(16));
      for (std::uint32_t first = 0; first < count; first += width) {
        llvm::Value* sum = emitter.merge_scalars(op, type.leaves[i].scalar, held,
                                                 some_lanes(emitter, values.leaves[i], first, width));
        held = ir.CreateSelect(some_lanes(emitter, same, first, width), sum, held);
      }
      ir.CreateAlignedStore(held, slot, llvm::Align(16));
    }
    rest->addIncoming(ir.CreateAnd(rest, ir.CreateNot(lane_bits(emitter, same))), ir.GetInsertBlock());
    ir.CreateBr(header);
    ir.SetInsertPoint(after);
  }

  static void merge_scattered(Emitter& emitter, const Value& builder, const Value& lanes, llvm::Value* mask) {
    const ir::Type element = merger_type(builder.type).element;
    const std::uint32_t count = *ir::num_lanes(lanes.type);
    const Value index = emitter.member(lanes, 0);
    const SpilledLanes places(emitter, ir::Type::scalar(ir::ScalarKind::kI64), index);
    const LaneRows rows(emitter, element, emitter.member(lanes, 1));
    for_each_lane(emitter, mask, count, [&](llvm::Value* lane) {
      llvm::Value* address = emitter.element_address(builder.leaves[0], places.lane(emitter, lane).scalar(),
                                                     emitter.flat(element).size_bytes);
      rows.merge_into(emitter, merger_type(builder.type).op, lane, address);
    });
  }

  // Lanes for elements that follow each other. Where the mask is false the element is written as it was.
  static void merge_in_a_row(Emitter& emitter, const Value& builder, const Value& values, llvm::Value* first,
                             llvm::Value* mask) {
    const ir::Type element = merger_type(builder.type).element;
    const FlatType& type = emitter.flat(element);
    llvm::Value* address = emitter.element_address(builder.leaves[0], first, type.size_bytes);
    const std::uint32_t count = *ir::num_lanes(values.type);
    Value merged{values.type, {}};
    for (std::size_t i = 0; i < type.leaves.size(); ++i) {
      llvm::Value* held = load_lanes(emitter, type, type.leaves[i], address, count);
      llvm::Value* sum =
          emitter.merge_scalars(merger_type(builder.type).op, type.leaves[i].scalar, held, values.leaves[i]);
      merged.leaves.push_back(mask ? emitter.ir.CreateSelect(mask, sum, held) : sum);
    }
    store_lanes(emitter, element, merged, nullptr, address);
  }
};

const VecMergerOps ops;

}  // namespace

const BuilderOps& vecmerger_ops = ops;

namespace {

// Reads, merges and writes again until no other thread has written in between.
void merge_atomically(Emitter& emitter, const ir::VecMergerType& type, llvm::Value* address,
                      const Value& value) {
  auto& ir = emitter.ir;
  constexpr auto kRelaxed = llvm::AtomicOrdering::Monotonic;
  llvm::Type* scalar = value.scalar()->getType();
  const llvm::Align alignment(static_cast<std::uint64_t>(emitter.flat(type.element).size_bytes));
  if (type.op == ir::MergeOp::kAdd && scalar->isIntegerTy()) {
    ir.CreateAtomicRMW(llvm::AtomicRMWInst::Add, address, value.scalar(), alignment, kRelaxed);
    return;
  }
  llvm::Type* bits = ir.getIntNTy(static_cast<unsigned>(8 * alignment.value()));
  llvm::LoadInst* first = ir.CreateAlignedLoad(bits, address, alignment);
  first->setAtomic(kRelaxed);
  llvm::BasicBlock* before = ir.GetInsertBlock();
  llvm::BasicBlock* attempt = emitter.block("attempt");
  llvm::BasicBlock* done = emitter.block("merged");
  ir.CreateBr(attempt);
  ir.SetInsertPoint(attempt);
  llvm::PHINode* held = ir.CreatePHI(bits, 2);
  held->addIncoming(first, before);
  const Value old{type.element, {ir.CreateBitCast(held, scalar)}};
  llvm::Value* merged = ir.CreateBitCast(emitter.merge_values(type.op, old, value).scalar(), bits);
  llvm::Value* exchanged = ir.CreateAtomicCmpXchg(address, held, merged, alignment, kRelaxed, kRelaxed);
  held->addIncoming(ir.CreateExtractValue(exchanged, 0), ir.GetInsertBlock());
  ir.CreateCondBr(ir.CreateExtractValue(exchanged, 1), done, attempt);
  ir.SetInsertPoint(done);
}

}  // namespace

llvm::Function* record_applier(ModuleEmitter& module, ir::Type vecmerger, Applier applier) {
  llvm::Type* pointer = llvm::PointerType::get(module.context(), 0);
  return module.shared_function(
      applier == Applier::kAlone ? "apply_records" : "apply_records_atomically", vecmerger, 0,
      {pointer, pointer, pointer, llvm::Type::getInt64Ty(module.context())}, nullptr,
      [&](llvm::Function* made) {
        Emitter inside(module, made);
        const ir::VecMergerType& type = merger_type(vecmerger);
        const ir::Type record = module.merge_type(vecmerger);
        const auto load_record = [&](llvm::Value* index) {
          return inside.load(record,
                             inside.element_address(made->getArg(2), index, inside.flat(record).size_bytes));
        };
        const auto address_of = [&](const Value& merged) {
          return inside.element_address(made->getArg(1), inside.member(merged, 0).scalar(),
                                        inside.flat(type.element).size_bytes);
        };
        llvm::Value* last = inside.ir.CreateSub(made->getArg(3), inside.i64(1));
        inside.count_loop(made->getArg(3), [&](llvm::Value* index) {
          const Value merged = load_record(index);
          llvm::Value* address = address_of(merged);
          // Asks for lines before merges wait for them, and atomic ones for each other.
          constexpr std::int64_t kAhead = 24;
          llvm::Value* later = inside.ir.CreateAdd(index, inside.i64(kAhead));
          llvm::Value* ahead = inside.ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, later, last);
          inside.ir.CreateIntrinsic(
              llvm::Intrinsic::prefetch, {inside.ir.getPtrTy()},
              {address_of(load_record(ahead)), inside.i32(1), inside.i32(3), inside.i32(1)});
          const Value value = inside.member(merged, 1);
          if (applier == Applier::kAtomically)
            merge_atomically(inside, type, address, value);
          else
            inside.store(inside.merge_values(type.op, inside.load(type.element, address), value), address);
        });
        inside.finish();
      });
}

bool may_merge_atomically(Emitter& emitter, ir::Type vecmerger) {
  const ir::Type element = merger_type(vecmerger).element;
  return ir::is_scalar(element) && emitter.flat(element).size_bytes <= 8 && !ir::depends_on_order(vecmerger);
}

bool may_have_place_vectors(Emitter& emitter, ir::Type vecmerger) {
  const bool any_order = !emitter.module.options().deterministic || !ir::depends_on_order(vecmerger);
  return any_order && emitter.flat(merger_type(vecmerger).element).leaves.size() <= kMostVectors;
}

PlaceVectors open_place_vectors(Emitter& emitter, const Value& builder, llvm::Value* num_iterations) {
  constexpr std::int64_t kMinIterations = 2048;  // folding takes as long as some hundred
  auto& ir = emitter.ir;
  const ir::Type element = merger_type(builder.type).element;
  const FlatType& type = emitter.flat(element);
  const auto leaves = static_cast<std::int64_t>(type.leaves.size());
  llvm::Value* few = ir.CreateICmpSLE(builder.leaves[1], emitter.i64(kFewPlaces));
  llvm::Value* is_long = ir.CreateICmpSGE(num_iterations, emitter.i64(kMinIterations));
  const PlaceVectors vectors{ir.CreateAnd(few, is_long),
                             emitter.frame(kFewPlaces * leaves * vector_bytes(emitter), 64, "place_vectors")};
  const Value identity = emitter.identity(merger_type(builder.type).op, element);
  emitter.when(vectors.used, [&] {
    emitter.count_loop(builder.leaves[1], [&](llvm::Value* place) {
      llvm::Value* address = place_address(emitter, vectors, element, place);
      for (std::size_t i = 0; i < type.leaves.size(); ++i) {
        ir.CreateAlignedStore(
            ir.CreateVectorSplat(lanes_in_register(emitter, type.leaves[i]), identity.leaves[i]),
            emitter.offset(address, static_cast<std::int64_t>(i) * vector_bytes(emitter)), llvm::Align(16));
      }
    });
  });
  return vectors;
}

void close_place_vectors(Emitter& emitter, const Value& builder, const PlaceVectors& vectors) {
  auto& ir = emitter.ir;
  const ir::Type element = merger_type(builder.type).element;
  const FlatType& type = emitter.flat(element);
  const ir::MergeOp op = merger_type(builder.type).op;
  emitter.when(vectors.used, [&] {
    emitter.count_loop(builder.leaves[1], [&](llvm::Value* place) {
      llvm::Value* from = place_address(emitter, vectors, element, place);
      Value total{element, {}};
      for (std::size_t i = 0; i < type.leaves.size(); ++i) {
        const Leaf& leaf = type.leaves[i];
        auto* lanes = llvm::FixedVectorType::get(leaf.type, lanes_in_register(emitter, leaf));
        llvm::Value* slot = emitter.offset(from, static_cast<std::int64_t>(i) * vector_bytes(emitter));
        total.leaves.push_back(
            fold_halves(emitter, op, leaf.scalar, ir.CreateAlignedLoad(lanes, slot, llvm::Align(16))));
      }
      llvm::Value* address = emitter.element_address(builder.leaves[0], place, type.size_bytes);
      emitter.store(emitter.merge_values(op, emitter.load(element, address), total), address);
    });
  });
}

}  // namespace weld::codegen
