#include <pybind11/pybind11.h>

#include "bindings/python/py_context.h"
#include "bindings/python/py_error.h"
#include "bindings/python/py_program.h"
#include "bindings/python/py_value.h"

PYBIND11_MODULE(_native, module) {
  module.doc() = "The native part of the package weld.";
  weld::python::define_error();
  weld::python::define_context(module);
  weld::python::define_value(module);
  weld::python::define_program(module);
  module.def("load_library", &weld::load_library, pybind11::arg("path"));
  module.def("version", [] { return weld_version(); });
}
