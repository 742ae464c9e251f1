#include <fmt/format.h>

#include "bindings/cli/commands.h"
#include "bindings/cli/dot.h"
#include "bindings/cli/execution.h"
#include "ir/printer.h"
#include "passes/pass.h"

namespace weld::cli {
namespace {

ir::Expr optimise(const LoadedProgram& loaded, const passes::PipelineOptions& options) {
  passes::PassContext context{.arena = *loaded.arena, .options = options, .deadline = {}, .remarks = {}};
  return passes::run_pipeline(loaded.program, context);
}

void print_each(const LoadedProgram& loaded, passes::PipelineOptions options) {
  fmt::print("# parsed\n{}\n", ir::print(loaded.program));
  options.after_pass = [](const passes::PassReport& report) {
    const bool changed = report.before.get() != report.after.get();
    fmt::print("\n# {} ({:.1f} us){}\n", report.pass.name, report.microseconds, changed ? "" : ": unchanged");
    if (changed) fmt::print("{}\n", ir::print(report.after));
  };
  optimise(loaded, options);
}

void print_after(const LoadedProgram& loaded, passes::PipelineOptions options, const std::string& name) {
  const passes::Pass* wanted = passes::find_pass(name);
  if (!wanted) throw UsageError(fmt::format("there is no pass {}; see weld passes", name));
  ir::Expr first;
  options.after_pass = [&](const passes::PassReport& report) {
    if (!first && &report.pass == wanted) first = report.after;
  };
  optimise(loaded, options);
  if (!first) throw UsageError(fmt::format("pass {} does not run", name));
  fmt::print("{}\n", ir::print(first));
}

void print_code(const LoadedProgram& loaded, codegen::CompileOptions options, std::string_view stage) {
  std::string text;
  options.dump = [&](const codegen::Dump& dump) {
    if (dump.stage == stage) text = dump.text;
  };
  if (codegen::Program::compile(loaded.program, options)->interpreted()) {
    throw UsageError("the program is interpreted: there is no code");
  }
  fmt::print("{}\n", text);
}

Status analyze(const ExplainCommand& command, const LoadedProgram& loaded,
               const bindings::Settings& settings) {
  const Execution execution = execute(loaded.program, read_arguments(command.run), settings);
  if (!execution.result) {
    fmt::print(stderr, "{}\n", execution.result.error().render());
    return kFailedRun;
  }
  const codegen::CompileTimes& times = execution.program->compile_times();
  const codegen::RunStatistics& statistics = execution.result->statistics();
  fmt::print("{}\n\n", ir::print(execution.program->optimized()));
  fmt::print("# compiled in {:.3f} ms (passes {:.3f}, lowering {:.3f}, LLVM {:.3f}){}\n",
             execution.compile_ms, times.passes_ms, times.codegen_ms, times.llvm_ms,
             execution.program->interpreted() ? ", interpreted"
             : times.cached                   ? ", from the cache"
                                              : "");
  fmt::print("# ran in {:.3f} ms with {} threads\n", static_cast<double>(statistics.run_ns) / 1e6,
             settings.num_threads);
  fmt::print("# peak memory {} bytes, result {} bytes\n", statistics.peak_bytes,
             execution.result->memory_bytes());
  return kOk;
}

}  // namespace

Status explain(const ExplainCommand& command) {
  return reporting([&] {
    const bindings::Settings settings = read_settings(command.run.flags);
    const LoadedProgram loaded = load_program(command.run.source);
    const passes::PipelineOptions& pipeline = settings.compile.pipeline;
    if (command.analyze) return analyze(command, loaded, settings);
    if (command.each) {
      print_each(loaded, pipeline);
    } else if (!command.after.empty()) {
      print_after(loaded, pipeline, command.after);
    } else if (command.emit == "ir") {
      fmt::print("{}\n", ir::print(optimise(loaded, pipeline)));
    } else if (command.emit == "dot") {
      fmt::print("{}", to_dot(optimise(loaded, pipeline)));
    } else {
      print_code(loaded, settings.compile, command.emit == "llvm" ? "llvmopt" : "assembly");
    }
    return kOk;
  });
}

}  // namespace weld::cli
