#include "codegen/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <tuple>
#include <unordered_map>

#include "codegen/big_stack.h"
#include "codegen/compile_cache.h"
#include "codegen/compile_module.h"
#include "codegen/jit.h"
#include "codegen/outstanding_builders.h"
#include "ir/equality.h"
#include "ir/printer.h"
#include "ir/verify.h"
#include "passes/pass.h"
#include "runtime/cycles.h"
#include "runtime/foreign.h"
#include "runtime/interpreter_engine.h"
#include "runtime/limits.h"
#include "runtime/run_context.h"

namespace weld::codegen {
namespace {

using Clock = std::chrono::steady_clock;

/// Larger programs are interpreted: LLVM would take minutes.
constexpr std::uint32_t kMaxCompiledNodes = 100'000;
constexpr std::uint32_t kNoNode = ~std::uint32_t{0};

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

struct SpanHash {
  std::size_t operator()(const ir::Span& span) const {
    return std::hash<const void*>{}(span.source) * 31 + (std::size_t{span.begin} << 20) + span.end;
  }
};

// The nodes of a program in a fixed order: what a compiled module knows of places, so that it serves all
// programs of its structure, wherever they are written.
template <class F>
void for_each_place(ir::Expr program, F&& f) {
  std::uint32_t ordinal = 0;
  ir::for_each_node(program, [&](ir::Expr expr) { f(ordinal++, expr.span()); });
}

}  // namespace

/// What programs of equal structure and options share.
struct Compiled {
  ir::Arena arena;
  ir::Expr optimized;
  ProgramConstants constants{.arena = arena};
  std::vector<std::uint32_t> places;  ///< by span index: the ordinal of the node (for_each_place), or kNoNode
  std::vector<ir::Type> parameters;
  ir::Type result;
  const runtime::TypeLayout* arguments_layout = nullptr;
  const runtime::TypeLayout* result_layout = nullptr;
  runtime::ProgramTables tables;
  std::vector<std::unique_ptr<runtime::VariantSelector>> selectors;  ///< by loop; null: one variant
  std::unique_ptr<LinkedCode> code;
  runtime::ProgramMain main = nullptr;
  std::unique_ptr<runtime::InterpretedProgram> interpreted;  ///< where there is no code
  CompileTimes times;
  std::int64_t code_bytes = 0;

  /// About what keeping it costs.
  std::int64_t memory_bytes() const { return code_bytes + static_cast<std::int64_t>(arena.used_bytes()); }
};

struct Result::State {
  std::shared_ptr<runtime::Context> context;
  std::shared_ptr<const Compiled> program;  ///< owns constants that the value may refer to
  runtime::RunResult run;
  RunStatistics statistics;

  ~State() {
    if (run.data && program->result_layout->contains_builder) {
      forget_builders({program->result_layout, run.data}, this);
    }
  }
};

struct Program::State {
  std::shared_ptr<const Compiled> compiled;
  std::vector<std::string> parameter_names;
  std::vector<ir::Span> spans;  ///< by span index
  std::vector<std::shared_ptr<const ir::Source>> sources;
  CompileTimes times;

  void take_spans(ir::Expr program);
  std::vector<LoopReport> loop_reports(const runtime::LoopStatistics& statistics, double cycles_per_ms) const;
};

namespace {

CompileCache<Compiled>& cache() {
  static auto& programs = *new CompileCache<Compiled>;
  return programs;
}

std::string cache_key(ir::Expr program, const CompileOptions& options) {
  const auto [high, low] = ir::structural_hash(program);
  return fmt::format("{:x}.{:x}.{:x}.{}.{}.{}.{}.{}.{}.{}.{}.{}", high, low, options.pipeline.hash(),
                     options.optimization_level, options.simd_width_bits, options.interpret,
                     options.deterministic, options.allow_fma, options.statistics,
                     static_cast<int>(options.probes), static_cast<int>(options.groups),
                     options.dense_dictmergers);
}

ir::Expr optimize(ir::Expr program, const CompileOptions& options, Clock::time_point deadline,
                  ir::Arena& arena) {
  passes::PassContext context{.arena = arena, .options = options.pipeline, .deadline = deadline};
  const int bits = options.simd_width_bits;
  if (bits != 0) context.target.vector_bytes = std::min(context.target.vector_bytes, bits / 8);
  return passes::run_pipeline(ir::clone_fresh(program, arena), context);
}

void describe_interface(Compiled& compiled, ir::Expr program) {
  runtime::Layouts& layouts = compiled.constants.layouts;
  const auto* lambda = program.as<ir::Lambda>();
  if (lambda) {
    for (const ir::Parameter& parameter : lambda->parameters) compiled.parameters.push_back(parameter.type);
  }
  compiled.result = lambda ? lambda->body.type() : program.type();
  compiled.arguments_layout = &layouts.of(compiled.arena.structure(std::span(compiled.parameters)));
  compiled.result_layout = &layouts.of(compiled.result);
}

void record_places(Compiled& compiled, ir::Expr program) {
  std::unordered_map<ir::Span, std::uint32_t, SpanHash> first;
  for_each_place(program, [&](std::uint32_t ordinal, ir::Span span) { first.emplace(span, ordinal); });
  for (const ir::Span& span : compiled.constants.spans) {
    const auto found = span ? first.find(span) : first.end();
    compiled.places.push_back(found == first.end() ? kNoNode : found->second);
  }
}

std::vector<std::pair<std::string, void*>> find_foreign_symbols(const ProgramConstants& constants) {
  std::vector<std::pair<std::string, void*>> found;
  for (const ForeignSymbol& symbol : constants.foreign_symbols) {
    void* address = runtime::find_foreign_symbol(symbol.name);
    if (!address) {
      throw ir::UserError(
          fmt::format("there is no function {} in the process or a loaded library", symbol.name),
          symbol.span);
    }
    found.emplace_back(std::string(kForeignPrefix) + symbol.name, address);
  }
  return found;
}

// Fills `compiled.main`; leaves it null where the system does not let code run.
void generate_code(Compiled& compiled, const CompileOptions& options, Clock::time_point deadline) {
  ModuleOptions module_options{
      .emit = {.deterministic = options.deterministic,
               .allow_fma = options.allow_fma,
               .statistics = options.statistics,
               .probes = options.probes,
               .groups = options.groups,
               .dense_dictmergers = options.dense_dictmergers},
      .optimization_level = options.optimization_level,
      .simd_width_bits = options.simd_width_bits,
      .num_threads = options.num_threads > 0 ? options.num_threads : runtime::default_threads(),
      .deadline = deadline,
      .cache = ObjectCache(options.cache_dir)};
  if (options.dump) {
    module_options.dump = [&](const std::string& stage, const std::string& text) {
      options.dump({stage, text});
    };
  }
  const CompiledModule module = compile_module(compiled.optimized, module_options, compiled.constants);
  compiled.times.codegen_ms = module.codegen_ms;
  for (const std::string& object : module.objects)
    compiled.code_bytes += static_cast<std::int64_t>(object.size());
  const Clock::time_point link_start = Clock::now();
  auto linked = link_objects(module.objects, kEntrySymbol, find_foreign_symbols(compiled.constants));
  compiled.times.llvm_ms = module.llvm_ms + milliseconds_since(link_start);
  if (!linked) {
    ir::internal_check(executable_memory_refused(), "the program links: " + linked.error());
    return;
  }
  compiled.code = std::move(*linked);
  compiled.main = reinterpret_cast<runtime::ProgramMain>(compiled.code->entry());
}

std::shared_ptr<const Compiled> compile_anew(ir::Expr program, const CompileOptions& options) {
  const Clock::time_point deadline = Clock::now() + std::chrono::milliseconds(options.compile_deadline_ms);
  ir::verify(program, ir::Stage::kInternal);
  auto compiled = std::make_shared<Compiled>();
  const Clock::time_point start = Clock::now();
  compiled->optimized = optimize(program, options, deadline, compiled->arena);
  compiled->times.passes_ms = milliseconds_since(start);
  if (options.dump) {
    options.dump({"weld", ir::print(program)});
    options.dump({"weldopt", ir::print(compiled->optimized)});
  }
  describe_interface(*compiled, compiled->optimized);  // whose types live as long
  const bool too_large = compiled->optimized.record().num_nodes > kMaxCompiledNodes;
  if (!options.interpret && !too_large) generate_code(*compiled, options, deadline);
  if (!compiled->main)
    compiled->interpreted = std::make_unique<runtime::InterpretedProgram>(compiled->optimized);
  record_places(*compiled, program);
  compiled->tables.layouts = compiled->constants.used_layouts;
  compiled->tables.loops = compiled->constants.loops;
  for (const runtime::LoopSite& site : compiled->constants.loops) {
    const auto count = static_cast<std::uint32_t>(site.variants.size());
    compiled->selectors.push_back(count > 1 ? std::make_unique<runtime::VariantSelector>(count) : nullptr);
  }
  compiled->tables.selectors = compiled->selectors;
  return compiled;
}

}  // namespace

std::shared_ptr<const Program> Program::compile(ir::Expr program, const CompileOptions& options) {
  auto state = std::make_unique<State>();
  const std::string key = cache_key(program, options);
  if (!options.dump) state->compiled = cache().find(key);
  if (state->compiled) {
    state->times.cached = true;
  } else {
    run_on_big_stack([&] { state->compiled = compile_anew(program, options); });
    state->times = state->compiled->times;
    cache().insert(key, state->compiled, state->compiled->memory_bytes(), options.cache_bytes);
  }
  if (const auto* lambda = program.as<ir::Lambda>()) {
    for (const ir::Parameter& parameter : lambda->parameters) {
      state->parameter_names.emplace_back(parameter.symbol.name());
    }
  }
  state->take_spans(program);
  return std::shared_ptr<const Program>(new Program(std::move(state)));
}

void clear_compile_cache() {
  cache().clear();
}

// Copies the sources that errors point to: the program's arena need not live on.
void Program::State::take_spans(ir::Expr program) {
  std::unordered_map<const ir::Source*, std::shared_ptr<const ir::Source>> copies;
  std::vector<ir::Span> by_ordinal;
  for_each_place(program, [&](std::uint32_t, ir::Span span) { by_ordinal.push_back(span); });
  for (const std::uint32_t place : compiled->places) {
    ir::Span span = place == kNoNode ? ir::Span{} : by_ordinal[place];
    if (span) {
      auto& copy = copies[span.source];
      if (!copy) copy = std::make_shared<const ir::Source>(*span.source);
      span.source = copy.get();
    }
    spans.push_back(span);
  }
  for (auto& [original, copy] : copies) sources.push_back(std::move(copy));
}

namespace {

LoopReport report_of(const runtime::LoopSite& site, const runtime::LoopTally& tally, ir::Span span,
                     double cycles_per_ms) {
  const auto iterations = static_cast<double>(std::max<std::int64_t>(tally.iterations, 1));
  LoopReport report{.location = ir::locate(span),
                    .depth = static_cast<int>(site.depth),
                    .executions = tally.executions,
                    .parallel_executions = tally.parallel_executions,
                    .iterations = tally.iterations,
                    .morsels = tally.morsels,
                    .milliseconds = static_cast<double>(tally.elapsed_cycles) / cycles_per_ms,
                    .cycles_per_iteration = static_cast<double>(tally.cycles) / iterations,
                    .read_bytes = tally.iterations * site.bytes_per_iteration,
                    .allocated_bytes = tally.allocated_bytes,
                    .builders = {},
                    .variants = {},
                    .strategies = {}};
  for (std::size_t i = 0; i < std::min<std::size_t>(site.builders.size(), tally.merges.size()); ++i) {
    const runtime::LoopSite::Builder& builder = site.builders[i];
    const std::int64_t merges =
        builder.merges_per_iteration ? *builder.merges_per_iteration * tally.iterations : tally.merges[i];
    report.builders.push_back({builder.type, merges});
  }
  for (std::size_t i = 0; i < site.variants.size(); ++i) {
    const runtime::LoopTally::Variant& variant = tally.variants[i];
    const auto rows = static_cast<double>(std::max<std::int64_t>(variant.iterations, 1));
    report.variants.push_back(
        {site.variants[i], variant.iterations, static_cast<double>(variant.cycles) / rows});
  }
  for (std::size_t of = 0; of < tally.strategies.size(); ++of) {
    std::string names;
    for (const char* name : tally.strategies[of]) {
      if (name) names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
    }
    if (!names.empty()) {
      report.strategies.push_back(
          fmt::format("{}: {}", runtime::strategy_owner(static_cast<runtime::StrategyOf>(of)), names));
    }
  }
  return report;
}

}  // namespace

std::vector<LoopReport> Program::State::loop_reports(const runtime::LoopStatistics& statistics,
                                                     double cycles_per_ms) const {
  std::vector<LoopReport> reports;
  const std::vector<runtime::LoopTally> totals = statistics.totals();
  for (std::size_t i = 0; i < totals.size(); ++i) {
    const runtime::LoopSite& site = compiled->tables.loops[i];
    if (totals[i].executions == 0 && totals[i].parallel_executions == 0) continue;
    const ir::Span span = site.span < spans.size() ? spans[site.span] : ir::Span{};
    reports.push_back(report_of(site, totals[i], span, cycles_per_ms));
  }
  std::ranges::sort(reports, {}, [](const LoopReport& report) {
    return std::tuple(report.location.line, report.location.column, report.depth);
  });
  return reports;
}

std::expected<Result, ir::Diagnostic> Program::run(const std::shared_ptr<runtime::Context>& context,
                                                   const void* arguments, const RunOptions& options) const {
  const Compiled& compiled = *state_->compiled;
  runtime::RunSettings settings{.threads = options.num_threads,
                                .executor = options.executor,
                                .adaptive = options.adaptive,
                                .vecmerger = options.vecmerger,
                                .dictmerger = options.dictmerger,
                                .cancel = options.cancel,
                                .program = &compiled.tables};
  if (options.deadline_ms > 0)
    settings.deadline = Clock::now() + std::chrono::milliseconds(options.deadline_ms);
  const auto* args = static_cast<const std::byte*>(arguments);
  if (!args && !compiled.parameters.empty()) {
    return std::unexpected(ir::Diagnostic{
        ErrorCode::kArrayOutOfBounds, "the program has parameters, but no arguments are given", {}});
  }
  runtime::OwnedBlocks consumed;
  if (compiled.arguments_layout->contains_builder) {
    if (!take_builders(*context, {compiled.arguments_layout, args}, consumed)) {
      return std::unexpected(
          ir::Diagnostic{ErrorCode::kRunNotFound,
                         "a builder among the arguments was used before, or does not come from this context",
                         {}});
    }
  }
  std::optional<runtime::LoopStatistics> statistics;
  if (options.statistics) settings.statistics = &statistics.emplace(compiled.tables.loops.size());
  const std::uint64_t cycles_before = runtime::cycles_now();
  Result result;
  result.state_ = std::make_unique<Result::State>();
  runtime::RunResult& run = result.state_->run;
  if (compiled.main) {
    run = runtime::run_program(*context, settings, compiled.main, args, *compiled.result_layout,
                               std::move(consumed));
    if (run.code != ErrorCode::kSuccess) {
      const ir::Span span = run.span < state_->spans.size() ? state_->spans[run.span] : ir::Span{};
      return std::unexpected(
          ir::Diagnostic{run.code, std::string(error_summary(run.code)), ir::locate(span)});
    }
  } else {
    ir::RunError error;
    run = compiled.interpreted->run(*context, settings, args, std::move(consumed), error);
    if (run.code != ErrorCode::kSuccess) {
      const std::string message =
          error.message.empty() ? std::string(error_summary(run.code)) : error.message;
      return std::unexpected(ir::Diagnostic{run.code, message, ir::locate(error.span)});
    }
  }
  result.state_->context = context;
  result.state_->program = state_->compiled;
  result.state_->statistics = {run.statistics.nanoseconds, run.statistics.peak_bytes, {}};
  if (statistics) {
    const double milliseconds = std::max(static_cast<double>(run.statistics.nanoseconds) / 1e6, 1e-6);
    const auto cycles = static_cast<double>(runtime::cycles_now() - cycles_before);
    result.state_->statistics.loops = state_->loop_reports(*statistics, cycles / milliseconds);
  }
  if (compiled.result_layout->contains_builder) {
    remember_builders(*context, {compiled.result_layout, run.data}, result.state_.get());
  }
  return result;
}

Program::Program(std::unique_ptr<State> state) : state_(std::move(state)) {}
Program::~Program() = default;

std::span<const ir::Type> Program::parameter_types() const {
  return state_->compiled->parameters;
}
std::span<const std::string> Program::parameter_names() const {
  return state_->parameter_names;
}
ir::Type Program::result_type() const {
  return state_->compiled->result;
}
const runtime::TypeLayout& Program::arguments_layout() const {
  return *state_->compiled->arguments_layout;
}
const runtime::TypeLayout& Program::result_layout() const {
  return *state_->compiled->result_layout;
}
bool Program::interpreted() const {
  return state_->compiled->main == nullptr;
}
const CompileTimes& Program::compile_times() const {
  return state_->times;
}
ir::Expr Program::optimized() const {
  return state_->compiled->optimized;
}

Result::Result() = default;
Result::Result(Result&&) noexcept = default;
Result& Result::operator=(Result&&) noexcept = default;
Result::~Result() = default;

const void* Result::data() const {
  return state_->run.data;
}
ir::Type Result::type() const {
  return state_->program->result;
}
const runtime::TypeLayout& Result::layout() const {
  return *state_->program->result_layout;
}
std::int64_t Result::memory_bytes() const {
  return state_->run.blocks.requested_bytes();
}
const std::shared_ptr<runtime::Context>& Result::context() const {
  return state_->context;
}
const RunStatistics& Result::statistics() const {
  return state_->statistics;
}

}  // namespace weld::codegen
