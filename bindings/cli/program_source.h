#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bindings/c/conf.h"
#include "ir/arena.h"

namespace weld::cli {

/// Where a program comes from: a file (`-`: standard input), or the text of -e.
struct ProgramSource {
  std::string file;
  std::string text;
  bool has_text = false;
};

/// Options that several commands share.
struct CompileFlags {
  std::vector<std::string> set;  ///< key=value of the conf
  int num_threads = 0;           ///< 0: the conf's
  bool interpret = false;
  std::vector<std::string> libraries;  ///< for cudf
};

/// A parsed and verified program, and the arena it lives in.
struct LoadedProgram {
  std::unique_ptr<ir::Arena> arena;
  ir::Expr program;
};

/// Throws UsageError for a file that cannot be read, UserError for a program that is rejected.
LoadedProgram load_program(const ProgramSource& source);
LoadedProgram load_program(const std::string& text, const std::string& name);

/// The conf that the flags describe, with warnings printed; libraries are loaded. Throws UserError
/// (ConfigurationError, LoadLibraryError) or UsageError.
bindings::Settings read_settings(const CompileFlags& flags);

/// The whole file; throws UsageError when it cannot be read. `-` is standard input.
std::string read_file(const std::string& file);

/// The type of a program: `|vec[i64]| i64`, or that of its result when there are no parameters.
std::string program_type(ir::Expr program);

}  // namespace weld::cli
