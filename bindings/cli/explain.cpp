#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "bindings/cli/commands.h"
#include "bindings/cli/dot.h"
#include "bindings/cli/execution.h"
#include "ir/printer.h"
#include "ir/source_message.h"
#include "passes/pass.h"

namespace weld::cli {
namespace {

// Runs the passes, which may print on their way, and prints the remarks that are left.
class Optimiser {
 public:
  Optimiser(const LoadedProgram& loaded, const codegen::CompileOptions& options, bool why)
      : program_(loaded.program),
        why_(why),
        context_{.arena = *loaded.arena, .options = options.pipeline, .deadline = {}, .remarks = {}} {
    const int bits = options.simd_width_bits;
    if (bits != 0) context_.target.vector_bytes = std::min(context_.target.vector_bytes, bits / 8);
  }

  ir::Expr run(std::function<void(const passes::PassReport&)> after_pass = {}) {
    context_.options.after_pass = std::move(after_pass);
    const ir::Expr optimised = passes::run_pipeline(program_, context_);
    print_remarks();
    return optimised;
  }

  // What passes did not do and why, since the last call. A loop that several passes look at, or one pass
  // again and again, is told once for each reason.
  void print_remarks() {
    for (; why_ && num_printed_ < context_.remarks.size(); ++num_printed_) {
      const passes::Remark& remark = context_.remarks[num_printed_];
      const std::string message = ir::render_message(ir::locate(remark.span), "remark",
                                                     fmt::format("{} [{}]", remark.message, remark.pass));
      if (told_.insert(message).second) fmt::print("{}\n", message);
    }
  }

 private:
  ir::Expr program_;
  bool why_;
  passes::PassContext context_;
  std::size_t num_printed_ = 0;
  std::unordered_set<std::string> told_;
};

void print_each(const LoadedProgram& loaded, Optimiser& optimiser) {
  fmt::print("# parsed\n{}\n", ir::print(loaded.program));
  optimiser.run([&](const passes::PassReport& report) {
    const bool changed = report.before.get() != report.after.get();
    fmt::print("\n# {} ({:.1f} us){}\n", report.pass.name, report.microseconds, changed ? "" : ": unchanged");
    optimiser.print_remarks();
    if (changed) fmt::print("{}\n", ir::print(report.after));
  });
}

void print_after(Optimiser& optimiser, const std::string& name) {
  const passes::Pass* wanted = passes::find_pass(name);
  if (!wanted) throw UsageError(fmt::format("there is no pass {}; see weld passes", name));
  ir::Expr first;
  optimiser.run([&](const passes::PassReport& report) {
    if (!first && &report.pass == wanted) first = report.after;
  });
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

std::string of_rows(std::int64_t part, std::int64_t rows) {
  if (part == rows || rows == 0) return std::to_string(part);
  return fmt::format("{} ({:.3g} %)", part, 100.0 * static_cast<double>(part) / static_cast<double>(rows));
}

// One line, and others below it for what it merged into, its variants and its strategies.
void print_loop(const codegen::LoopReport& loop) {
  const std::string place = loop.location.known() ? fmt::format("{}:{}:{}", loop.location.file,
                                                                loop.location.line, loop.location.column)
                                                  : "somewhere";
  std::string morsels;
  if (loop.parallel_executions > 0) {
    morsels = fmt::format(", {} morsels{}", loop.morsels,
                          loop.parallel_executions == loop.executions
                              ? ""
                              : fmt::format(" of {} executions", loop.parallel_executions));
  }
  fmt::print("\n# {}: loop{}: {} rows{}{}, {:.3f} ms, {:.2f} cycles a row, {} bytes read, {} allocated\n",
             place, loop.depth > 0 ? fmt::format(" inside of {}", loop.depth) : "", loop.iterations,
             loop.executions == 1 ? "" : fmt::format(" in {} executions", loop.executions), morsels,
             loop.milliseconds, loop.cycles_per_iteration, loop.read_bytes, loop.allocated_bytes);
  for (const auto& builder : loop.builders)
    fmt::print("#   merged {} into {}\n", of_rows(builder.merges, loop.iterations), builder.type);
  for (const auto& variant : loop.variants) {
    fmt::print("#   variant {}: {} rows, {:.2f} cycles a row\n", variant.name,
               of_rows(variant.iterations, loop.iterations), variant.cycles_per_iteration);
  }
  for (const std::string& strategy : loop.strategies) fmt::print("#   {}\n", strategy);
}

Status analyze(const ExplainCommand& command, const LoadedProgram& loaded,
               const bindings::Settings& settings) {
  const Execution execution =
      execute(loaded.program, read_arguments(command.run), settings, Statistics::kOfLoops);
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
  for (const codegen::LoopReport& loop : statistics.loops) print_loop(loop);
  return kOk;
}

}  // namespace

Status explain(const ExplainCommand& command) {
  return reporting([&] {
    const bindings::Settings settings = read_settings(command.run.flags);
    const LoadedProgram loaded = load_program(command.run.source);
    Optimiser optimiser(loaded, settings.compile, command.why);
    if (command.analyze) return analyze(command, loaded, settings);
    if (command.each) {
      print_each(loaded, optimiser);
    } else if (!command.after.empty()) {
      print_after(optimiser, command.after);
    } else if (command.emit == "ir") {
      fmt::print("{}\n", ir::print(optimiser.run()));
    } else if (command.emit == "dot") {
      fmt::print("{}", to_dot(optimiser.run()));
    } else {
      if (command.why) optimiser.run();
      print_code(loaded, settings.compile, command.emit == "llvm" ? "llvmopt" : "assembly");
    }
    return kOk;
  });
}

}  // namespace weld::cli
