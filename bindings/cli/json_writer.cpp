#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>

#include "bindings/cli/commands.h"
#include "bindings/cli/json_values.h"
#include "runtime/abi.h"
#include "runtime/layout.h"

namespace weld::cli {
namespace {

using runtime::LayoutKind;
using runtime::TypeLayout;

template <class T>
T load(const std::byte* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

template <class T>
std::partial_ordering compare_scalars(T left, T right) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(left) || std::isnan(right)) return std::isnan(left) <=> std::isnan(right);
  }
  return left <=> right;
}

// The order in which keys are printed: numbers ascending with NaN last, strings and structs by their first
// difference. Recurses over the type only.
std::partial_ordering compare(const std::byte* left, const std::byte* right, const TypeLayout& layout) {
  if (layout.kind == LayoutKind::kScalar) {
    return ir::dispatch(layout.scalar, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (std::is_same_v<T, bool>) {
        return compare_scalars<int>(load<std::uint8_t>(left) != 0, load<std::uint8_t>(right) != 0);
      } else {
        return compare_scalars(load<T>(left), load<T>(right));
      }
    });
  }
  std::partial_ordering order = std::partial_ordering::equivalent;
  if (layout.kind == LayoutKind::kStruct) {
    for (const TypeLayout::Member& member : layout.members) {
      order = compare(left + member.offset, right + member.offset, *member.layout);
      if (order != 0) break;
    }
  } else if (layout.kind == LayoutKind::kVec) {
    const auto left_view = load<runtime::VecView>(left);
    const auto right_view = load<runtime::VecView>(right);
    const std::int64_t stride = layout.element->size_bytes;
    for (std::int64_t i = 0; i < std::min(left_view.length, right_view.length) && order == 0; ++i) {
      order = compare(left_view.data + i * stride, right_view.data + i * stride, *layout.element);
    }
    if (order == 0) order = left_view.length <=> right_view.length;
  }
  return order;
}

class JsonWriter {
 public:
  explicit JsonWriter(JsonStyle style) : style_(style) {}

  void write(const std::byte* data, const TypeLayout& layout) {
    switch (layout.kind) {
      case LayoutKind::kScalar:
        write_scalar(data, layout.scalar);
        return;
      case LayoutKind::kSimd:
        write_array(layout.size_bytes / ir::size_bytes(layout.scalar), [&](std::int64_t i) {
          write_scalar(data + i * ir::size_bytes(layout.scalar), layout.scalar);
        });
        return;
      case LayoutKind::kStruct:
        write_members(data, layout);
        return;
      case LayoutKind::kVec:
        write_vector(load<runtime::VecView>(data), *layout.element);
        return;
      case LayoutKind::kDict:
        write_dict(load<const runtime::Dict*>(data), *layout.element);
        return;
      default:
        throw UsageError("a builder cannot be printed");
    }
  }

  std::string take() { return std::move(text_); }

 private:
  template <class F>
  void write_array(std::int64_t count, F&& write_element) {
    text_ += '[';
    for (std::int64_t i = 0; i < count; ++i) {
      if (i > 0) text_ += ',';
      write_element(i);
    }
    text_ += ']';
  }

  void write_members(const std::byte* data, const TypeLayout& layout) {
    write_array(static_cast<std::int64_t>(layout.members.size()), [&](std::int64_t i) {
      const TypeLayout::Member& member = layout.members[static_cast<std::size_t>(i)];
      write(data + member.offset, *member.layout);
    });
  }

  void write_vector(runtime::VecView view, const TypeLayout& element) {
    const bool is_bytes = element.kind == LayoutKind::kScalar &&
                          (element.scalar == ir::ScalarKind::kI8 || element.scalar == ir::ScalarKind::kU8);
    if (style_.strings && is_bytes && write_text(view)) return;
    write_array(view.length, [&](std::int64_t i) { write(view.data + i * element.size_bytes, element); });
  }

  // False, and nothing written, when the bytes are not UTF-8.
  bool write_text(runtime::VecView view) {
    try {
      const auto* bytes = reinterpret_cast<const char*>(view.data);
      text_ += nlohmann::json(std::string(bytes, static_cast<std::size_t>(view.length))).dump();
      return true;
    } catch (const nlohmann::json::exception&) {
      return false;
    }
  }

  void write_dict(const runtime::Dict* dict, const TypeLayout& entry) {
    std::vector<const std::byte*> entries;
    for (std::int64_t i = 0; dict && i < dict->num_entries; ++i) {
      entries.push_back(dict->entries + i * dict->entry_bytes);
    }
    const TypeLayout::Member& key = entry.members[0];
    std::ranges::sort(entries, [&](const std::byte* left, const std::byte* right) {
      return compare(left + key.offset, right + key.offset, *key.layout) < 0;
    });
    write_array(static_cast<std::int64_t>(entries.size()),
                [&](std::int64_t i) { write_members(entries[static_cast<std::size_t>(i)], entry); });
  }

  void write_scalar(const std::byte* data, ir::ScalarKind kind) {
    ir::dispatch(kind, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (std::is_same_v<T, bool>) {
        text_ += load<std::uint8_t>(data) != 0 ? "true" : "false";
      } else if constexpr (std::is_floating_point_v<T>) {
        write_float(load<T>(data));
      } else {
        fmt::format_to(std::back_inserter(text_), "{}", +load<T>(data));
      }
    });
  }

  // The shortest digits that read back to the same float; never without a point or an exponent.
  template <class T>
  void write_float(T value) {
    if (std::isnan(value)) {
      text_ += "\"NaN\"";
    } else if (std::isinf(value)) {
      text_ += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    } else {
      const std::string digits = fmt::format("{}", value);
      text_ += digits;
      if (digits.find_first_of(".e") == std::string::npos) text_ += ".0";
    }
  }

  JsonStyle style_;
  std::string text_;
};

bool layout_has_json(const TypeLayout& layout) {
  switch (layout.kind) {
    case LayoutKind::kScalar:
    case LayoutKind::kSimd:
      return true;
    case LayoutKind::kVec:
    case LayoutKind::kDict:
      return layout_has_json(*layout.element);
    case LayoutKind::kStruct:
      return std::ranges::all_of(
          layout.members, [](const TypeLayout::Member& member) { return layout_has_json(*member.layout); });
    default:
      return false;
  }
}

}  // namespace

bool has_json(ir::Type type) {
  if (type.as<ir::FunctionType>()) return false;
  runtime::Layouts layouts;
  return layout_has_json(layouts.of(type));
}

std::string to_json(const void* data, ir::Type type, JsonStyle style) {
  runtime::Layouts layouts;
  JsonWriter writer(style);
  writer.write(static_cast<const std::byte*>(data), layouts.of(type));
  return writer.take();
}

}  // namespace weld::cli
