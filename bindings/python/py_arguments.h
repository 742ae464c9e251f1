#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "bindings/python/signature.h"

namespace weld::python {

/// The arguments of one call in the C layout. Arrays, bytes and text are borrowed and kept alive; vectors of
/// vectors, lists and tuples are written to memory of this object. To be made, and dropped, with the GIL
/// held.
class Arguments {
 public:
  /// Throws pybind11::type_error, or OverflowError for an integer out of range, naming the argument and,
  /// inside it, the place.
  Arguments(const Signature& signature, const pybind11::args& objects);
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  const void* data() const { return fields_; }
  /// Whether that byte belongs to what was passed, so that a result there needs this object. May sort.
  bool contains(const void* pointer);

 private:
  struct Place;
  struct Range {
    const std::byte* begin;
    const std::byte* end;
  };

  void encode(const ValueType& type, pybind11::handle object, std::byte* to, const Place& place);
  void encode_scalar(ir::ScalarKind kind, pybind11::handle object, std::byte* to, const Place& place);
  void encode_vector(const ValueType& type, pybind11::handle object, std::byte* to, const Place& place);
  bool encode_array(const ValueType& type, pybind11::handle object, std::byte* to, const Place& place);
  void encode_items(const ValueType& type, pybind11::handle items, std::byte* to, const Place& place);
  void borrow(const void* elements, std::size_t length, const ValueType& element, std::byte* to);
  std::byte* allocate(std::size_t size_bytes);

  pybind11::tuple objects_;
  std::vector<pybind11::object> made_;  ///< objects that encoding made, and that are borrowed
  std::deque<std::unique_ptr<std::byte[]>> memory_;
  std::vector<Range> ranges_;
  bool sorted_ = false;
  std::byte* fields_ = nullptr;
};

}  // namespace weld::python
