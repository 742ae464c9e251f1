#pragma once

#include <memory>
#include <span>
#include <string>

#include "bindings/c/conf.h"
#include "bindings/cli/json_values.h"
#include "codegen/engine.h"
#include "ir/expr.h"

namespace weld::cli {

/// A program compiled and run once, with the time that this took.
struct Execution {
  std::shared_ptr<const codegen::Program> program;
  std::unique_ptr<const JsonArguments> arguments;  ///< the result may refer to them
  std::expected<codegen::Result, ir::Diagnostic> result;
  double compile_ms = 0;
  double run_ms = 0;
};

enum class Statistics : std::uint8_t { kOfRun, kOfLoops };

/// Compiles and runs. Ctrl-C cancels the run; a second one ends the process. Throws UserError for a program
/// that is rejected, UsageError for arguments that do not fit and for programs with builders in their type.
Execution execute(ir::Expr program, std::span<const std::string> json_arguments,
                  const bindings::Settings& settings, Statistics wanted = Statistics::kOfRun);

}  // namespace weld::cli
