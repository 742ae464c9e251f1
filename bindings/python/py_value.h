#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "bindings/cpp/weld.hpp"
#include "bindings/python/py_arguments.h"

namespace weld::python {

/// The memory of a result, which arrays made from it keep alive as their base: the result itself, its context
/// and module, and the arguments where it refers to them.
class Value {
 public:
  explicit Value(detail::Handle value) : value_(std::move(value)) {}

  std::int64_t memory_usage() const { return weld_value_memory_usage(value_.get()); }
  const std::byte* data() const { return static_cast<const std::byte*>(weld_value_data(value_.get())); }
  void keep(std::shared_ptr<Arguments> arguments) { arguments_ = std::move(arguments); }

 private:
  std::shared_ptr<Arguments> arguments_;  // outlives the value
  detail::Handle value_;
};

/// What a run returned, as objects of Python (the table in weld/__init__.py). Scalars, tuples and
/// dictionaries are made anew; arrays are views.
pybind11::object decode_result(const ValueType& type, detail::Handle value,
                               std::shared_ptr<Arguments> arguments);

void define_value(pybind11::module_& module);

}  // namespace weld::python
