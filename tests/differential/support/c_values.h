#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "ir/value.h"
#include "runtime/layout.h"

namespace weld::differential {

/// Arguments of a program in the C layout, in memory of their own. Every vector begins at an address that its
/// element type just allows, so that code which expects more is found out.
class CArguments {
 public:
  /// `layout` is that of the struct of all parameters.
  CArguments(std::span<const ir::Type> types, const runtime::TypeLayout& layout,
             std::span<const ir::Value> values);

  std::byte* data() { return root_; }
  /// Whether all bytes are still what they were: arguments are never written.
  bool unchanged() const;

 private:
  std::byte* allocate(std::int64_t bytes, std::int64_t align_bytes);
  void write(ir::Type type, const runtime::TypeLayout& layout, const ir::Value& value, std::byte* address);

  struct Area {
    std::unique_ptr<std::byte[]> bytes;
    std::int64_t size_bytes;
    std::vector<std::byte> written;
  };
  std::vector<Area> areas_;
  std::byte* root_ = nullptr;
};

/// A copy of what lies at `address`.
ir::Value read_c_value(ir::Type type, const runtime::TypeLayout& layout, const std::byte* address);

}  // namespace weld::differential
