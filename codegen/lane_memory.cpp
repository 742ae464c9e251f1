#include "codegen/lane_memory.h"

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <algorithm>
#include <bit>
#include <numeric>

#include "ir/typing.h"

namespace weld::codegen {
namespace {

using Values = llvm::SmallVector<llvm::Value*, 8>;

// More registers than these are made into rows by a loop: shuffles take LLVM long, and rarely run.
constexpr std::size_t kMaxShuffledRegisters = 16;

// Elements of a struct are read and written as words: integers as wide as its alignment, of which each leaf
// is a part.
struct Words {
  std::int64_t bytes;  // of one
  std::int64_t count;  // in an element

  static Words of(const FlatType& element) {
    return {element.align_bytes, element.size_bytes / element.align_bytes};
  }
  llvm::IntegerType* type(Emitter& emitter) const {
    return emitter.ir.getIntNTy(static_cast<unsigned>(8 * bytes));
  }
  // As many as a register of the machine holds, each in at least so many bits, but no more than there are
  // lanes.
  std::uint32_t in_register(Emitter& emitter, std::uint32_t lanes, std::int64_t bits = 0) const {
    const std::int64_t held = emitter.module.options().vector_bits / std::max(8 * bytes, bits);
    return std::min(lanes, static_cast<std::uint32_t>(held));
  }
};

std::uint32_t length_of(llvm::Value* lanes) {
  return llvm::cast<llvm::FixedVectorType>(lanes->getType())->getNumElements();
}

std::int64_t leaf_bytes(const Leaf& leaf) {
  return ir::size_bytes(leaf.scalar);
}

llvm::Type* memory_lanes(Emitter& emitter, const Leaf& leaf, std::uint32_t count) {
  const bool is_bool = leaf.scalar == ir::ScalarKind::kBool;
  return llvm::FixedVectorType::get(
      is_bool ? emitter.ir.getInt8Ty() : emitter.module.types().scalar(leaf.scalar), count);
}

// From the form in memory to that in registers, and back.
llvm::Value* from_memory(Emitter& emitter, const Leaf& leaf, llvm::Value* value) {
  if (leaf.scalar != ir::ScalarKind::kBool) return value;
  return emitter.ir.CreateICmpNE(value, llvm::Constant::getNullValue(value->getType()));
}
llvm::Value* to_memory(Emitter& emitter, const Leaf& leaf, llvm::Value* value) {
  if (leaf.scalar != ir::ScalarKind::kBool) return value;
  return emitter.ir.CreateZExt(value, memory_lanes(emitter, leaf, length_of(value)));
}

// Lane t of the result is lane picks[t] of the inputs, which are registers of equal length, counted through.
// LLVM is given shuffles of two registers at a time, each one instruction.
llvm::Value* permute(Emitter& emitter, llvm::ArrayRef<llvm::Value*> inputs, llvm::ArrayRef<int> picks) {
  const int length = static_cast<int>(picks.size());
  llvm::Value* result = nullptr;
  llvm::SmallVector<int, 64> done(picks.size(), -1);
  int source = -1;  // of the first input, while it is not shuffled
  for (int input = 0; input < static_cast<int>(inputs.size()); ++input) {
    const bool is_used = std::ranges::any_of(picks, [&](int pick) { return pick / length == input; });
    if (!is_used) continue;
    llvm::Value* value = inputs[static_cast<std::size_t>(input)];
    if (!result) {
      result = value;
      source = input;
      for (std::size_t t = 0; t < picks.size(); ++t) {
        if (picks[t] / length == input) done[t] = picks[t] % length;
      }
      continue;
    }
    for (std::size_t t = 0; t < picks.size(); ++t) {
      if (picks[t] / length == input) done[t] = length + picks[t] % length;
    }
    result = emitter.ir.CreateShuffleVector(result, value, done);
    source = -1;
    for (std::size_t t = 0; t < picks.size(); ++t) done[t] = done[t] < 0 ? -1 : static_cast<int>(t);
  }
  return source < 0 ? result : emitter.ir.CreateShuffleVector(result, done);
}

// Word `which` of each of `count` elements that follow each other.
llvm::Value* load_words(Emitter& emitter, const Words& words, std::int64_t which, llvm::Value* address,
                        std::uint32_t count) {
  const std::uint32_t length = words.in_register(emitter, count);
  auto* type = llvm::FixedVectorType::get(words.type(emitter), length);
  const auto per_part = static_cast<std::size_t>(words.count);
  Values parts;
  for (std::uint32_t part = 0; part < count / length; ++part) {
    Values inputs;
    for (std::size_t i = 0; i < per_part; ++i) {
      const std::int64_t place =
          (static_cast<std::int64_t>(part) * words.count + static_cast<std::int64_t>(i)) * length *
          words.bytes;
      inputs.push_back(emitter.ir.CreateAlignedLoad(type, emitter.offset(address, place),
                                                    llvm::Align(static_cast<std::uint64_t>(words.bytes))));
    }
    llvm::SmallVector<int, 64> picks;
    for (std::uint32_t lane = 0; lane < length; ++lane)
      picks.push_back(static_cast<int>(lane * per_part + static_cast<std::size_t>(which)));
    parts.push_back(permute(emitter, inputs, picks));
  }
  return join_lanes(emitter, parts);
}

// A leaf as it lies in the words of its elements.
llvm::Value* leaf_of_words(Emitter& emitter, const Words& words, const Leaf& leaf, llvm::Value* value) {
  auto& ir = emitter.ir;
  const std::uint32_t count = length_of(value);
  const std::int64_t shift = 8 * (leaf.offset % words.bytes);
  if (shift > 0) value = ir.CreateLShr(value, static_cast<std::uint64_t>(shift));
  auto* bits = llvm::FixedVectorType::get(ir.getIntNTy(static_cast<unsigned>(8 * leaf_bytes(leaf))), count);
  value = ir.CreateBitCast(ir.CreateTrunc(value, bits), memory_lanes(emitter, leaf, count));
  return from_memory(emitter, leaf, value);
}

// One load a lane.
llvm::Value* load_each(Emitter& emitter, const Leaf& leaf, std::uint32_t count,
                       const std::function<llvm::Value*(std::uint32_t lane)>& address) {
  auto* type = llvm::cast<llvm::FixedVectorType>(memory_lanes(emitter, leaf, count));
  llvm::Value* lanes = llvm::PoisonValue::get(type);
  for (std::uint32_t lane = 0; lane < count; ++lane) {
    llvm::Value* element =
        emitter.ir.CreateAlignedLoad(type->getElementType(), address(lane),
                                     llvm::Align(static_cast<std::uint64_t>(memory_alignment(leaf))));
    lanes = emitter.ir.CreateInsertElement(lanes, element, lane);
  }
  return lanes;
}

// The lanes of each word of elements of that type.
Values words_of(Emitter& emitter, const FlatType& element, const Value& lanes, std::uint32_t count) {
  auto& ir = emitter.ir;
  const Words words = Words::of(element);
  auto* type = llvm::FixedVectorType::get(words.type(emitter), count);
  Values made(static_cast<std::size_t>(words.count), llvm::Constant::getNullValue(type));
  for (std::size_t i = 0; i < element.leaves.size(); ++i) {
    const Leaf& leaf = element.leaves[i];
    auto* bits = llvm::FixedVectorType::get(ir.getIntNTy(static_cast<unsigned>(8 * leaf_bytes(leaf))), count);
    llvm::Value* value =
        ir.CreateZExt(ir.CreateBitCast(to_memory(emitter, leaf, lanes.leaves[i]), bits), type);
    const std::int64_t shift = 8 * (leaf.offset % words.bytes);
    if (shift > 0) value = ir.CreateShl(value, static_cast<std::uint64_t>(shift));
    llvm::Value*& word = made[static_cast<std::size_t>(leaf.offset / words.bytes)];
    word = ir.CreateOr(value, word);
  }
  return made;
}

// The elements made of one register of each word.
Values interleaved(Emitter& emitter, llvm::ArrayRef<llvm::Value*> words) {
  if (words.size() == 1) return {words.front()};
  const int length = static_cast<int>(length_of(words.front()));
  const int count = static_cast<int>(words.size());
  Values registers;
  if (count % 2 == 0 && length % 2 == 0) {  // the odd words go between the even ones: fewer shuffles in all
    Values even, odd;
    for (std::size_t i = 0; i < words.size(); i += 2) {
      even.push_back(words[i]);
      odd.push_back(words[i + 1]);
    }
    even = interleaved(emitter, even);
    odd = interleaved(emitter, odd);
    for (std::size_t i = 0; i < even.size(); ++i) {
      for (const int first : {0, length / 2}) {
        llvm::SmallVector<int, 64> picks;
        for (int t = 0; t < length; ++t) picks.push_back(t % 2 * length + first + t / 2);
        registers.push_back(emitter.ir.CreateShuffleVector(even[i], odd[i], picks));
      }
    }
    return registers;
  }
  for (int part = 0; part < count; ++part) {
    llvm::SmallVector<int, 64> picks;
    for (int t = 0; t < length; ++t) {
      const int place = part * length + t;
      picks.push_back(place % count * length + place / count);
    }
    registers.push_back(permute(emitter, words, picks));
  }
  return registers;
}

// The lanes where the mask is true, moved to the front: a register at most, of integers that are not too
// narrow. LLVM 19 has vector.compress, but makes scalar stores of it.
llvm::Value* compress(Emitter& emitter, llvm::Value* lanes, llvm::Value* mask) {
  auto& ir = emitter.ir;
  auto* type = llvm::cast<llvm::FixedVectorType>(lanes->getType());
  const int narrowest = emitter.module.options().narrowest_compress_bits;
  auto* word = ir.getIntNTy(std::max(type->getScalarSizeInBits(), static_cast<unsigned>(narrowest)));
  auto* wide = llvm::FixedVectorType::get(word, type->getNumElements());
  llvm::Value* front =
      ir.CreateIntrinsic(llvm::Intrinsic::x86_avx512_mask_compress, {wide},
                         {ir.CreateZExt(lanes, wide), llvm::Constant::getNullValue(wide), mask});
  return ir.CreateTrunc(front, type);
}

// Without an instruction that compresses: every lane is written, and the place moves past those that count.
llvm::Value* store_each(Emitter& emitter, const FlatType& element, llvm::ArrayRef<llvm::Value*> words,
                        llvm::Value* mask, llvm::Value* address) {
  auto& ir = emitter.ir;
  const Words shape = Words::of(element);
  llvm::Value* written = emitter.i64(0);
  for (std::uint32_t lane = 0; lane < length_of(mask); ++lane) {
    llvm::Value* place = emitter.element_address(address, written, element.size_bytes);
    for (std::size_t i = 0; i < words.size(); ++i) {
      ir.CreateAlignedStore(ir.CreateExtractElement(words[i], lane),
                            emitter.offset(place, static_cast<std::int64_t>(i) * shape.bytes),
                            llvm::Align(static_cast<std::uint64_t>(shape.bytes)));
    }
    written = ir.CreateNSWAdd(written, ir.CreateZExt(ir.CreateExtractElement(mask, lane), ir.getInt64Ty()));
  }
  return written;
}

}  // namespace

llvm::Value* some_lanes(Emitter& emitter, llvm::Value* lanes, std::uint32_t first, std::uint32_t count) {
  if (count == length_of(lanes)) return lanes;
  llvm::SmallVector<int, 64> picks(count);
  std::iota(picks.begin(), picks.end(), static_cast<int>(first));
  return emitter.ir.CreateShuffleVector(lanes, picks);
}

llvm::Value* join_lanes(Emitter& emitter, llvm::ArrayRef<llvm::Value*> parts) {
  Values joined(parts.begin(), parts.end());
  while (joined.size() > 1) {
    llvm::SmallVector<int, 64> all(2 * length_of(joined.front()));
    std::iota(all.begin(), all.end(), 0);
    for (std::size_t i = 0; i < joined.size() / 2; ++i)
      joined[i] = emitter.ir.CreateShuffleVector(joined[2 * i], joined[2 * i + 1], all);
    joined.resize(joined.size() / 2);
  }
  return joined.front();
}

llvm::Value* lane_bits(Emitter& emitter, llvm::Value* mask) {
  return emitter.ir.CreateBitCast(mask, emitter.ir.getIntNTy(length_of(mask)));
}

llvm::Value* count_lanes(Emitter& emitter, llvm::Value* mask) {
  auto& ir = emitter.ir;
  return ir.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop,
                                 ir.CreateZExt(lane_bits(emitter, mask), ir.getInt64Ty()));
}

llvm::Value* any_lane(Emitter& emitter, llvm::Value* mask) {
  return emitter.ir.CreateIsNotNull(lane_bits(emitter, mask));
}

llvm::Value* first_lanes(Emitter& emitter, std::uint32_t count, llvm::Value* active) {
  auto& ir = emitter.ir;
  auto* number = ir.getIntNTy(512 / count);  // all of them in a register
  llvm::SmallVector<llvm::Constant*, 64> numbers;
  for (std::uint32_t lane = 0; lane < count; ++lane) numbers.push_back(llvm::ConstantInt::get(number, lane));
  llvm::Value* limit = ir.CreateBinaryIntrinsic(llvm::Intrinsic::umin, active, emitter.i64(count));
  llvm::Value* limits = ir.CreateVectorSplat(count, ir.CreateTrunc(limit, number));
  llvm::Value* mask = ir.CreateICmpULT(llvm::ConstantVector::get(numbers), limits);
  emitter.note_first_lanes(mask, active);
  return mask;
}

llvm::Value* load_lanes(Emitter& emitter, const FlatType& element, const Leaf& leaf, llvm::Value* address,
                        std::uint32_t count, llvm::Value* mask) {
  // Past this many words, reading all of an element for the sake of one costs more than one load a lane.
  constexpr std::int64_t kMaxWords = 4;
  auto& ir = emitter.ir;
  if (leaf_bytes(leaf) == element.size_bytes) {
    llvm::Type* type = memory_lanes(emitter, leaf, count);
    const llvm::Align align(static_cast<std::uint64_t>(memory_alignment(leaf)));
    llvm::Value* value = mask ? static_cast<llvm::Value*>(ir.CreateMaskedLoad(
                                    type, address, align, mask, llvm::Constant::getNullValue(type)))
                              : ir.CreateAlignedLoad(type, address, align);
    return from_memory(emitter, leaf, value);
  }
  const Words words = Words::of(element);
  if (words.count <= kMaxWords && !mask) {
    return leaf_of_words(emitter, words, leaf,
                         load_words(emitter, words, leaf.offset / words.bytes, address, count));
  }
  llvm::SmallVector<llvm::Constant*, 64> numbers;
  for (std::uint32_t lane = 0; lane < count; ++lane) numbers.push_back(emitter.i64(lane));
  return gather_lanes(emitter, element, leaf, address, llvm::ConstantVector::get(numbers), mask);
}

namespace {

constexpr std::uint64_t kFewLanes = 4;

// Of elements that the machine does not gather, for the few lanes of a mask. TPC-H Q12 looks at 1.2 of 32 up
// in one group of seven, which took twice the time of all that comes before.
llvm::Value* gather_few(Emitter& emitter, const FlatType& element, const Leaf& leaf, llvm::Value* base,
                        llvm::Value* index, llvm::Value* mask) {
  auto& ir = emitter.ir;
  const std::uint32_t count = length_of(index);
  llvm::Type* type = memory_lanes(emitter, leaf, count);
  llvm::AllocaInst* gathered = emitter.frame(type, "gathered");
  llvm::AllocaInst* places = emitter.frame(index->getType(), "places");
  ir.CreateStore(llvm::Constant::getNullValue(type), gathered);
  ir.CreateStore(index, places);
  for_each_lane(emitter, mask, count, [&](llvm::Value* lane) {
    const auto place_bytes = static_cast<std::int64_t>(index->getType()->getScalarSizeInBits() / 8);
    llvm::Value* place =
        ir.CreateLoad(index->getType()->getScalarType(), emitter.element_address(places, lane, place_bytes));
    place = ir.CreateSExt(place, ir.getInt64Ty());
    llvm::Value* value =
        ir.CreateAlignedLoad(type->getScalarType(), emitter.element_address(base, place, element.size_bytes),
                             llvm::Align(static_cast<std::uint64_t>(memory_alignment(leaf))));
    // Not through memory: a vector could not be read before its parts are written.
    llvm::SmallVector<std::uint8_t, 64> numbers(count);
    std::iota(numbers.begin(), numbers.end(), std::uint8_t{0});
    llvm::Value* is_lane = ir.CreateICmpEQ(llvm::ConstantDataVector::get(ir.getContext(), numbers),
                                           ir.CreateVectorSplat(count, ir.CreateTrunc(lane, ir.getInt8Ty())));
    ir.CreateStore(
        ir.CreateSelect(is_lane, ir.CreateVectorSplat(count, value), ir.CreateLoad(type, gathered)),
        gathered);
  });
  return ir.CreateLoad(type, gathered);
}

// Of elements that the machine gathers. Registers that no lane of the last iterations is in are not gathered:
// an instruction that gathers nothing takes as long as one that gathers all.
llvm::Value* gather_registers(Emitter& emitter, const FlatType& element, const Leaf& leaf, llvm::Value* base,
                              llvm::Value* index, llvm::Value* mask) {
  auto& ir = emitter.ir;
  const auto gather = [&](std::uint32_t first, std::uint32_t length) {
    llvm::Type* type = memory_lanes(emitter, leaf, length);
    auto* wide = llvm::FixedVectorType::get(ir.getInt64Ty(), length);
    llvm::Value* place = ir.CreateSExt(some_lanes(emitter, index, first, length), wide);
    llvm::Type* unit = ir.getInt8Ty();
    if (element.size_bytes == 4 || element.size_bytes == 8) {
      unit = ir.getIntNTy(static_cast<unsigned>(8 * element.size_bytes));
    } else {
      place = ir.CreateNSWMul(place, ir.CreateVectorSplat(length, emitter.i64(element.size_bytes)));
    }
    return ir.CreateMaskedGather(type, ir.CreateInBoundsGEP(unit, base, place),
                                 llvm::Align(static_cast<std::uint64_t>(memory_alignment(leaf))),
                                 mask ? some_lanes(emitter, mask, first, length) : nullptr,
                                 llvm::Constant::getNullValue(type));
  };
  const std::uint32_t count = length_of(index);
  const auto held = static_cast<std::uint32_t>(emitter.module.options().vector_bits / (8 * leaf_bytes(leaf)));
  llvm::Value* active = mask ? emitter.first_lanes_of(mask) : nullptr;
  if (!active || held >= count) return gather(0, count);
  Values parts{gather(0, held)};
  for (std::uint32_t first = held; first < count; first += held) {
    const Value part = emitter.branch(
        ir.CreateICmpUGT(active, emitter.i64(first)), [&] { return Value{{}, {gather(first, held)}}; },
        [&] { return Value{{}, {llvm::Constant::getNullValue(memory_lanes(emitter, leaf, held))}}; });
    parts.push_back(part.scalar());
  }
  return join_lanes(emitter, parts);
}

}  // namespace

llvm::Value* gather_lanes(Emitter& emitter, const FlatType& element, const Leaf& leaf, llvm::Value* data,
                          llvm::Value* index, llvm::Value* mask) {
  auto& ir = emitter.ir;
  const std::uint32_t count = length_of(index);
  llvm::Value* base = emitter.offset(data, leaf.offset);
  llvm::Type* type = memory_lanes(emitter, leaf, count);
  if (leaf_bytes(leaf) >= 4) return gather_registers(emitter, element, leaf, base, index, mask);
  // The machine gathers no narrower elements.
  const auto load = [&](llvm::Value* places) {
    return load_each(emitter, leaf, count, [&](std::uint32_t lane) {
      llvm::Value* place = ir.CreateSExt(ir.CreateExtractElement(places, lane), ir.getInt64Ty());
      return emitter.element_address(base, place, element.size_bytes);
    });
  };
  if (!mask) return from_memory(emitter, leaf, load(index));
  llvm::Value* zero = llvm::Constant::getNullValue(type);
  // An inactive lane reads what the first active one does: the vector may be empty where none is.
  llvm::Value* bits = lane_bits(emitter, mask);
  const Value value = emitter.branch(
      ir.CreateICmpUGT(ir.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, bits),
                       llvm::ConstantInt::get(bits->getType(), kFewLanes)),
      [&] {
        llvm::Value* first = ir.CreateBinaryIntrinsic(llvm::Intrinsic::cttz, bits, ir.getTrue());
        llvm::Value* place = ir.CreateExtractElement(index, ir.CreateZExt(first, ir.getInt64Ty()));
        llvm::Value* safe = ir.CreateSelect(mask, index, ir.CreateVectorSplat(count, place));
        return Value{{}, {ir.CreateSelect(mask, load(safe), zero)}};
      },
      [&] { return Value{{}, {gather_few(emitter, element, leaf, base, index, mask)}}; });
  return from_memory(emitter, leaf, value.scalar());
}

bool has_stored_lanes(Emitter& emitter, ir::Type element) {
  constexpr std::int64_t kMaxWords = 8;  // more take many shuffles
  return Words::of(emitter.flat(element)).count <= kMaxWords;
}

llvm::Value* store_lanes(Emitter& emitter, ir::Type element, const Value& lanes, llvm::Value* mask,
                         llvm::Value* address, Access access) {
  auto& ir = emitter.ir;
  const FlatType& type = emitter.flat(element);
  const std::uint32_t count = mask                   ? length_of(mask)
                              : lanes.leaves.empty() ? 0
                                                     : length_of(lanes.leaves.front());
  const Words shape = Words::of(type);
  const Values words = words_of(emitter, type, lanes, count);
  if (words.empty()) return mask ? count_lanes(emitter, mask) : emitter.i64(count);
  if (mask && emitter.module.options().narrowest_compress_bits == 0)
    return store_each(emitter, type, words, mask, address);

  const std::int64_t narrowest = mask ? emitter.module.options().narrowest_compress_bits : 0;
  const std::uint32_t length = shape.in_register(emitter, count, narrowest);
  const std::int64_t register_bytes = length * shape.bytes;
  const bool streams = access == Access::kStreamed;
  const llvm::Align align(static_cast<std::uint64_t>(streams ? register_bytes : shape.bytes));
  llvm::Value* written = emitter.i64(0);
  for (std::uint32_t first = 0; first < count; first += length) {
    llvm::Value* part_mask = mask ? some_lanes(emitter, mask, first, length) : nullptr;
    Values registers;
    for (llvm::Value* word : words) {
      llvm::Value* part = some_lanes(emitter, word, first, length);
      registers.push_back(part_mask ? compress(emitter, part, part_mask) : part);
    }
    llvm::Value* place = emitter.element_address(address, written, type.size_bytes);
    registers = interleaved(emitter, registers);
    for (std::size_t i = 0; i < registers.size(); ++i) {
      const std::int64_t bytes = static_cast<std::int64_t>(i) * register_bytes;
      auto* store = ir.CreateAlignedStore(registers[i], emitter.offset(place, bytes), align);
      if (streams) {
        auto* one = llvm::ConstantAsMetadata::get(emitter.i32(1));
        store->setMetadata(llvm::LLVMContext::MD_nontemporal, llvm::MDNode::get(ir.getContext(), {one}));
      }
    }
    written = ir.CreateNSWAdd(written, part_mask ? count_lanes(emitter, part_mask) : emitter.i64(length));
  }
  return written;
}

llvm::Value* may_stream(Emitter& emitter, ir::Type element, std::uint32_t count, llvm::Value* address) {
  auto& ir = emitter.ir;
  const Words shape = Words::of(emitter.flat(element));
  const std::int64_t bytes = shape.in_register(emitter, count) * shape.bytes;
  return ir.CreateIsNull(ir.CreateAnd(ir.CreatePtrToInt(address, ir.getInt64Ty()), emitter.i64(bytes - 1)));
}

LaneRows::LaneRows(Emitter& emitter, ir::Type element, const Value& lanes) : element_(element) {
  const FlatType& type = emitter.flat(element);
  const Words shape = Words::of(type);
  const std::uint32_t count = *ir::num_lanes(lanes.type);
  Values words = words_of(emitter, type, lanes, count);
  // A row is a power of two, so that none lies in two stores: such a read would wait for both.
  while (!std::has_single_bit(words.size()))
    words.push_back(llvm::PoisonValue::get(words.front()->getType()));
  bytes_ = static_cast<std::int64_t>(words.size()) * shape.bytes;
  rows_ = emitter.frame(bytes_ * count, 64, "rows");
  const std::uint32_t length = shape.in_register(emitter, count);
  const std::int64_t register_bytes = length * shape.bytes;
  const llvm::Align align(static_cast<std::uint64_t>(register_bytes));
  const auto store_rows = [&](const Values& registers, llvm::Value* place) {
    std::int64_t next = 0;
    for (llvm::Value* made : interleaved(emitter, registers)) {
      emitter.ir.CreateAlignedStore(made, emitter.offset(place, next), align);
      next += register_bytes;
    }
  };
  const std::uint32_t num_parts = count / length;
  if (words.size() * num_parts <= kMaxShuffledRegisters) {
    for (std::uint32_t part = 0; part < num_parts; ++part) {
      Values registers;
      for (llvm::Value* word : words) registers.push_back(some_lanes(emitter, word, part * length, length));
      store_rows(registers, emitter.offset(rows_, part * length * bytes_));
    }
    return;
  }
  Values columns;  // null for what is the same in every lane
  for (llvm::Value* word : words) {
    const auto* constant = llvm::dyn_cast<llvm::Constant>(word);
    const bool is_same = constant && (llvm::isa<llvm::PoisonValue>(constant) || constant->getSplatValue());
    columns.push_back(is_same ? nullptr : emitter.frame(shape.bytes * count, 64, "column"));
    if (!is_same) emitter.ir.CreateAlignedStore(word, columns.back(), llvm::Align(64));
  }
  auto* register_type = llvm::FixedVectorType::get(shape.type(emitter), length);
  emitter.count_loop(emitter.i64(num_parts), [&](llvm::Value* part) {
    Values registers;
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (!columns[i]) {
        registers.push_back(some_lanes(emitter, words[i], 0, length));
        continue;
      }
      llvm::Value* place = emitter.element_address(columns[i], part, register_bytes);
      registers.push_back(emitter.ir.CreateAlignedLoad(register_type, place, align));
    }
    store_rows(registers, emitter.element_address(rows_, part, length * bytes_));
  });
}

void LaneRows::merge_into(Emitter& emitter, ir::MergeOp op, llvm::Value* lane, llvm::Value* address) const {
  auto& ir = emitter.ir;
  llvm::Value* row = emitter.element_address(rows_, lane, bytes_);
  const auto& leaves = emitter.flat(element_).leaves;
  for (std::size_t first = 0, next = 0; first < leaves.size(); first = next) {
    const Leaf& leaf = leaves[first];
    const std::int64_t bytes = leaf_bytes(leaf);
    for (next = first + 1; next < leaves.size(); ++next) {
      const auto distance = static_cast<std::int64_t>(next - first) * bytes;
      if (leaves[next].scalar != leaf.scalar || leaves[next].offset != leaf.offset + distance) break;
    }
    llvm::Type* type = leaf.type;
    if (next > first + 1) type = llvm::FixedVectorType::get(type, static_cast<unsigned>(next - first));
    const llvm::Align align(static_cast<std::uint64_t>(bytes));
    llvm::Value* place = emitter.offset(address, leaf.offset);
    llvm::Value* held = ir.CreateAlignedLoad(type, place, align);
    llvm::Value* added = ir.CreateAlignedLoad(type, emitter.offset(row, leaf.offset), align);
    ir.CreateAlignedStore(emitter.merge_scalars(op, leaf.scalar, held, added), place, align);
  }
}

SpilledLanes::SpilledLanes(Emitter& emitter, ir::Type element, const Value& lanes) : element_(element) {
  const FlatType& type = emitter.flat(element);
  for (std::size_t i = 0; i < type.leaves.size(); ++i) {
    llvm::Value* stored = to_memory(emitter, type.leaves[i], lanes.leaves[i]);
    llvm::AllocaInst* slot = emitter.frame(stored->getType(), "lanes");
    slot->setAlignment(llvm::Align(64));
    slots_.push_back(slot);
    emitter.ir.CreateAlignedStore(stored, slot, llvm::Align(64));
  }
}

Value SpilledLanes::lane(Emitter& emitter, llvm::Value* index) const {
  Value value{element_, {}};
  const FlatType& type = emitter.flat(element_);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    value.leaves.push_back(emitter.load_leaf(
        type.leaves[i], emitter.element_address(slots_[i], index, leaf_bytes(type.leaves[i]))));
  }
  return value;
}

void SpilledLanes::set_lane(Emitter& emitter, llvm::Value* index, const Value& value) {
  const FlatType& type = emitter.flat(element_);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    emitter.store_leaf(type.leaves[i], value.leaves[i],
                       emitter.element_address(slots_[i], index, leaf_bytes(type.leaves[i])));
  }
}

Value SpilledLanes::all(Emitter& emitter, ir::Type lanes) const {
  Value value{lanes, {}};
  const FlatType& type = emitter.flat(element_);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    llvm::Value* stored =
        emitter.ir.CreateAlignedLoad(slots_[i]->getAllocatedType(), slots_[i], llvm::Align(64));
    value.leaves.push_back(from_memory(emitter, type.leaves[i], stored));
  }
  return value;
}

void for_each_lane(Emitter& emitter, llvm::Value* mask, std::uint32_t count,
                   const std::function<void(llvm::Value*)>& body) {
  auto& ir = emitter.ir;
  if (!mask) {
    emitter.count_loop(emitter.i64(count), body);
    return;
  }
  llvm::Value* all = ir.CreateZExt(lane_bits(emitter, mask), ir.getInt64Ty());
  llvm::BasicBlock* before = ir.GetInsertBlock();
  llvm::BasicBlock* header = emitter.block("next_lane");
  llvm::BasicBlock* inside = emitter.block("lane");
  llvm::BasicBlock* after = emitter.block("after_lanes");
  ir.CreateBr(header);
  ir.SetInsertPoint(header);
  llvm::PHINode* rest = ir.CreatePHI(ir.getInt64Ty(), 2, "rest");
  rest->addIncoming(all, before);
  ir.CreateCondBr(ir.CreateIsNotNull(rest), inside, after);
  ir.SetInsertPoint(inside);
  llvm::Value* lane = ir.CreateBinaryIntrinsic(llvm::Intrinsic::cttz, rest, ir.getTrue());
  emitter.part([&] { body(lane); });
  rest->addIncoming(ir.CreateAnd(rest, ir.CreateSub(rest, emitter.i64(1))), ir.GetInsertBlock());
  ir.CreateBr(header);
  ir.SetInsertPoint(after);
}

}  // namespace weld::codegen
