#include "tests/differential/support/c_values.h"

#include <cstring>
#include <stdexcept>

#include "runtime/abi.h"

namespace weld::differential {

using ir::Value;
using runtime::TypeLayout;

CArguments::CArguments(std::span<const ir::Type> types, const TypeLayout& layout,
                       std::span<const Value> values) {
  root_ = allocate(layout.size_bytes, layout.align_bytes);
  for (std::size_t i = 0; i < types.size(); ++i) {
    write(types[i], *layout.members[i].layout, values[i], root_ + layout.members[i].offset);
  }
  for (Area& area : areas_) area.written.assign(area.bytes.get(), area.bytes.get() + area.size_bytes);
}

bool CArguments::unchanged() const {
  for (const Area& area : areas_) {
    if (area.size_bytes > 0 && std::memcmp(area.bytes.get(), area.written.data(), area.written.size()) != 0)
      return false;
  }
  return true;
}

// At an odd multiple of the alignment.
std::byte* CArguments::allocate(std::int64_t bytes, std::int64_t align_bytes) {
  const std::int64_t size = bytes + 2 * align_bytes;
  areas_.push_back({std::make_unique<std::byte[]>(static_cast<std::size_t>(size)), size, {}});
  auto address = reinterpret_cast<std::uintptr_t>(areas_.back().bytes.get());
  const auto align = static_cast<std::uintptr_t>(align_bytes);
  address = (address + align - 1) / align * align;
  if (address / align % 2 == 0) address += align;
  return reinterpret_cast<std::byte*>(address);
}

void CArguments::write(ir::Type type, const TypeLayout& layout, const Value& value, std::byte* address) {
  if (value.is_scalar()) {
    const std::uint64_t bits = value.scalar().bits;
    std::memcpy(address, &bits, static_cast<std::size_t>(layout.size_bytes));
  } else if (value.is_simd()) {
    const auto size = static_cast<std::size_t>(ir::size_bytes(layout.scalar));
    for (std::size_t i = 0; i < value.lanes().size(); ++i) {
      std::memcpy(address + i * size, &value.lanes()[i].bits, size);
    }
  } else if (const auto* structure = type.as<ir::StructType>()) {
    for (std::size_t i = 0; i < structure->members.size(); ++i) {
      write(structure->members[i], *layout.members[i].layout, value.members()[i],
            address + layout.members[i].offset);
    }
  } else if (const auto* vec = type.as<ir::VecType>()) {
    const ir::VectorValue& vector = value.vector();
    const TypeLayout& element = *layout.element;
    runtime::VecView view{nullptr, vector.length};
    if (vector.length > 0) {
      view.data = allocate(vector.length * element.size_bytes, element.align_bytes);
      for (std::int64_t i = 0; i < vector.length; ++i) {
        write(vec->element, element, vector[i], view.data + i * element.size_bytes);
      }
    }
    std::memcpy(address, &view, sizeof view);
  } else {
    throw std::runtime_error("arguments of type " + ir::to_string(type) + " cannot be written");
  }
}

Value read_c_value(ir::Type type, const TypeLayout& layout, const std::byte* address) {
  const auto scalar_at = [](ir::ScalarKind kind, const std::byte* from) {
    ir::ScalarValue value{kind, 0};
    std::memcpy(&value.bits, from, static_cast<std::size_t>(ir::size_bytes(kind)));
    return value;
  };
  if (const auto* scalar = type.as<ir::ScalarType>()) return scalar_at(scalar->kind, address);
  if (const auto* simd = type.as<ir::SimdType>()) {
    std::vector<ir::ScalarValue> lanes;
    for (std::uint32_t i = 0; i < simd->lanes; ++i) {
      lanes.push_back(
          scalar_at(simd->kind, address + i * static_cast<std::uint32_t>(ir::size_bytes(simd->kind))));
    }
    return Value::simd(std::move(lanes));
  }
  if (const auto* structure = type.as<ir::StructType>()) {
    std::vector<Value> members;
    for (std::size_t i = 0; i < structure->members.size(); ++i) {
      members.push_back(
          read_c_value(structure->members[i], *layout.members[i].layout, address + layout.members[i].offset));
    }
    return Value::structure(std::move(members));
  }
  if (const auto* vec = type.as<ir::VecType>()) {
    runtime::VecView view;
    std::memcpy(&view, address, sizeof view);
    auto storage = std::make_shared<ir::VectorStorage>(vec->element, nullptr);
    for (std::int64_t i = 0; i < view.length; ++i) {
      storage->push(read_c_value(vec->element, *layout.element, view.data + i * layout.element->size_bytes));
    }
    return ir::VectorValue{storage, 0, view.length};
  }
  const auto* dict_type = type.as<ir::DictType>();
  if (!dict_type) throw std::runtime_error("results of type " + ir::to_string(type) + " cannot be read");
  const runtime::Dict* dict = nullptr;
  std::memcpy(&dict, address, sizeof dict);
  std::vector<std::pair<Value, Value>> entries;
  for (std::int64_t i = 0; dict && i < dict->num_entries; ++i) {
    const std::byte* entry = dict->entries + i * dict->entry_bytes;
    const auto& members = layout.element->members;
    entries.emplace_back(read_c_value(dict_type->key, *members[0].layout, entry + members[0].offset),
                         read_c_value(dict_type->value, *members[1].layout, entry + members[1].offset));
  }
  const Value value = Value::dict(entries);
  if (value.dict().entries().size() != entries.size())
    throw std::runtime_error("a dictionary holds one key twice");
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (!ir::same_bits(entries[i].first, value.dict().entries()[i].key)) {
      throw std::runtime_error("a dictionary holds a key that is not canonical");
    }
  }
  return value;
}

}  // namespace weld::differential
