#include "bindings/python/py_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

#include "bindings/python/dtypes.h"
#include "runtime/abi.h"

namespace py = pybind11;

namespace weld::python {

// Where in the arguments something stands. Lives on the stack, and becomes text only in an error.
struct Arguments::Place {
  enum class Step : char { kArgument, kItem, kField };
  const Place* outer;
  Step step;
  std::size_t index;
  const std::string* name = nullptr;

  std::string text() const {
    switch (step) {
      case Step::kArgument:
        return fmt::format("argument {} ('{}')", index + 1, *name);
      case Step::kItem:
        return fmt::format("{}[{}]", outer->text(), index);
      case Step::kField:
        return fmt::format("{}.${}", outer->text(), index);
    }
    return {};
  }
};

namespace {

bool is_byte(const runtime::TypeLayout& layout) {
  return layout.kind == runtime::LayoutKind::kScalar &&
         (layout.scalar == ir::ScalarKind::kI8 || layout.scalar == ir::ScalarKind::kU8);
}

std::string type_name(py::handle object) {
  return Py_TYPE(object.ptr())->tp_name;
}

[[noreturn]] void reject(const std::string& place, std::string_view found, ir::Type expected) {
  throw py::type_error(
      fmt::format("{}: found {}, but the program takes {}", place, found, ir::to_string(expected)));
}

bool is_numpy_bool(py::handle object) {
  return std::string_view(Py_TYPE(object.ptr())->tp_name) == "numpy.bool_";
}

template <class T>
void write(T value, std::byte* to) {
  std::memcpy(to, &value, sizeof value);
}

[[noreturn]] void overflow(const std::string& place, py::handle integer, ir::ScalarKind kind) {
  PyErr_SetString(PyExc_OverflowError,
                  fmt::format("{}: {} does not fit in {}", place, py::str(integer).cast<std::string>(),
                              ir::scalar_name(kind))
                      .c_str());
  throw py::error_already_set();
}

// A Python int in two's complement, of the kind's width; false when it does not fit.
bool to_bits(PyObject* integer, ir::ScalarKind kind, std::uint64_t& bits) {
  const int width = ir::bit_width(kind);
  if (ir::is_signed(kind)) {
    int overflowed = 0;
    const long long value = PyLong_AsLongLongAndOverflow(integer, &overflowed);
    const long long most = std::numeric_limits<long long>::max() >> (64 - width);
    bits = static_cast<std::uint64_t>(value);
    return overflowed == 0 && value <= most && value >= -most - 1;
  }
  const unsigned long long value = PyLong_AsUnsignedLongLong(integer);
  if (PyErr_Occurred()) {
    PyErr_Clear();
    return false;
  }
  bits = value;
  return value <= std::numeric_limits<unsigned long long>::max() >> (64 - width);
}

// The bytes of a string of an array of dtype S, whose padding is NULs.
std::size_t unpadded_length(const std::byte* text, std::size_t width) {
  while (width > 0 && text[width - 1] == std::byte{0}) --width;
  return width;
}

}  // namespace

Arguments::Arguments(const Signature& signature, const py::args& objects) : objects_(objects) {
  const auto& parameters = signature.parameters();
  if (objects.size() != parameters.size()) {
    throw py::type_error(fmt::format("the program takes {} argument{}, not {}", parameters.size(),
                                     parameters.size() == 1 ? "" : "s", objects.size()));
  }
  fields_ = allocate(signature.arguments_bytes());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Place place{nullptr, Place::Step::kArgument, i, &parameters[i].name};
    encode(parameters[i].type, objects[i], fields_ + parameters[i].offset_bytes, place);
  }
}

std::byte* Arguments::allocate(std::size_t size_bytes) {
  return memory_.emplace_back(new std::byte[size_bytes == 0 ? 1 : size_bytes]()).get();
}

bool Arguments::contains(const void* pointer) {
  if (!sorted_) {
    std::ranges::sort(ranges_, std::less<>(), &Range::begin);
    // Ranges may overlap, when views of one array are passed: make ends ascend.
    for (std::size_t i = 1; i < ranges_.size(); ++i) {
      ranges_[i].end = std::max(ranges_[i].end, ranges_[i - 1].end, std::less<>());
    }
    sorted_ = true;
  }
  const auto* byte = static_cast<const std::byte*>(pointer);
  const auto after = std::ranges::upper_bound(ranges_, byte, std::less<>(), &Range::begin);
  return after != ranges_.begin() && std::less<>()(byte, std::prev(after)->end);
}

void Arguments::encode(const ValueType& type, py::handle object, std::byte* to, const Place& place) {
  switch (type.layout->kind) {
    case runtime::LayoutKind::kScalar:
      return encode_scalar(type.layout->scalar, object, to, place);
    case runtime::LayoutKind::kVec:
      return encode_vector(type, object, to, place);
    case runtime::LayoutKind::kStruct: {
      if (!py::isinstance<py::tuple>(object)) reject(place.text(), type_name(object), type.type);
      const auto fields = py::reinterpret_borrow<py::tuple>(object);
      if (fields.size() != type.num_members()) {
        reject(place.text(), fmt::format("a tuple of {}", fields.size()), type.type);
      }
      for (std::size_t i = 0; i < fields.size(); ++i) {
        encode(type.member(i), fields[i], to + type.layout->members[i].offset,
               {&place, Place::Step::kField, i});
      }
      return;
    }
    case runtime::LayoutKind::kSimd: {
      const auto lanes = static_cast<std::size_t>(type.type.as<ir::SimdType>()->lanes);
      if (!py::isinstance<py::tuple>(object) || py::len(object) != lanes) {
        reject(place.text(), type_name(object), type.type);
      }
      const auto lane_bytes = static_cast<std::size_t>(ir::size_bytes(type.layout->scalar));
      for (std::size_t i = 0; i < lanes; ++i) {
        encode_scalar(type.layout->scalar, py::reinterpret_borrow<py::tuple>(object)[i], to + i * lane_bytes,
                      {&place, Place::Step::kItem, i});
      }
      return;
    }
    default:
      throw py::type_error(fmt::format("{}: {} cannot be passed", place.text(), ir::to_string(type.type)));
  }
}

void Arguments::encode_scalar(ir::ScalarKind kind, py::handle object, std::byte* to, const Place& place) {
  const bool is_bool = PyBool_Check(object.ptr()) || is_numpy_bool(object);
  if (kind == ir::ScalarKind::kBool) {
    if (!is_bool) reject(place.text(), type_name(object), ir::Type::scalar(kind));
    return write<std::uint8_t>(PyObject_IsTrue(object.ptr()) == 1, to);
  }
  const bool is_array =
      py::isinstance<py::array>(object) && py::reinterpret_borrow<py::array>(object).ndim() > 0;
  if (is_bool || is_array) reject(place.text(), type_name(object), ir::Type::scalar(kind));
  if (ir::is_float(kind)) {
    const double value = PyFloat_AsDouble(object.ptr());
    if (value == -1.0 && PyErr_Occurred()) {
      const bool too_large = PyErr_ExceptionMatches(PyExc_OverflowError) != 0;
      PyErr_Clear();
      if (too_large) overflow(place.text(), object, kind);
      reject(place.text(), type_name(object), ir::Type::scalar(kind));
    }
    if (kind == ir::ScalarKind::kF64) return write(value, to);
    return write(static_cast<float>(value), to);
  }
  const auto integer = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
  if (!integer) {
    PyErr_Clear();
    reject(place.text(), type_name(object), ir::Type::scalar(kind));
  }
  std::uint64_t bits = 0;
  if (!to_bits(integer.ptr(), kind, bits)) overflow(place.text(), integer, kind);
  std::memcpy(to, &bits, static_cast<std::size_t>(ir::size_bytes(kind)));  // little-endian
}

void Arguments::borrow(const void* elements, std::size_t length, const ValueType& element, std::byte* to) {
  const auto* begin = static_cast<const std::byte*>(elements);
  if (length > 0)
    ranges_.push_back({begin, begin + length * static_cast<std::size_t>(element.layout->size_bytes)});
  // Programs do not write to their arguments.
  write(runtime::VecView{const_cast<std::byte*>(begin), static_cast<std::int64_t>(length)}, to);
}

void Arguments::encode_vector(const ValueType& type, py::handle object, std::byte* to, const Place& place) {
  if (is_byte(*type.layout->element)) {
    if (PyBytes_Check(object.ptr())) {
      return borrow(PyBytes_AS_STRING(object.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(object.ptr())),
                    type.element(), to);
    }
    if (PyUnicode_Check(object.ptr())) {
      Py_ssize_t length = 0;
      const char* text = PyUnicode_AsUTF8AndSize(object.ptr(), &length);
      if (!text) throw py::error_already_set();  // lone surrogates
      return borrow(text, static_cast<std::size_t>(length), type.element(), to);
    }
  }
  if (py::isinstance<py::array>(object) && encode_array(type, object, to, place)) return;
  const bool is_items =
      PyList_Check(object.ptr()) || PyTuple_Check(object.ptr()) || py::isinstance<py::array>(object);
  if (!is_items) reject(place.text(), type_name(object), type.type);
  encode_items(type, object, to, place);
}

// False for an array whose items have to be looked at one by one: rows, and Python objects.
bool Arguments::encode_array(const ValueType& type, py::handle object, std::byte* to, const Place& place) {
  const auto array = py::reinterpret_borrow<py::array>(object);
  const py::dtype dtype = array.dtype();
  const ValueType element = type.element();
  const auto length = array.ndim() == 1 ? static_cast<std::size_t>(array.shape(0)) : std::size_t{0};
  const auto describe = [&](std::string_view what) {
    return fmt::format("{}array of {}", what, py::str(dtype).cast<std::string>());
  };

  if (element.layout->kind == runtime::LayoutKind::kVec) {
    if (array.ndim() > 1 || dtype.kind() == 'O') return false;
    const bool is_text = array.ndim() == 1 && dtype.kind() == 'S' && is_byte(*element.layout->element);
    if (!is_text) reject(place.text(), describe("an "), type.type);
    const auto width = static_cast<std::size_t>(dtype.itemsize());
    const py::ssize_t stride = array.strides(0);
    std::byte* views = allocate(length * sizeof(runtime::VecView));
    auto* text = static_cast<std::byte*>(const_cast<void*>(array.data()));  // programs do not write to it
    for (std::size_t i = 0; i < length; ++i) {
      std::byte* string = text + static_cast<py::ssize_t>(i) * stride;
      const auto string_length = static_cast<std::int64_t>(unpadded_length(string, width));
      write(runtime::VecView{string, string_length}, views + i * sizeof(runtime::VecView));
    }
    if (length > 0) {
      const std::byte* last = text + static_cast<py::ssize_t>(length - 1) * stride;
      ranges_.push_back({stride < 0 ? last : text, (stride < 0 ? text : last) + width});
    }
    borrow(views, length, element, to);
    return true;
  }
  if (array.ndim() != 1) reject(place.text(), fmt::format("a {}-D array", array.ndim()), type.type);
  if (dtype.kind() == 'O' && !has_dtype(*element.layout)) return false;
  if (!matches(dtype, *element.layout)) reject(place.text(), describe("an "), type.type);
  if (length > 1 && array.strides(0) != array.itemsize()) {
    throw py::type_error(
        fmt::format("{}: the array is not contiguous, and arguments are not copied: pass"
                    " numpy.ascontiguousarray of it",
                    place.text()));
  }
  const auto address = reinterpret_cast<std::uintptr_t>(array.data());
  if (length > 0 && address % static_cast<std::uintptr_t>(element.layout->align_bytes) != 0) {
    throw py::type_error(
        fmt::format("{}: the array is not aligned, and arguments are not copied", place.text()));
  }
  borrow(array.data(), length, element, to);
  return true;
}

void Arguments::encode_items(const ValueType& type, py::handle items, std::byte* to, const Place& place) {
  // A list may change while other threads run; rows of an array exist only as long as they are held.
  py::object fixed = py::reinterpret_borrow<py::object>(items);
  if (!PyTuple_Check(items.ptr())) {
    fixed = py::tuple(fixed);
    made_.push_back(fixed);
  }
  const auto tuple = py::reinterpret_borrow<py::tuple>(fixed);
  const ValueType element = type.element();
  const auto stride = static_cast<std::size_t>(element.layout->size_bytes);
  std::byte* elements = allocate(tuple.size() * stride);
  for (std::size_t i = 0; i < tuple.size(); ++i) {
    encode(element, tuple[i], elements + i * stride, {&place, Place::Step::kItem, i});
  }
  borrow(elements, tuple.size(), element, to);
}

}  // namespace weld::python
