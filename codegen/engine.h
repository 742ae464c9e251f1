#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codegen/probe_style.h"
#include "ir/arena.h"
#include "ir/error.h"
#include "passes/pipeline.h"
#include "runtime/abi.h"
#include "runtime/executor.h"

namespace weld::runtime {
class Context;
class CancelToken;
struct TypeLayout;
}  // namespace weld::runtime

namespace weld::codegen {

/// A program at one stage of its compilation, for dumps.
struct Dump {
  std::string stage;  ///< `weld`, `weldopt`, `llvm`, `llvmopt` or `assembly`
  std::string text;
};

/// How to compile. Two programs compiled with equal options and of equal structure share one compiled module.
struct CompileOptions {
  passes::PipelineOptions pipeline;
  int optimization_level = 2;  ///< of LLVM, 0 to 3
  int simd_width_bits = 0;     ///< 0: the host's widest useful one; 1: no SIMD
  int num_threads = 0;         ///< at most so many compile; 0: as many as the process has processors
  bool interpret = false;      ///< no code is generated: the program runs in the reference interpreter
  bool deterministic = true;   ///< keep the reduction order (DESIGN.md §4)
  bool allow_fma = false;      ///< contract a*b+c
  bool statistics = false;     ///< code counts what its loops do, for runs that ask for it
  ProbeStyle probes = ProbeStyle::kChosen;  ///< of lookups that do not say `impl:plain` or `impl:staged`
  runtime::GroupImpl groups{};              ///< how to fill groupmergers, where no annotation says it
  bool dense_dictmergers = false;           ///< `impl:dense` for dictmergers that have no `impl`
  std::int64_t compile_deadline_ms = 60'000;
  std::int64_t cache_bytes = std::int64_t{256} << 20;  ///< of compiled programs kept in the process
  std::string cache_dir;                  ///< of compiled objects, shared by processes; empty: none
  std::function<void(const Dump&)> dump;  ///< called for each stage, which then is never taken from a cache
};

struct RunOptions {
  int num_threads = 1;
  runtime::ExecutorKind executor = runtime::ExecutorKind::kTbb;
  std::int64_t deadline_ms = 0;  ///< from the start of the run; 0: none
  runtime::CancelToken* cancel = nullptr;
  bool adaptive = true;                  ///< false: of several variants of a loop the first one runs
  runtime::VecMergerForced vecmerger{};  ///< how to merge into vectors, where no annotation says it
  runtime::DictForced dictmerger{};      ///< likewise for dictionaries
  bool statistics = false;               ///< of loops; for programs compiled with CompileOptions::statistics
};

/// Forgets the compiled programs that the process keeps; those that are held live on.
void clear_compile_cache();

/// Where the time of a compilation went, in milliseconds. All zero for a program that came from the cache.
struct CompileTimes {
  double passes_ms = 0;
  double codegen_ms = 0;  ///< our lowering to LLVM IR
  double llvm_ms = 0;     ///< optimisation, code generation and linking
  bool cached = false;
};

/// What a loop did in a run (runtime/loop_statistics.h). Loops that passes made of one loop are one.
struct LoopReport {
  struct Builder {
    std::string type;
    std::int64_t merges = 0;
  };
  struct Variant {
    std::string name;
    std::int64_t iterations = 0;
    double cycles_per_iteration = 0;
  };

  ir::Location location;
  int depth = 0;  ///< how many loops it is inside of
  std::int64_t executions = 0;
  std::int64_t parallel_executions = 0;  ///< those that were cut into morsels
  std::int64_t iterations = 0;
  std::int64_t morsels = 0;
  double milliseconds = 0;          ///< from begin to end
  double cycles_per_iteration = 0;  ///< of all threads, the loops inside included
  std::int64_t read_bytes = 0;      ///< by its iterators
  std::int64_t allocated_bytes = 0;
  std::vector<Builder> builders;
  std::vector<Variant> variants;        ///< where there are several
  std::vector<std::string> strategies;  ///< `vecmerger: private`, …
};

struct RunStatistics {
  std::int64_t run_ns = 0;
  std::int64_t peak_bytes = 0;    ///< of memory allocated by the run
  std::vector<LoopReport> loops;  ///< in the order of the program; those that ran, where it was asked for
};

/// The result of a run: a value in the C layout of `type`, and the memory that it reaches. Holds the context.
/// Movable.
class Result {
 public:
  Result();
  Result(Result&&) noexcept;
  Result& operator=(Result&&) noexcept;
  ~Result();

  const void* data() const;
  ir::Type type() const;
  const runtime::TypeLayout& layout() const;
  std::int64_t memory_bytes() const;  ///< of the blocks that this result owns
  const std::shared_ptr<runtime::Context>& context() const;
  const RunStatistics& statistics() const;

 private:
  friend class Program;
  struct State;
  std::unique_ptr<State> state_;
};

/// A compiled program. Immutable: may run in many threads at once, in any context.
class Program {
 public:
  /// Optimises and compiles. `program` is a lambda, or an expression without free symbols; what is needed of
  /// it is copied. Falls back to the interpreter where the system refuses executable memory or the program is
  /// too large for LLVM. Throws UserError, with the code BudgetExceeded or DeadlineExceeded where a budget
  /// was passed.
  static std::shared_ptr<const Program> compile(ir::Expr program, const CompileOptions& options);
  ~Program();

  /// Runs with the arguments at `arguments`: one C struct of all parameters (may be null without parameters),
  /// borrowed until the result that may refer to it is gone. A builder among them that an earlier run in this
  /// context returned is consumed, whether the run fails or not; giving it twice is the error RunNotFound. On
  /// an error nothing is kept.
  std::expected<Result, ir::Diagnostic> run(const std::shared_ptr<runtime::Context>& context,
                                            const void* arguments, const RunOptions& options) const;

  std::span<const ir::Type> parameter_types() const;
  std::span<const std::string> parameter_names() const;
  ir::Type result_type() const;
  const runtime::TypeLayout& arguments_layout() const;
  const runtime::TypeLayout& result_layout() const;
  bool interpreted() const;
  const CompileTimes& compile_times() const;
  /// The optimised program, as it runs.
  ir::Expr optimized() const;

 private:
  struct State;
  explicit Program(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace weld::codegen
