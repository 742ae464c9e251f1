#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/workloads/native/strings.h"

namespace weld::bench::peers {

enum class ElementType { kI64, kF64, kString };

/// The size of an element in memory: strings are `workloads::native::String`.
inline std::int64_t element_bytes(ElementType type) {
  return type == ElementType::kString ? sizeof(workloads::native::String) : sizeof(std::int64_t);
}

/// Elements of one type at equal distances in memory, borrowed.
struct ColumnView {
  ElementType type = ElementType::kI64;
  const std::byte* first = nullptr;
  std::int64_t stride_bytes = 0;
  std::int64_t length = 0;

  template <class T>
  const T& at(std::int64_t i) const {
    return *reinterpret_cast<const T*>(first + i * stride_bytes);
  }
};

/// A table as every system is given it; its columns stand in memory without gaps.
struct PlainTable {
  struct Column {
    std::string name;
    ColumnView values;
  };
  std::string name;
  std::vector<Column> columns;

  std::int64_t num_rows() const { return columns.front().values.length; }
};

/// A column of what a peer computed.
struct ResultColumn {
  ElementType type = ElementType::kI64;
  std::vector<std::byte> elements;
  std::string text;  ///< into which strings point

  ColumnView view() const {
    const std::int64_t size = element_bytes(type);
    return {type, elements.data(), size, static_cast<std::int64_t>(elements.size()) / size};
  }
};

}  // namespace weld::bench::peers
