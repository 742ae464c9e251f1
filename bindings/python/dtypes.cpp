#include "bindings/python/dtypes.h"

#include <fmt/format.h>

#include <algorithm>

namespace py = pybind11;

namespace weld::python {
namespace {

// 'i', 'u', 'f' or 'b', as NumPy has it.
char dtype_kind(ir::ScalarKind kind) {
  if (kind == ir::ScalarKind::kBool) return 'b';
  if (ir::is_float(kind)) return 'f';
  return ir::is_signed(kind) ? 'i' : 'u';
}

}  // namespace

bool has_dtype(const runtime::TypeLayout& element) {
  if (element.kind == runtime::LayoutKind::kScalar) return true;
  return element.kind == runtime::LayoutKind::kStruct && !element.members.empty() &&
         std::ranges::all_of(element.members, [](const auto& member) { return has_dtype(*member.layout); });
}

py::dtype dtype_of(const runtime::TypeLayout& element) {
  if (element.kind == runtime::LayoutKind::kScalar) {
    return py::dtype(fmt::format("{}{}", dtype_kind(element.scalar), ir::size_bytes(element.scalar)));
  }
  py::list names;
  py::list formats;
  py::list offsets;
  for (std::size_t i = 0; i < element.members.size(); ++i) {
    names.append(fmt::format("f{}", i));
    formats.append(dtype_of(*element.members[i].layout));
    offsets.append(element.members[i].offset);
  }
  return py::dtype(names, formats, offsets, static_cast<py::ssize_t>(element.size_bytes));
}

bool matches(const py::dtype& found, const runtime::TypeLayout& element) {
  if (found.itemsize() != element.size_bytes) return false;
  if (element.kind == runtime::LayoutKind::kScalar) {
    return found.kind() == dtype_kind(element.scalar) && found.attr("isnative").cast<bool>();
  }
  if (!has_dtype(element) || !found.has_fields()) return false;
  const py::tuple names = found.attr("names");
  const py::object fields = found.attr("fields");
  if (names.size() != element.members.size()) return false;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const py::tuple field = fields[names[i]];
    if (field[1].cast<std::int64_t>() != element.members[i].offset) return false;
    if (!matches(py::reinterpret_borrow<py::dtype>(field[0]), *element.members[i].layout)) return false;
  }
  return true;
}

}  // namespace weld::python
