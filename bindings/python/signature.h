#pragma once

#include <string>
#include <vector>

#include "bindings/cpp/weld.hpp"
#include "ir/arena.h"
#include "runtime/layout.h"

namespace weld::python {

/// A type of the language and how its values lie in memory.
struct ValueType {
  ir::Type type;
  const runtime::TypeLayout* layout;

  /// Of a vector: the element. Of a dictionary: the struct of key and value.
  ValueType element() const;
  /// Of a struct or a dictionary's entry.
  ValueType member(std::size_t index) const;
  std::size_t num_members() const { return layout->members.size(); }
};

/// What a program takes and returns.
class Signature {
 public:
  struct Parameter {
    std::string name;
    ValueType type;
    std::size_t offset_bytes;  ///< in the struct of arguments
  };

  /// Throws pybind11::type_error where Python cannot hold what the program takes or returns.
  explicit Signature(weld_module_t module);
  Signature(const Signature&) = delete;
  Signature& operator=(const Signature&) = delete;

  const std::vector<Parameter>& parameters() const { return parameters_; }
  std::size_t arguments_bytes() const { return arguments_bytes_; }
  const ValueType& result() const { return result_; }

 private:
  ir::Arena arena_;
  runtime::Layouts layouts_;
  std::vector<Parameter> parameters_;
  std::size_t arguments_bytes_ = 0;
  ValueType result_;
};

}  // namespace weld::python
