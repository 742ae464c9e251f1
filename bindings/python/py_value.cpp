#include "bindings/python/py_value.h"

#include <cstring>
#include <functional>
#include <span>

#include "bindings/python/dtypes.h"
#include "runtime/abi.h"

namespace py = pybind11;

namespace weld::python {
namespace {

using runtime::LayoutKind;

template <class T>
T read(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

py::object decode_scalar(ir::ScalarKind kind, const std::byte* from) {
  switch (kind) {
    case ir::ScalarKind::kI8:
      return py::int_(read<std::int8_t>(from));
    case ir::ScalarKind::kI16:
      return py::int_(read<std::int16_t>(from));
    case ir::ScalarKind::kI32:
      return py::int_(read<std::int32_t>(from));
    case ir::ScalarKind::kI64:
      return py::int_(read<std::int64_t>(from));
    case ir::ScalarKind::kU8:
      return py::int_(read<std::uint8_t>(from));
    case ir::ScalarKind::kU16:
      return py::int_(read<std::uint16_t>(from));
    case ir::ScalarKind::kU32:
      return py::int_(read<std::uint32_t>(from));
    case ir::ScalarKind::kU64:
      return py::int_(read<std::uint64_t>(from));
    case ir::ScalarKind::kF32:
      return py::float_(read<float>(from));
    case ir::ScalarKind::kF64:
      return py::float_(read<double>(from));
    case ir::ScalarKind::kBool:
      return py::bool_(read<std::uint8_t>(from) != 0);
  }
  return py::none();
}

py::tuple decode_lanes(const ValueType& type, const std::byte* from) {
  py::tuple lanes(type.type.as<ir::SimdType>()->lanes);
  const int lane_bytes = ir::size_bytes(type.layout->scalar);
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    lanes[i] = decode_scalar(type.layout->scalar, from + i * static_cast<std::size_t>(lane_bytes));
  }
  return lanes;
}

// Keys of Python's dictionaries have to be hashable: vectors become bytes or tuples.
py::object decode_key(const ValueType& type, const std::byte* from) {
  const runtime::TypeLayout& layout = *type.layout;
  if (layout.kind == LayoutKind::kScalar) return decode_scalar(layout.scalar, from);
  if (layout.kind == LayoutKind::kStruct) {
    py::tuple fields(type.num_members());
    for (std::size_t i = 0; i < fields.size(); ++i) {
      fields[i] = decode_key(type.member(i), from + layout.members[i].offset);
    }
    return fields;
  }
  const auto view = read<runtime::VecView>(from);
  const ValueType element = type.element();
  if (element.layout->kind == LayoutKind::kScalar &&
      (element.layout->scalar == ir::ScalarKind::kI8 || element.layout->scalar == ir::ScalarKind::kU8)) {
    return py::bytes(reinterpret_cast<const char*>(view.data), static_cast<std::size_t>(view.length));
  }
  py::tuple items(static_cast<std::size_t>(view.length));
  for (std::size_t i = 0; i < items.size(); ++i) {
    items[i] = decode_key(element, view.data + i * static_cast<std::size_t>(element.layout->size_bytes));
  }
  return items;
}

// Makes the objects of one result.
class Decoder {
 public:
  Decoder(py::object owner, Arguments& arguments) : owner_(std::move(owner)), arguments_(arguments) {}

  py::object decode(const ValueType& type, const std::byte* from) {
    switch (type.layout->kind) {
      case LayoutKind::kScalar:
        return decode_scalar(type.layout->scalar, from);
      case LayoutKind::kSimd:
        return decode_lanes(type, from);
      case LayoutKind::kStruct: {
        py::tuple fields(type.num_members());
        for (std::size_t i = 0; i < fields.size(); ++i) {
          fields[i] = decode(type.member(i), from + type.layout->members[i].offset);
        }
        return fields;
      }
      case LayoutKind::kVec:
        return decode_vector(type.element(), read<runtime::VecView>(from));
      case LayoutKind::kDict:
        return decode_dict(type, read<const runtime::Dict*>(from));
      default:
        throw py::type_error("the result is a builder");
    }
  }

  bool refers_to_arguments() const { return refers_to_arguments_; }

 private:
  py::object decode_vector(const ValueType& element, runtime::VecView view) {
    const auto length = static_cast<py::ssize_t>(view.length);
    if (has_dtype(*element.layout)) {
      const py::dtype& dtype = dtype_for(*element.layout);
      if (length == 0) return py::array(dtype, py::ssize_t{0});
      refers_to_arguments_ = refers_to_arguments_ || arguments_.contains(view.data);
      py::array array(dtype, {length}, {}, view.data, owner_);
      // It may be an argument, a constant of the program, or part of another array.
      py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
      return array;
    }
    py::list items(static_cast<std::size_t>(view.length));
    for (std::size_t i = 0; i < items.size(); ++i) {
      items[i] = decode(element, view.data + i * static_cast<std::size_t>(element.layout->size_bytes));
    }
    return items;
  }

  py::object decode_dict(const ValueType& type, const runtime::Dict* dict) {
    py::dict result;
    if (!dict) return result;
    const ValueType entry = type.element();
    for (std::int64_t i = 0; i < dict->num_entries; ++i) {
      const std::byte* from = dict->entries + i * dict->entry_bytes;
      result[decode_key(entry.member(0), from + entry.layout->members[0].offset)] =
          decode(entry.member(1), from + entry.layout->members[1].offset);
    }
    return result;
  }

  // A column of strings has many vectors of one type.
  const py::dtype& dtype_for(const runtime::TypeLayout& layout) {
    if (dtype_layout_ != &layout) {
      dtype_ = dtype_of(layout);
      dtype_layout_ = &layout;
    }
    return dtype_;
  }

  py::object owner_;
  Arguments& arguments_;
  bool refers_to_arguments_ = false;
  const runtime::TypeLayout* dtype_layout_ = nullptr;
  py::dtype dtype_;
};

}  // namespace

py::object decode_result(const ValueType& type, detail::Handle value, std::shared_ptr<Arguments> arguments) {
  auto owner = std::make_unique<Value>(std::move(value));
  Value& memory = *owner;
  const bool needs_memory = type.layout->contains_pointer;
  const py::object object = needs_memory ? py::cast(std::move(owner)) : py::object();
  Decoder decoder(object, *arguments);
  const py::object result = decoder.decode(type, memory.data());
  if (decoder.refers_to_arguments()) memory.keep(std::move(arguments));
  return result;
}

void define_value(py::module_& module) {
  py::class_<Value>(module, "Value", "The memory of a result: the base of its arrays, which keep it alive.")
      .def_property_readonly("memory_usage", &Value::memory_usage,
                             "Bytes that only this result keeps alive.");
}

}  // namespace weld::python
