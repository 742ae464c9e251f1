#include <fmt/format.h>

#include <chrono>
#include <cstddef>

#include "bindings/c/handles.h"
#include "bindings/c/log.h"
#include "bindings/c/type_text.h"
#include "ir/verify.h"
#include "parser/parser.h"

using namespace weld;
using namespace weld::bindings;

namespace {

weld_module_t compile(const char* code, weld_conf_t conf) {
  if (!code) throw ir::UserError("the program is NULL", {}, ErrorCode::kUnknown);
  const Settings settings = parse_conf(conf ? require<ConfHandle>(conf, "the conf").values : Conf());
  for (const std::string& warning : settings.warnings) log(LogLevel::kWarn, warning);

  const auto start = std::chrono::steady_clock::now();
  ir::Arena arena;
  const ir::Expr program = parser::parse(code, arena);
  ir::verify(program, ir::Stage::kCore);
  const std::chrono::duration<double, std::milli> parse_time = std::chrono::steady_clock::now() - start;

  auto module = std::make_shared<CompiledModule>();
  module->parse_ms = parse_time.count();
  module->program = codegen::Program::compile(program, settings.compile);
  module->result_type = type_text(module->program->result_type());
  for (ir::Type type : module->program->parameter_types()) module->parameter_types.push_back(type_text(type));
  module->type = program_type_text(*module->program);
  return new ModuleHandle(std::move(module));
}

weld_value_t run(weld_module_t module, weld_context_t context, weld_value_t arg,
                 const codegen::RunOptions* options) {
  const ModuleHandle& module_handle = require<ModuleHandle>(module, "the module");
  ContextHandle& context_handle = require<ContextHandle>(context, "the context");
  const CompiledModule& compiled = *module_handle.compiled;
  const void* arguments = arg ? require<ValueHandle>(arg, "the argument").data : nullptr;
  if (!arguments && !compiled.parameter_types.empty()) {
    throw ir::UserError("the program has parameters, but the argument is NULL", {}, ErrorCode::kUnknown);
  }
  auto result = compiled.program->run(context_handle.context, arguments,
                                      options ? *options : context_handle.run_defaults);
  if (!result) throw ir::UserError(std::vector{std::move(result.error())});
  auto* value = new ValueHandle(module_handle.compiled, &context_handle, std::move(*result));
  static std::atomic<std::int64_t> next_run{1};
  value->run_id = next_run.fetch_add(1, std::memory_order_relaxed);
  return value;
}

// The options of a run, with the context's where they say nothing.
codegen::RunOptions read_options(const weld_run_options_t& given, const ContextHandle& context) {
  if (given.struct_bytes != sizeof given) {
    throw ir::UserError(
        fmt::format("struct_bytes of the run's options is {}, not {}", given.struct_bytes, sizeof given), {},
        ErrorCode::kUnknown);
  }
  codegen::RunOptions options = context.run_defaults;
  if (given.cancel) options.cancel = &require<CancelHandle>(given.cancel, "the cancel handle").token;
  if (given.deadline_ms < 0 || given.num_threads < 0 || given.num_threads > 1024) {
    throw ir::UserError("the run's options are out of range", {}, ErrorCode::kConfigurationError);
  }
  if (given.deadline_ms > 0) options.deadline_ms = given.deadline_ms;
  if (given.num_threads > 0) options.num_threads = static_cast<int>(given.num_threads);
  return options;
}

const CompiledModule* compiled_of(weld_module_t module) noexcept {
  const auto* handle = open<ModuleHandle>(module);
  return handle ? handle->compiled.get() : nullptr;
}

}  // namespace

weld_module_t weld_module_compile(const char* code, weld_conf_t conf, weld_error_t err) {
  return guarded(err, [&] { return compile(code, conf); });
}

weld_value_t weld_module_run(weld_module_t module, weld_context_t context, weld_value_t arg,
                             weld_error_t err) {
  return guarded(err, [&] { return run(module, context, arg, nullptr); });
}

weld_value_t weld_module_run_with(weld_module_t module, weld_context_t context, weld_value_t arg,
                                  const weld_run_options_t* options, weld_error_t err) {
  return guarded(err, [&] {
    if (!options) return run(module, context, arg, nullptr);
    const codegen::RunOptions run_options =
        read_options(*options, require<ContextHandle>(context, "the context"));
    return run(module, context, arg, &run_options);
  });
}

void weld_module_free(weld_module_t module) {
  delete open<ModuleHandle>(module);
}

const char* weld_module_type(weld_module_t module) {
  const CompiledModule* compiled = compiled_of(module);
  return compiled ? compiled->type.c_str() : nullptr;
}

const char* weld_module_result_type(weld_module_t module) {
  const CompiledModule* compiled = compiled_of(module);
  return compiled ? compiled->result_type.c_str() : nullptr;
}

int64_t weld_module_num_parameters(weld_module_t module) {
  const CompiledModule* compiled = compiled_of(module);
  return compiled ? static_cast<int64_t>(compiled->parameter_types.size()) : 0;
}

const char* weld_module_parameter_type(weld_module_t module, int64_t index) {
  if (index < 0 || index >= weld_module_num_parameters(module)) return nullptr;
  return compiled_of(module)->parameter_types[static_cast<std::size_t>(index)].c_str();
}

const char* weld_module_parameter_name(weld_module_t module, int64_t index) {
  if (index < 0 || index >= weld_module_num_parameters(module)) return nullptr;
  return compiled_of(module)->program->parameter_names()[static_cast<std::size_t>(index)].c_str();
}

bool weld_module_interpreted(weld_module_t module) {
  const CompiledModule* compiled = compiled_of(module);
  return compiled && compiled->program->interpreted();
}

bool weld_module_compile_times(weld_module_t module, weld_compile_times_t* times) {
  const CompiledModule* compiled = compiled_of(module);
  if (!times) return false;
  *times = {};
  if (!compiled) return false;
  const codegen::CompileTimes& compile = compiled->program->compile_times();
  *times = {.parse_ms = compiled->parse_ms,
            .passes_ms = compile.passes_ms,
            .codegen_ms = compile.codegen_ms,
            .llvm_ms = compile.llvm_ms,
            .cached = compile.cached};
  return true;
}

weld_cancel_t weld_cancel_new(void) {
  return guarded([]() -> void* { return new CancelHandle; });
}

void weld_cancel_trigger(weld_cancel_t cancel) {
  if (auto* handle = open<CancelHandle>(cancel)) handle->token.cancel();
}

void weld_cancel_free(weld_cancel_t cancel) {
  delete open<CancelHandle>(cancel);
}
