#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "bindings/cpp/weld.hpp"
#include "bindings/python/signature.h"

namespace weld::python {

/// A compiled program, to be called with its arguments. May be shared by threads.
class Program {
 public:
  /// Compiles without the GIL. Throws Error, and pybind11::type_error (see Signature).
  Program(std::string text, const pybind11::dict& conf, std::shared_ptr<Context> context);

  /// Runs without the GIL; Ctrl-C on the main thread ends the run with KeyboardInterrupt.
  pybind11::object call(const pybind11::args& objects) const;

  /// One stage of the compilation as text: `weld`, `weldopt`, `llvm`, `llvmopt` or `assembly`. Compiles
  /// again.
  std::string explain(const std::string& stage) const;

  std::string type() const { return module_->type(); }
  std::string result_type() const { return weld_module_result_type(module_->handle()); }
  pybind11::list parameters() const;
  bool interpreted() const { return module_->interpreted(); }
  pybind11::dict compile_times() const;
  std::shared_ptr<Context> context() const { return context_; }

 private:
  std::string text_;
  pybind11::dict conf_;
  std::shared_ptr<Context> context_;
  std::unique_ptr<Module> module_;
  std::unique_ptr<Signature> signature_;
};

void define_program(pybind11::module_& module);

}  // namespace weld::python
