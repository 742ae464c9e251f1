#pragma once

#include "ir/interpret.h"
#include "runtime/run_context.h"

namespace weld::runtime {

/// A program that runs in the reference interpreter, with arguments and results in the C layout: for systems
/// that refuse executable memory, programs too large to compile, and comparisons.
///
/// Threads  immutable; may run many times at once
class InterpretedProgram {
 public:
  /// `program` is verified; its arena outlives this object.
  explicit InterpretedProgram(ir::Expr program);
  InterpretedProgram(const InterpretedProgram&) = delete;
  InterpretedProgram& operator=(const InterpretedProgram&) = delete;

  /// Everything as run_program: arguments, memory, cancellation. Vectors of scalars among the arguments are
  /// read where they are, and results that are views of them alias them; others are copied.
  ///
  /// \param error  where and why it failed; the span's source lives as long as the program's arena
  ///
  /// Errors   those of the interpreter; kArrayOutOfBounds for an argument with a negative length, or a length
  /// and no
  ///          data
  /// Threads  one, of its own, with a large stack; foreign functions run there
  RunResult run(Context& context, const RunSettings& settings, const std::byte* args, OwnedBlocks consumed,
                ir::RunError& error) const noexcept;

  const TypeLayout& result_layout() const { return *result_layout_; }

 private:
  struct Parameter {
    ir::Type type;
    const TypeLayout* layout;
    std::int64_t offset;
  };
  struct Call;

  ErrorCode run_on(Call& call) const noexcept;

  ir::Expr program_;
  Layouts layouts_;
  std::vector<Parameter> parameters_;
  const TypeLayout* result_layout_;
  ir::Type result_type_;
  // The layouts of foreign functions' arguments and results, by type record.
  std::unordered_map<const ir::TypeRecord*, const TypeLayout*> foreign_layouts_;
};

}  // namespace weld::runtime
