#include "bindings/python/py_error.h"

#include <utility>

#include "bindings/cpp/weld.hpp"

namespace py = pybind11;

namespace weld::python {
namespace {

void translate(std::exception_ptr thrown) {
  try {
    if (thrown) std::rethrow_exception(std::move(thrown));
  } catch (const Error& error) {
    const py::object type = py::module_::import("weld.errors").attr("WeldError");
    const Position& place = error.position();
    const py::object object = type(error.what(), static_cast<std::uint64_t>(error.code()), error.message(),
                                   place.line, place.column, place.end_line, place.end_column);
    PyErr_SetObject(type.ptr(), object.ptr());
  }
}

}  // namespace

void define_error() {
  py::register_local_exception_translator(translate);
}

}  // namespace weld::python
