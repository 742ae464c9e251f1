#pragma once

#include <pybind11/pybind11.h>

namespace weld::python {

/// Turns weld::Error into weld.WeldError.
void define_error();

}  // namespace weld::python
