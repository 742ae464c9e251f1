#include "bindings/python/py_program.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "bindings/python/interrupts.h"
#include "bindings/python/py_arguments.h"
#include "bindings/python/py_context.h"
#include "bindings/python/py_value.h"

namespace py = pybind11;

namespace weld::python {
namespace {

std::unique_ptr<Module> compile(const std::string& text, const Conf& conf) {
  if (text.find('\0') != std::string::npos) {
    throw Error(Code::kCompileError, "the program has a NUL character");
  }
  const py::gil_scoped_release released;
  return std::make_unique<Module>(text, conf);
}

// A folder of its own under the system's for temporary files, removed with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string path = (std::filesystem::temp_directory_path() / "weld-XXXXXX").string();
    if (!mkdtemp(path.data()))
      throw std::filesystem::filesystem_error("mkdtemp", path,
                                              std::error_code(errno, std::generic_category()));
    path_ = path;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

Program::Program(std::string text, const py::dict& conf, std::shared_ptr<Context> context)
    : text_(std::move(text)),
      conf_(conf),
      context_(std::move(context)),
      module_(compile(text_, conf_from(conf))),
      signature_(std::make_unique<Signature>(module_->handle())) {}

py::object Program::call(const py::args& objects) const {
  const auto arguments = std::make_shared<Arguments>(*signature_, objects);
  const detail::Handle fields = detail::own(weld_value_new(arguments->data()), weld_value_free);
  detail::Handle value(nullptr, detail::Free{weld_value_free});
  std::unique_ptr<Error> error;
  {
    const py::gil_scoped_release released;
    const CancelOnInterrupt interrupt;
    weld_run_options_t options = {};
    options.struct_bytes = sizeof options;
    options.cancel = interrupt.cancel();
    value.reset(weld_module_run_with(module_->handle(), context_->handle(), fields.get(), &options,
                                     detail::thread_error()));
    if (!value) error = std::make_unique<Error>(detail::thread_error());
  }
  if (error) {
    if (error->code() == Code::kCancelled && PyErr_CheckSignals() != 0) throw py::error_already_set();
    throw *error;
  }
  return decode_result(signature_->result(), std::move(value), arguments);
}

std::string Program::explain(const std::string& stage) const {
  const TemporaryFolder folder;
  Conf conf = conf_from(conf_);
  conf.set("weld.compile.dumpCode", "true");
  conf.set("weld.compile.dumpCodeDir", folder.path().string());
  conf.set("weld.compile.dumpCodeFilename", "program");
  conf.set("weld.compile.dumpCodeFormats", stage);
  compile(text_, conf);
  const std::filesystem::directory_iterator files(folder.path());
  if (files == std::filesystem::directory_iterator()) {
    throw Error(Code::kConfigurationError, "the program runs in the interpreter: there is no stage " + stage);
  }
  std::ifstream file(files->path(), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

py::list Program::parameters() const {
  py::list parameters;
  for (std::size_t i = 0; i < signature_->parameters().size(); ++i) {
    parameters.append(
        py::make_tuple(signature_->parameters()[i].name,
                       weld_module_parameter_type(module_->handle(), static_cast<std::int64_t>(i))));
  }
  return parameters;
}

py::dict Program::compile_times() const {
  const weld_compile_times_t times = module_->compile_times();
  py::dict result;
  result["parse_ms"] = times.parse_ms;
  result["passes_ms"] = times.passes_ms;
  result["codegen_ms"] = times.codegen_ms;
  result["llvm_ms"] = times.llvm_ms;
  result["cached"] = times.cached;
  return result;
}

void define_program(py::module_& module) {
  py::class_<Program>(
      module, "Program",
      "A compiled program, to be called with its arguments; made by weld.compile.\n\n"
      "Calls may come from any number of threads at once; the GIL is released while the program runs.\n"
      "Raises TypeError for an argument of another type, shape or layout, OverflowError for an\n"
      "integer out of range, WeldError when the run fails, and KeyboardInterrupt after Ctrl-C.")
      .def(py::init<std::string, const py::dict&, std::shared_ptr<Context>>(), py::arg("program"),
           py::arg("conf"), py::arg("context").none(false))
      .def("__call__", &Program::call)
      .def("explain", &Program::explain, py::arg("stage") = "weldopt",
           "One stage of the compilation as text: weld (as parsed), weldopt (optimised), llvm, llvmopt or "
           "assembly.\n"
           "Compiles the program again. Raises WeldError for another name.")
      .def("__repr__", [](const Program& program) { return "<weld.Program " + program.type() + ">"; })
      .def_property_readonly("type", &Program::type, "The type, e.g. |vec[i64],i64| i64.")
      .def_property_readonly("result_type", &Program::result_type, "The type of what it returns.")
      .def_property_readonly("parameters", &Program::parameters,
                             "The parameters: (name, type) in their order.")
      .def_property_readonly("interpreted", &Program::interpreted,
                             "Whether it runs in the interpreter, asked to or for want of another way.")
      .def_property_readonly(
          "compile_times", &Program::compile_times,
          "Where the time of compiling went, in milliseconds, and whether the code was cached.")
      .def_property_readonly("context", &Program::context, "The context of its runs.");
}

}  // namespace weld::python
