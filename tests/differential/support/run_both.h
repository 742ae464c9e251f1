#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codegen/engine.h"
#include "ir/interpret.h"
#include "ir/value.h"
#include "runtime/memory.h"

namespace weld::differential {

/// How a run ended: a value, or an error with its place.
struct Outcome {
  ErrorCode code = ErrorCode::kSuccess;
  ir::Value value;
  std::uint32_t line = 0;  ///< of the error; 0 where none is known
  std::uint32_t column = 0;
  std::string message;

  bool succeeded() const { return code == ErrorCode::kSuccess; }
};

/// `1:5: ArithmeticError` or the value.
std::string to_text(const Outcome& outcome);

/// Nothing where both are equal values to the last bit (all NaNs being equal), or errors with the same code;
/// else both in a line.
std::string difference(const Outcome& expected, const Outcome& found);

/// The reference interpreter, on values. `function` of foreign_functions.h can be called.
Outcome run_interpreter(ir::Expr program, std::span<const ir::Value> arguments);

/// One way to compile.
struct CompileWay {
  bool optimise = true;  ///< false: mandatory passes only
  int level = 2;         ///< of LLVM
  int simd_width_bits = 0;
  bool interpret = false;

  codegen::CompileOptions options() const;
  std::string text() const;
};

/// One way to run.
struct RunWay {
  int threads = 1;
  runtime::ExecutorKind executor = runtime::ExecutorKind::kInline;

  std::string text() const;
};
/// Inline; two and four threads, of std::thread and of TBB.
std::span<const RunWay> all_run_ways();

/// A context in which every run must leave nothing behind.
std::shared_ptr<runtime::Context> make_context();

/// Runs a compiled program on values through C layouts. A run that writes to its arguments, or leaves memory
/// in use behind, gives an outcome with the code kUnknown that says so.
Outcome run_compiled(const codegen::Program& program, const std::shared_ptr<runtime::Context>& context,
                     std::span<const ir::Value> arguments, const RunWay& way);

/// Whether errors with this code are comparable between engines: not memory, time and cancellation.
bool is_comparable(ErrorCode code);

}  // namespace weld::differential
