#include "codegen/llvm_types.h"

#include <algorithm>
#include <bit>

#include "ir/error.h"

namespace weld::codegen {
namespace {

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

void append_member(FlatType& structure, const FlatType& member) {
  structure.member_leaves.push_back(static_cast<std::uint32_t>(structure.leaves.size()));
  const std::int64_t base = round_up(structure.size_bytes, member.align_bytes);
  for (Leaf leaf : member.leaves) {
    leaf.offset += base;
    structure.leaves.push_back(leaf);
  }
  structure.size_bytes = base + member.size_bytes;
  structure.align_bytes = std::max(structure.align_bytes, member.align_bytes);
}

}  // namespace

llvm::Type* TypeMap::scalar(ir::ScalarKind kind) {
  if (kind == ir::ScalarKind::kBool) return llvm::Type::getInt1Ty(context_);
  if (kind == ir::ScalarKind::kF32) return llvm::Type::getFloatTy(context_);
  if (kind == ir::ScalarKind::kF64) return llvm::Type::getDoubleTy(context_);
  return llvm::Type::getIntNTy(context_, static_cast<unsigned>(ir::bit_width(kind)));
}

llvm::Type* TypeMap::lanes(ir::ScalarKind kind, std::uint32_t count) {
  return llvm::FixedVectorType::get(scalar(kind), count);
}

const FlatType& TypeMap::flat(ir::Type type) {
  const auto found = flat_.find(&type.record());
  if (found != flat_.end()) return found->second;
  FlatType made = flatten(type);
  return flat_.emplace(&type.record(), std::move(made)).first->second;
}

FlatType TypeMap::flatten(ir::Type type) {
  llvm::Type* pointer = llvm::PointerType::get(context_, 0);
  llvm::Type* length = llvm::Type::getInt64Ty(context_);
  const Leaf pointer_leaf{LeafKind::kPointer, {}, 1, 0, pointer};
  const auto length_leaf = [&](std::int64_t offset) {
    return Leaf{LeafKind::kLength, {}, 1, offset, length};
  };
  if (const auto* kind = type.as<ir::ScalarType>()) {
    const std::int64_t bytes = ir::size_bytes(kind->kind);
    return {{{LeafKind::kScalar, kind->kind, 1, 0, scalar(kind->kind)}}, {}, bytes, bytes};
  }
  if (const auto* simd = type.as<ir::SimdType>()) {
    const std::int64_t bytes = ir::size_bytes(simd->kind) * static_cast<std::int64_t>(simd->lanes);
    return {{{LeafKind::kSimd, simd->kind, simd->lanes, 0, lanes(simd->kind, simd->lanes)}},
            {},
            bytes,
            std::min<std::int64_t>(
                static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(bytes))), 64)};
  }
  if (type.as<ir::VecType>() || type.as<ir::VecMergerType>())
    return {{pointer_leaf, length_leaf(8)}, {}, 16, 8};
  if (type.as<ir::AppenderType>()) return {{pointer_leaf, length_leaf(8), length_leaf(16)}, {}, 24, 8};
  if (const auto* merger = type.as<ir::MergerType>()) return flat(merger->value);
  if (const auto* structure = type.as<ir::StructType>()) {
    FlatType made;
    for (ir::Type member : structure->members) append_member(made, flat(member));
    made.member_leaves.push_back(static_cast<std::uint32_t>(made.leaves.size()));
    made.size_bytes = round_up(made.size_bytes, made.align_bytes);
    return made;
  }
  ir::internal_check(!type.as<ir::FunctionType>(), "functions are inlined before code is generated");
  return {{pointer_leaf}, {}, 8, 8};  // dict, dictmerger, groupmerger
}

llvm::Type* memory_type(const Leaf& leaf) {
  const bool is_bool = leaf.kind != LeafKind::kPointer && leaf.kind != LeafKind::kLength &&
                       leaf.scalar == ir::ScalarKind::kBool;
  if (!is_bool) return leaf.type;
  llvm::Type* byte = llvm::Type::getInt8Ty(leaf.type->getContext());
  if (leaf.kind == LeafKind::kSimd) return llvm::FixedVectorType::get(byte, leaf.lanes);
  return byte;
}

std::int64_t memory_alignment(const Leaf& leaf) {
  if (leaf.kind == LeafKind::kPointer || leaf.kind == LeafKind::kLength) return 8;
  return ir::size_bytes(leaf.scalar);
}

}  // namespace weld::codegen
