#pragma once

#include <pybind11/numpy.h>

#include "bindings/python/signature.h"

namespace weld::python {

/// Whether vectors of that element can be seen as an array: scalars, and structs of such with a member or
/// more.
bool has_dtype(const runtime::TypeLayout& element);

/// The dtype of such arrays: structs have the fields f0, f1, … at the offsets of the C layout.
pybind11::dtype dtype_of(const runtime::TypeLayout& element);

/// Whether elements of that dtype lie in memory as those of the layout; the names of fields do not matter.
bool matches(const pybind11::dtype& found, const runtime::TypeLayout& element);

}  // namespace weld::python
