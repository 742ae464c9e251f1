#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "bindings/cli/commands.h"
#include "bindings/cli/json_values.h"
#include "codegen/engine.h"
#include "ir/arena.h"
#include "runtime/abi.h"
#include "runtime/layout.h"
#include "runtime/memory.h"

namespace weld::cli {
namespace {

using Json = nlohmann::json;
using runtime::LayoutKind;
using runtime::TypeLayout;

Json parse_json(const std::string& text, const std::string& name) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    throw UsageError(fmt::format("{} is no JSON: {}", name, error.what()));
  }
}

[[noreturn]] void reject(const std::string& place, std::string_view expected, const Json& found) {
  std::string text = found.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  throw UsageError(fmt::format("{}: {} is expected, found {}", place, expected, text));
}

template <class T>
T read_integer(const Json& json, const std::string& place) {
  if (json.is_number_unsigned()) {
    const auto value = json.get<std::uint64_t>();
    if (std::in_range<T>(value)) return static_cast<T>(value);
  } else if (json.is_number_integer()) {
    const auto value = json.get<std::int64_t>();
    if (std::in_range<T>(value)) return static_cast<T>(value);
  }
  reject(
      place,
      fmt::format("an integer from {} to {}", std::numeric_limits<T>::min(), std::numeric_limits<T>::max()),
      json);
}

double read_float(const Json& json, const std::string& place) {
  if (json.is_number()) return json.get<double>();
  if (json == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (json == "Infinity") return std::numeric_limits<double>::infinity();
  if (json == "-Infinity") return -std::numeric_limits<double>::infinity();
  reject(place, "a number, \"NaN\", \"Infinity\" or \"-Infinity\"", json);
}

void read_scalar(const Json& json, ir::ScalarKind kind, std::byte* target, const std::string& place) {
  ir::dispatch(kind, [&](auto zero) {
    using T = decltype(zero);
    T value;
    if constexpr (std::is_same_v<T, bool>) {
      if (!json.is_boolean()) reject(place, "true or false", json);
      value = json.get<bool>();
    } else if constexpr (std::is_floating_point_v<T>) {
      value = static_cast<T>(read_float(json, place));
    } else {
      value = read_integer<T>(json, place);
    }
    std::memcpy(target, &value, sizeof value);
  });
}

bool is_byte(const TypeLayout& layout) {
  return layout.kind == LayoutKind::kScalar &&
         (layout.scalar == ir::ScalarKind::kI8 || layout.scalar == ir::ScalarKind::kU8);
}

const Json& array_of(const Json& json, std::string_view expected, std::optional<std::size_t> size,
                     const std::string& place) {
  if (!json.is_array() || (size && json.size() != *size)) reject(place, expected, json);
  return json;
}

// Writes values as LANGUAGE.md §1.4 serialises them. Code over types may recurse: their depth is bounded.
void serialize(const Json& json, const TypeLayout& layout, std::string& bytes, const std::string& place) {
  const auto append_count = [&](std::size_t count) {
    const auto number = static_cast<std::int64_t>(count);
    bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
  };
  if (layout.kind == LayoutKind::kScalar) {
    std::byte scalar[8];
    read_scalar(json, layout.scalar, scalar, place);
    bytes.append(reinterpret_cast<const char*>(scalar), static_cast<std::size_t>(layout.size_bytes));
  } else if (layout.kind == LayoutKind::kStruct) {
    const std::size_t count = layout.members.size();
    array_of(json, fmt::format("an array of {}", count), count, place);
    for (std::size_t i = 0; i < count; ++i) {
      serialize(json[i], *layout.members[i].layout, bytes, fmt::format("{}.${}", place, i));
    }
  } else if (layout.kind == LayoutKind::kVec && json.is_string() && is_byte(*layout.element)) {
    const auto& text = json.get_ref<const std::string&>();
    append_count(text.size());
    bytes += text;
  } else {
    array_of(json, "an array", std::nullopt, place);
    append_count(json.size());
    for (std::size_t i = 0; i < json.size(); ++i) {
      serialize(json[i], *layout.element, bytes, fmt::format("{}[{}]", place, i));
    }
  }
}

bool contains_dict(const TypeLayout& layout) {
  return layout.num_dicts > 0;
}

}  // namespace

std::vector<std::string> split_json_array(const std::string& text, const std::string& name) {
  const Json json = parse_json(text, name);
  if (!json.is_array()) throw UsageError(name + " holds no JSON array");
  std::vector<std::string> elements;
  for (const Json& element : json) elements.push_back(element.dump());
  return elements;
}

struct JsonArguments::State {
  runtime::Layouts layouts;
  std::deque<std::vector<std::uint64_t>> blocks;  // what vectors point to, and the struct itself
  const void* data = nullptr;
  codegen::Result deserialized;  // where there are dictionaries

  std::byte* allocate(std::int64_t bytes) {
    return reinterpret_cast<std::byte*>(blocks.emplace_back(static_cast<std::size_t>(bytes) / 8 + 1).data());
  }

  void read(const Json& json, const TypeLayout& layout, std::byte* target, const std::string& place) {
    switch (layout.kind) {
      case LayoutKind::kScalar:
        read_scalar(json, layout.scalar, target, place);
        return;
      case LayoutKind::kSimd: {
        const std::int64_t lane_bytes = ir::size_bytes(layout.scalar);
        const auto lanes = static_cast<std::size_t>(layout.size_bytes / lane_bytes);
        array_of(json, fmt::format("an array of {}", lanes), lanes, place);
        for (std::size_t i = 0; i < lanes; ++i) {
          read_scalar(json[i], layout.scalar, target + static_cast<std::int64_t>(i) * lane_bytes,
                      fmt::format("{}[{}]", place, i));
        }
        return;
      }
      case LayoutKind::kStruct:
        array_of(json, fmt::format("an array of {}", layout.members.size()), layout.members.size(), place);
        for (std::size_t i = 0; i < layout.members.size(); ++i) {
          const TypeLayout::Member& member = layout.members[i];
          read(json[i], *member.layout, target + member.offset, fmt::format("{}.${}", place, i));
        }
        return;
      case LayoutKind::kVec:
        read_vector(json, *layout.element, target, place);
        return;
      default:
        throw UsageError(fmt::format("{}: builders cannot be read from JSON", place));
    }
  }

  void read_vector(const Json& json, const TypeLayout& element, std::byte* target, const std::string& place) {
    runtime::VecView view{nullptr, static_cast<std::int64_t>(json.size())};
    if (json.is_string() && is_byte(element)) {
      const auto& text = json.get_ref<const std::string&>();
      view.length = static_cast<std::int64_t>(text.size());
      view.data = allocate(view.length);
      std::memcpy(view.data, text.data(), text.size());
    } else {
      array_of(json, is_byte(element) ? "an array or a string" : "an array", std::nullopt, place);
      view.data = allocate(view.length * element.size_bytes);
      for (std::size_t i = 0; i < json.size(); ++i) {
        read(json[i], element, view.data + static_cast<std::int64_t>(i) * element.size_bytes,
             fmt::format("{}[{}]", place, i));
      }
    }
    std::memcpy(target, &view, sizeof view);
  }

  // A dictionary is made by a program: `deserialize`.
  void deserialize(const std::vector<Json>& values, const TypeLayout& layout, ir::Type type) {
    std::string bytes;
    for (std::size_t i = 0; i < values.size(); ++i) {
      serialize(values[i], *layout.members[i].layout, bytes, fmt::format("argument {}", i + 1));
    }
    ir::Arena arena;
    const ir::Type buffer_type = arena.vec(ir::Type::scalar(ir::ScalarKind::kU8));
    const ir::Symbol buffer = arena.fresh_symbol("buffer");
    const ir::Expr body = arena.make<ir::Deserialize>({}, type, arena.ident(buffer, buffer_type));
    const ir::Expr program =
        arena.make<ir::Lambda>({}, std::vector<ir::Parameter>{{buffer, buffer_type}}, body);
    const runtime::VecView argument{reinterpret_cast<std::byte*>(bytes.data()),
                                    static_cast<std::int64_t>(bytes.size())};
    auto result =
        codegen::Program::compile(program, {})->run(std::make_shared<runtime::Context>(), &argument, {});
    if (!result) throw UsageError("the arguments: a key occurs twice in a dictionary");
    deserialized = std::move(*result);
    data = deserialized.data();
  }
};

JsonArguments::JsonArguments(std::span<const std::string> texts, std::span<const ir::Type> types)
    : state_(std::make_unique<State>()) {
  if (texts.size() != types.size()) {
    throw UsageError(
        fmt::format("the program has {} parameters, but {} arguments are given", types.size(), texts.size()));
  }
  std::vector<Json> values;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    values.push_back(parse_json(texts[i], fmt::format("argument {}", i + 1)));
  }
  ir::Arena arena;
  const ir::Type type = arena.structure(types);
  const TypeLayout& layout = state_->layouts.of(type);
  if (contains_dict(layout)) {
    state_->deserialize(values, layout, type);
    return;
  }
  std::byte* target = state_->allocate(layout.size_bytes);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const TypeLayout::Member& member = layout.members[i];
    state_->read(values[i], *member.layout, target + member.offset, fmt::format("argument {}", i + 1));
  }
  state_->data = target;
}

JsonArguments::~JsonArguments() = default;
JsonArguments::JsonArguments(JsonArguments&&) noexcept = default;
JsonArguments& JsonArguments::operator=(JsonArguments&&) noexcept = default;

const void* JsonArguments::data() const {
  return state_->data;
}

}  // namespace weld::cli
