#include "bindings/python/py_context.h"

namespace py = pybind11;

namespace weld::python {

Conf conf_from(const py::dict& settings) {
  Conf conf;
  for (const auto& [key, value] : settings) {
    conf.set(key.cast<std::string>(), py::str(value).cast<std::string>());
  }
  return conf;
}

void define_context(py::module_& module) {
  py::class_<Context, std::shared_ptr<Context>>(
      module, "Context",
      "Memory that runs share, with a limit. Results keep their context alive.\n\n"
      "Context(conf) takes weld.memory.limit (bytes), weld.threads and weld.deadline.ms (of a run) from a "
      "mapping.\n"
      "Raises WeldError (ConfigurationError) for an unknown key or a bad value.")
      .def(py::init([](const py::dict& conf) { return std::make_shared<Context>(conf_from(conf)); }),
           py::arg("conf") = py::dict())
      .def_property_readonly("memory_usage", &Context::memory_usage, "Bytes of the results that are alive.");
}

}  // namespace weld::python
