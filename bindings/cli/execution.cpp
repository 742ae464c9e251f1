#include "bindings/cli/execution.h"

#include <algorithm>
#include <chrono>
#include <csignal>

#include "bindings/cli/commands.h"
#include "runtime/memory.h"
#include "runtime/run_context.h"

namespace weld::cli {
namespace {

runtime::CancelToken* interrupted_run = nullptr;

void interrupt(int) {
  interrupted_run->cancel();
  std::signal(SIGINT, SIG_DFL);
}

// Makes Ctrl-C cancel a run, until destroyed.
class Interruptible {
 public:
  Interruptible() {
    interrupted_run = &token;
    std::signal(SIGINT, interrupt);
  }
  ~Interruptible() { std::signal(SIGINT, SIG_DFL); }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

  runtime::CancelToken token;
};

void require_json(ir::Expr program) {
  const auto* lambda = program.as<ir::Lambda>();
  const ir::Expr body = lambda ? lambda->body : program;
  if (!has_json(body.type()))
    throw UsageError("the result of the program holds a builder, which cannot be printed");
  if (lambda && !std::ranges::all_of(lambda->parameters, [](const ir::Parameter& parameter) {
        return has_json(parameter.type);
      })) {
    throw UsageError("the program has a builder as parameter, which cannot be read from JSON");
  }
}

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Execution execute(ir::Expr program, std::span<const std::string> json_arguments,
                  const bindings::Settings& settings, Statistics wanted) {
  require_json(program);
  const auto compile_start = std::chrono::steady_clock::now();
  codegen::CompileOptions compile_options = settings.compile;
  compile_options.statistics = wanted == Statistics::kOfLoops;
  auto compiled = codegen::Program::compile(program, compile_options);
  Execution execution{.program = std::move(compiled), .arguments = {}, .result = {}};
  execution.compile_ms = milliseconds_since(compile_start);

  execution.arguments =
      std::make_unique<const JsonArguments>(json_arguments, execution.program->parameter_types());
  Interruptible interruptible;
  const codegen::RunOptions options{.num_threads = settings.num_threads,
                                    .deadline_ms = settings.deadline_ms,
                                    .cancel = &interruptible.token,
                                    .adaptive = settings.adaptive,
                                    .vecmerger = settings.vecmerger,
                                    .statistics = wanted == Statistics::kOfLoops};
  auto context = std::make_shared<runtime::Context>(
      runtime::ContextOptions{.memory_limit = settings.memory_limit_bytes});
  const auto run_start = std::chrono::steady_clock::now();
  execution.result = execution.program->run(context, execution.arguments->data(), options);
  execution.run_ms = milliseconds_since(run_start);
  return execution;
}

}  // namespace weld::cli
