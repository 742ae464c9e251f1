#include "bindings/python/signature.h"

#include <fmt/format.h>
#include <pybind11/pybind11.h>

#include "parser/parser.h"

namespace py = pybind11;

namespace weld::python {
namespace {

bool contains_dict(const runtime::TypeLayout& layout) {
  return layout.num_dicts > 0;
}

}  // namespace

ValueType ValueType::element() const {
  if (const auto* vec = type.as<ir::VecType>()) return {vec->element, layout->element};
  return {type, layout->element};  // the entry of a dictionary, whose members ask for key and value
}

ValueType ValueType::member(std::size_t index) const {
  if (const auto* dict = type.as<ir::DictType>()) {
    return {index == 0 ? dict->key : dict->value, layout->members[index].layout};
  }
  return {type.as<ir::StructType>()->members[index], layout->members[index].layout};
}

Signature::Signature(weld_module_t module) {
  // The types as the parameters of a lambda, the result's last, so that the parser reads them.
  const std::int64_t num_parameters = weld_module_num_parameters(module);
  std::string text = "|";
  for (std::int64_t i = 0; i < num_parameters; ++i) {
    text += fmt::format("p{}: {},", i, weld_module_parameter_type(module, i));
  }
  text += fmt::format("r: {}| 0", weld_module_result_type(module));
  const ir::Expr types = parser::parse(text, arena_, {.internal = true});
  const auto& found = types.type().as<ir::FunctionType>()->parameters;

  for (std::size_t i = 0; i + 1 < found.size(); ++i) {
    const runtime::TypeLayout& layout = layouts_.of(found[i]);
    const char* name = weld_module_parameter_name(module, static_cast<std::int64_t>(i));
    if (layout.contains_builder || contains_dict(layout)) {
      throw py::type_error(fmt::format("parameter {} ('{}') has type {}, which Python cannot pass", i + 1,
                                       name, ir::to_string(found[i])));
    }
    const auto alignment = static_cast<std::size_t>(layout.align_bytes);
    const std::size_t offset = (arguments_bytes_ + alignment - 1) / alignment * alignment;
    parameters_.push_back({name, {found[i], &layout}, offset});
    arguments_bytes_ = offset + static_cast<std::size_t>(layout.size_bytes);
  }
  result_ = {found.back(), &layouts_.of(found.back())};
  if (result_.layout->contains_builder) {
    throw py::type_error(fmt::format("the program returns {}, a builder, which Python cannot hold",
                                     ir::to_string(result_.type)));
  }
}

}  // namespace weld::python
