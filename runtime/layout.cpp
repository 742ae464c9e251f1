#include "runtime/layout.h"

#include <algorithm>

#include "ir/error.h"
#include "runtime/abi.h"

namespace weld::runtime {
namespace {

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

TypeLayout pointer_layout(LayoutKind kind, const TypeLayout& entry) {
  TypeLayout layout{.kind = kind};
  layout.contains_pointer = true;
  layout.size_bytes = layout.align_bytes = sizeof(void*);
  layout.element = &entry;
  layout.num_dicts = 1 + entry.num_dicts;
  return layout;
}

}  // namespace

const TypeLayout& Layouts::structure(std::span<const TypeLayout* const> members) {
  TypeLayout layout{.kind = LayoutKind::kStruct};
  for (const TypeLayout* member : members) {
    const std::int64_t offset = round_up(layout.size_bytes, member->align_bytes);
    layout.members.push_back({offset, member});
    layout.size_bytes = offset + member->size_bytes;
    layout.align_bytes = std::max(layout.align_bytes, member->align_bytes);
    layout.contains_pointer |= member->contains_pointer;
    layout.contains_builder |= member->contains_builder;
    layout.min_serialized_bytes += member->min_serialized_bytes;
    layout.num_dicts += member->num_dicts;
  }
  layout.size_bytes = round_up(layout.size_bytes, layout.align_bytes);
  return add(std::move(layout));
}

const TypeLayout& Layouts::vector_of(const TypeLayout& element) {
  TypeLayout layout{.kind = LayoutKind::kVec};
  layout.contains_pointer = true;
  layout.size_bytes = sizeof(VecView);
  layout.align_bytes = alignof(VecView);
  layout.element = &element;
  layout.min_serialized_bytes = 8;
  layout.num_dicts = element.num_dicts;
  return add(std::move(layout));
}

TypeLayout Layouts::make(ir::Type type) {
  if (const auto* scalar = type.as<ir::ScalarType>()) {
    TypeLayout layout{.kind = LayoutKind::kScalar, .scalar = scalar->kind};
    layout.size_bytes = layout.align_bytes = layout.min_serialized_bytes = ir::size_bytes(scalar->kind);
    return layout;
  }
  if (const auto* simd = type.as<ir::SimdType>()) {
    TypeLayout layout{.kind = LayoutKind::kSimd, .scalar = simd->kind};
    layout.size_bytes = ir::size_bytes(simd->kind) * static_cast<std::int64_t>(simd->lanes);
    layout.align_bytes = std::min<std::int64_t>(layout.size_bytes, 64);
    return layout;
  }
  if (const auto* vec = type.as<ir::VecType>()) return vector_of(of(vec->element));
  if (const auto* dict = type.as<ir::DictType>()) {
    const TypeLayout* members[] = {&of(dict->key), &of(dict->value)};
    TypeLayout layout = pointer_layout(LayoutKind::kDict, structure(members));
    layout.min_serialized_bytes = 8;
    return layout;
  }
  if (const auto* structure_type = type.as<ir::StructType>()) {
    std::vector<const TypeLayout*> members;
    for (const ir::Type member : structure_type->members) members.push_back(&of(member));
    return structure(members);
  }

  // Builders.
  TypeLayout layout{.kind = LayoutKind::kAppender};
  if (const auto* appender = type.as<ir::AppenderType>()) {
    layout.contains_pointer = true;
    layout.size_bytes = sizeof(AppenderState);
    layout.align_bytes = alignof(AppenderState);
    layout.element = &of(appender->element);
  } else if (const auto* merger = type.as<ir::MergerType>()) {
    const TypeLayout& value = of(merger->value);
    layout.kind = LayoutKind::kMerger;
    layout.size_bytes = value.size_bytes;
    layout.align_bytes = value.align_bytes;
    layout.members = {{0, &value}};
  } else if (const auto* dict = type.as<ir::DictMergerType>()) {
    const TypeLayout* members[] = {&of(dict->key), &of(dict->value)};
    layout = pointer_layout(LayoutKind::kDictMerger, structure(members));
  } else if (const auto* group = type.as<ir::GroupMergerType>()) {
    const TypeLayout& value = of(group->value);
    const TypeLayout* members[] = {&of(group->key), &vector_of(value)};
    layout = pointer_layout(LayoutKind::kGroupMerger, structure(members));
    layout.group_value = &value;
  } else if (const auto* vec = type.as<ir::VecMergerType>()) {
    layout = vector_of(of(vec->element));
    layout.kind = LayoutKind::kVecMerger;
    layout.min_serialized_bytes = 0;
  } else {
    ir::internal_check(false, "only values and builders have a layout");
  }
  layout.contains_builder = true;
  return layout;
}

const TypeLayout& Layouts::of(ir::Type type) {
  const auto [begin, end] = by_hash_.equal_range(type.hash());
  for (auto entry = begin; entry != end; ++entry)
    if (entry->second.first == type) return *entry->second.second;
  const TypeLayout& layout = add(make(type));
  by_hash_.emplace(type.hash(), std::pair(type, &layout));
  return layout;
}

}  // namespace weld::runtime
