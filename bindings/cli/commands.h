#pragma once

#include <string>
#include <vector>

#include "bindings/cli/program_source.h"

namespace weld::cli {

/// Exit status of DESIGN.md §10.
enum Status : int { kOk = 0, kRejected = 1, kUsage = 2, kFailedRun = 3 };

/// The call is wrong: a file that cannot be read, an argument that does not fit. Ends with kUsage.
class UsageError : public std::exception {
 public:
  explicit UsageError(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

struct RunCommand {
  ProgramSource source;
  CompileFlags flags;
  std::vector<std::string> arguments;  ///< JSON, one for each parameter
  std::string arguments_file;          ///< a JSON array of them; empty: none
  bool strings = false;                ///< print byte vectors as text
};
/// The JSON texts of `arguments`, or of the file. Throws UsageError.
std::vector<std::string> read_arguments(const RunCommand& command);
/// Runs a program and prints its result as JSON.
Status run(const RunCommand& command);

struct CheckCommand {
  ProgramSource source;
};
/// Parses and verifies a program and prints its type.
Status check(const CheckCommand& command);

struct ExplainCommand {
  RunCommand run;           ///< source and flags; arguments for `analyze`
  std::string after;        ///< a pass; empty: the end of the pipeline
  bool each = false;        ///< the program after every pass
  bool why = false;         ///< also what passes did not do, and why, at its place in the source
  std::string emit = "ir";  ///< ir, llvm, asm or dot
  bool analyze = false;     ///< run, and print where the time went
};
/// Prints what becomes of a program.
Status explain(const ExplainCommand& command);

struct ReplCommand {
  CompileFlags flags;
  bool strings = false;
};
/// Reads and evaluates expressions until the end of standard input.
Status repl(const ReplCommand& command);

/// Lists the passes.
Status list_passes();

/// Calls `body` and prints what it throws to standard error, in the manner of clang. Nothing leaves.
template <class F>
Status reporting(F&& body);

/// Prints the exception being handled; the status that it ends with.
Status report_current_exception();

template <class F>
Status reporting(F&& body) {
  try {
    return body();
  } catch (...) {
    return report_current_exception();
  }
}

}  // namespace weld::cli
