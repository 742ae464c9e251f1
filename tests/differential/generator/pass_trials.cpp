#include "tests/differential/generator/pass_trials.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "ir/fields.h"
#include "ir/printer.h"
#include "parser/parser.h"
#include "passes/pipeline.h"
#include "tests/differential/generator/pass_graph.h"
#include "tests/differential/generator/program_generator.h"
#include "tests/differential/generator/reduction.h"
#include "tests/differential/support/value_text.h"

namespace weld::differential {
namespace {

using ir::Expr;
using ir::Value;
using Step = PassGraph::Step;
using State = PassGraph::State;

struct Order {
  std::string name;
  passes::PipelineOptions options;
};

constexpr std::uint64_t kMaxCompiled = 16;  // results of one program

std::string random_pass(Random& random) {
  return std::string(passes::all_passes()[random.below(passes::all_passes().size())].name);
}

std::vector<Order> orders_of(const PassSettings& settings, Random& random) {
  std::vector<Order> orders{{"the default order", {}}};
  if (settings.each_off) {
    for (const passes::Pass& pass : passes::all_passes()) {
      if (pass.mandatory) continue;
      orders.push_back({fmt::format("without {}", pass.name), {}});
      orders.back().options.switched_off.emplace_back(pass.name);
    }
  }
  for (int i = 0; i < settings.num_random_orders; ++i) {
    std::vector<std::string> names;
    if (random.chance(40)) {
      // All passes, shuffled.
      for (const std::string_view name : passes::default_order()) names.emplace_back(name);
      for (std::size_t k = names.size(); k > 1; --k) std::swap(names[k - 1], names[random.below(k)]);
    } else {
      const std::size_t count = 1 + random.below(2 * passes::all_passes().size());
      while (names.size() < count) names.push_back(random_pass(random));
    }
    orders.push_back({fmt::format("passes {}", fmt::join(names, ",")), {}});
    orders.back().options.passes = std::move(names);
  }
  return orders;
}

// A machine whose vectors are as wide as any, or narrow.
ir::TargetInfo random_target(Random& random) {
  static constexpr std::int32_t kVectorBytes[] = {16, 32, 64, 64};
  ir::TargetInfo target;
  target.vector_bytes = random.pick(kVectorBytes);
  target.cores = random.chance(50) ? 1 : 8;
  return target;
}

// Checks that a pass may not drop: of assertions, zips and iterators, and whatever foreign functions do.
bool must_stay(Expr program, const BoundedOutcome& outcome) {
  if (outcome.code == ErrorCode::kAssertionError || outcome.code == ErrorCode::kMismatchedZipSize ||
      outcome.code == ErrorCode::kBadIteratorLength) {
    return true;
  }
  bool stays = false;
  ir::for_each_node(program, [&](Expr expr) {
    stays = stays || (outcome.span && expr.span() == outcome.span &&
                      (expr.is<ir::For>() || expr.is<ir::ForeignCall>()));
  });
  return stays;
}

// What is wrong with the outcome after the passes; empty mostly.
std::string violation(Expr program, const BoundedOutcome& before, const BoundedOutcome& after,
                      bool reported_drop) {
  if (!is_comparable(before.code)) return {};
  const auto both = [&](std::string_view what) {
    return fmt::format("{}: {}", what, difference(before, after));
  };
  if (!is_comparable(after.code)) return both("it takes much longer, or much more memory");
  if (before.succeeded() && !after.succeeded()) return both("an error was added");
  if (before.succeeded()) return ir::same_bits(before.value, after.value) ? "" : both("the value changed");
  if (!after.succeeded()) return {};
  if (must_stay(program, before)) return both("a check was dropped");
  return reported_drop ? "" : both("an error was dropped, and no remark says so");
}

// One program with its arguments, and the orders run over it.
class PassTrial {
 public:
  PassTrial(const Case& shown, const ir::TargetInfo& target, ir::Arena& arena)
      : shown_(shown),
        target_(target),
        arena_(arena),
        graph_(shown.program, shown_.arguments, target, arena) {}

  const ir::TargetInfo& target() const { return target_; }

  const BoundedOutcome& before() { return graph_.outcome(graph_.start()); }

  // What the order does wrong; empty mostly. Only what comes out at its end is looked at.
  std::string judge(std::span<const passes::Pass* const> order) {
    steps_ = graph_.run(order);
    if (steps_.empty()) return {};
    const bool dropped = std::ranges::any_of(steps_, &Step::dropped);
    return judge_state(*steps_.back().after, dropped);
  }

  // The first of the steps of the last order whose result is wrong.
  const Step& guilty_step() {
    bool dropped = false;
    for (const Step& step : steps_) {
      dropped = dropped || step.dropped;
      if (!judge_state(*step.after, dropped).empty()) return step;
    }
    return steps_.back();
  }

  State& result() { return steps_.empty() ? graph_.start() : *steps_.back().after; }
  const PassGraph& graph() const { return graph_; }

 private:
  std::string judge_state(State& state, bool dropped) {
    if (!state.invalid.empty()) return state.invalid;
    std::string text = violation(shown_.program, before(), graph_.outcome(state), dropped);
    if (text.starts_with("the value changed") && !is_exact()) return {};
    if (text.empty() && !state.looked_at) {
      state.looked_at = true;
      if (num_looked_at_++ % kPrintedEvery == 0) text = printing_error(state.program);
    }
    return text;
  }

  bool is_exact() {
    if (!is_exact_) is_exact_ = sums_exactly(shown_.program, shown_.arguments, before(), arena_);
    return *is_exact_;
  }

  static constexpr int kPrintedEvery = 8;  // takes longer than the passes and the interpreter

  const Case& shown_;
  ir::TargetInfo target_;
  ir::Arena& arena_;
  PassGraph graph_;
  std::vector<Step> steps_;
  int num_looked_at_ = 0;
  std::optional<bool> is_exact_;
};

std::string case_text(const Case& shown) {
  std::string text = ir::print(shown.program);
  for (const Value& argument : shown.arguments) text += "\nargument: " + exact_text(argument);
  return text;
}

// What kind of difference it is, for the reduction.
std::string kind_of(const std::string& difference) {
  return difference.substr(0, difference.find(':'));
}

// The guilty pass on a small program, which is what the passes before it made.
std::string explain(const Case& shown, PassTrial& trial, const std::string& order, const std::string& found,
                    ir::Arena& arena) {
  const Step guilty = trial.guilty_step();
  const passes::Pass* const alone[] = {guilty.pass};
  const auto judge_alone = [&](const Case& candidate) {
    return PassTrial(candidate, trial.target(), arena).judge(alone);
  };
  const Case before{guilty.before->program, shown.arguments};
  const std::string text = judge_alone(before);
  if (text.empty()) {
    return fmt::format("{} in {}: {}\n{}\n(fails only after the passes before it)\nbefore it:\n{}\n",
                       guilty.pass->name, order, found, case_text(shown), ir::print(before.program));
  }
  const Case small = reduced(
      before, ir::Stage::kInternal,
      [&](const Case& candidate) { return kind_of(judge_alone(candidate)) == kind_of(text); }, arena);
  PassTrial again(small, trial.target(), arena);
  const std::string difference = again.judge(alone);
  return fmt::format("{} in {}\n{}\n{}\nafter the pass:\n{}\n", guilty.pass->name, order, case_text(small),
                     difference, ir::print(again.result().program));
}

std::string ways_text(const CompileWay& compile, const RunWay& run, const std::string& order) {
  return fmt::format("compiled with {}: {}, {}", order, compile.text(), run.text());
}

// Compares compiled code with the interpreter on the program that is compiled; empty mostly.
std::string compare_compiled(const Case& shown, const Order& order, const CompileWay& way,
                             const std::shared_ptr<runtime::Context>& context) {
  codegen::CompileOptions options = way.options();
  options.pipeline = order.options;
  const auto compiled = codegen::Program::compile(shown.program, options);
  const Outcome expected = run_bounded(compiled->optimized(), shown.arguments, Bound::kGenerous);
  if (!is_comparable(expected.code)) return {};
  for (const RunWay& run : {RunWay{}, RunWay{.threads = 2, .executor = runtime::ExecutorKind::kTbb}}) {
    const Outcome found = run_compiled(*compiled, context, shown.arguments, run);
    if (const std::string text = difference(expected, found); !text.empty())
      return fmt::format("compiled code: {}\n{}\n{}", order.name, ways_text(way, run, order.name), text);
  }
  return {};
}

// All widths for the default order, one of them for any other.
std::vector<CompileWay> compile_ways(bool is_default, Random& random) {
  static constexpr int kWidths[] = {0, 1, 128, 256, 512};
  const auto way = [&](int width) {
    return CompileWay{.optimise = true,
                      .level = random.chance(60) ? 0 : static_cast<int>(1 + random.below(2)),
                      .simd_width_bits = width};
  };
  std::vector<CompileWay> ways;
  if (is_default) {
    for (const int width : kWidths) ways.push_back(way(width));
  } else {
    ways.push_back(way(random.pick(kWidths)));
  }
  return ways;
}

std::string compile_and_compare(const Case& shown, const Order& order, const CompileWay& way,
                                ir::Arena& arena) {
  const auto attempt = [&](const Case& candidate) -> std::string {
    try {
      return compare_compiled(candidate, order, way, make_context());
    } catch (const std::exception& error) {
      return fmt::format("compiling: {}", error.what());
    }
  };
  const std::string text = attempt(shown);
  if (text.empty()) return text;
  const Case small = reduced(
      shown, ir::Stage::kCore,
      [&](const Case& candidate) { return kind_of(attempt(candidate)) == kind_of(text); }, arena);
  const std::string again = attempt(small);
  return fmt::format("{}\n{}\n", case_text(small), again.empty() ? "(only sometimes) " + text : again);
}

}  // namespace

PassTrialCounts& PassTrialCounts::operator+=(const PassTrialCounts& other) {
  programs += other.programs;
  orders += other.orders;
  results += other.results;
  failed += other.failed;
  skipped += other.skipped;
  compiled += other.compiled;
  differed += other.differed;
  rewritten.resize(std::max(rewritten.size(), other.rewritten.size()));
  for (std::size_t i = 0; i < other.rewritten.size(); ++i) rewritten[i] += other.rewritten[i];
  return *this;
}

PassTrialCounts run_pass_trial(std::uint64_t seed, const PassSettings& settings, std::string& text) {
  Random random(seed * 0x2545f4914f6cdd1d + 77);
  ir::Arena arena;
  const Expr made = random.chance(70) ? random_library_program(random, arena, Sums::kExact)
                                      : random_program(random, arena, Sums::kExact);
  // From its text, so that errors have places.
  Case shown{parser::parse(ir::print(made), arena, {.internal = true}), {}};
  shown.arguments = random_arguments(random, shown.program, Lengths::kSmall);

  PassTrialCounts counts{.programs = 1};
  PassTrial trial(shown, random_target(random), arena);
  if (!is_comparable(trial.before().code)) return {.programs = 1, .skipped = 1};
  counts.failed = trial.before().succeeded() ? 0 : 1;
  const bool compiles =
      settings.compiled_every > 0 && seed % static_cast<std::uint64_t>(settings.compiled_every) == 0;
  std::vector<std::string> kinds;  // of the differences so far: one text for each
  const auto report = [&](const std::string& difference, const auto& explanation) {
    const std::string kind = kind_of(difference);
    if (std::ranges::count(kinds, kind) > 0) return;
    kinds.push_back(kind);
    text += fmt::format("=== seed {}: {}\n", seed, explanation());
  };
  for (const Order& order : orders_of(settings, random)) {
    ++counts.orders;
    const std::vector<const passes::Pass*> passes = passes::resolve(order.options);
    const std::string found = trial.judge(passes);
    if (!found.empty()) {
      report(found, [&] { return explain(shown, trial, order.name, found, arena); });
      continue;
    }
    State& result = trial.result();
    if (!compiles || result.compiled || counts.compiled == kMaxCompiled) continue;
    result.compiled = true;
    ++counts.compiled;
    for (const CompileWay& way : compile_ways(counts.orders == 1, random)) {
      const std::string difference = compile_and_compare(shown, order, way, arena);
      if (!difference.empty()) report("compiled code", [&] { return difference; });
    }
  }
  counts.results = trial.graph().num_states();
  counts.rewritten = trial.graph().num_rewritten();
  counts.differed = kinds.empty() ? 0 : 1;
  return counts;
}

PassTrialCounts run_pass_trials(std::uint64_t seed, std::uint64_t num_trials, int num_threads,
                                const PassSettings& settings, void (*report)(const std::string&)) {
  std::atomic<std::uint64_t> next{0};
  std::mutex mutex;
  PassTrialCounts counts;
  const auto work = [&] {
    for (std::uint64_t trial = next.fetch_add(1); trial < num_trials; trial = next.fetch_add(1)) {
      name_seed_of_crashes(seed + trial);
      std::string text;
      const PassTrialCounts result = run_pass_trial(seed + trial, settings, text);
      const std::lock_guard lock(mutex);
      counts += result;
      if (!text.empty()) report(text);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < num_threads; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  return counts;
}

}  // namespace weld::differential
