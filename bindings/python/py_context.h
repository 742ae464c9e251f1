#pragma once

#include <pybind11/pybind11.h>

#include "bindings/cpp/weld.hpp"

namespace weld::python {

/// A conf from keys and values.
Conf conf_from(const pybind11::dict& settings);

void define_context(pybind11::module_& module);

}  // namespace weld::python
