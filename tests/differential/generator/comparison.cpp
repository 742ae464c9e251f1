#include "tests/differential/generator/comparison.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <mutex>
#include <thread>

#include "ir/equality.h"
#include "ir/fields.h"
#include "ir/printer.h"
#include "ir/reduction_order.h"
#include "ir/verify.h"
#include "parser/parser.h"
#include "tests/differential/generator/bounded_run.h"
#include "tests/differential/generator/program_generator.h"
#include "tests/differential/generator/reduction.h"
#include "tests/differential/support/value_text.h"

namespace weld::differential {
namespace {

using ir::Expr;
using ir::Value;

// Fusion of loops may change the last bits of such sums.
bool sums_floats(Expr program) {
  bool found = false;
  ir::for_each_node(program, [&](Expr expr) {
    found = found || (expr.is<ir::For>() && ir::depends_on_order(expr.type()));
  });
  return found;
}

Verdict differs(std::string text) {
  return {Verdict::Kind::kDiffered, false, std::move(text)};
}

// A smaller trial that differs in the same way.
Trial smaller(const Trial& trial, const std::string& between, ir::Arena& arena) {
  const auto with = [&](const Case& candidate) {
    Trial changed = trial;
    changed.program = candidate.program;
    changed.arguments = candidate.arguments;
    return changed;
  };
  return with(reduced(
      {trial.program, trial.arguments}, ir::Stage::kCore,
      [&](const Case& candidate) {
        const Verdict verdict = judge(with(candidate), make_context());
        return verdict.kind == Verdict::Kind::kDiffered && verdict.between() == between;
      },
      arena));
}

thread_local std::uint64_t running_seed = 0;

void name_seed(int signal) {
  char text[96];
  const int length = std::snprintf(text, sizeof text, "signal %d in the trial with seed %llu\n", signal,
                                   static_cast<unsigned long long>(running_seed));
  if (write(STDERR_FILENO, text, static_cast<std::size_t>(length)) < 0) _exit(1);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

void name_seed_of_crashes(std::uint64_t seed) {
  running_seed = seed;
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) std::signal(signal, name_seed);
}

std::string printing_error(Expr program) {
  ir::Arena arena;
  try {
    const Expr again = parser::parse(ir::print(program), arena, {.internal = true});
    if (!ir::alpha_equal(program, again))
      return "the printed program is read back as another:\n" + ir::print(again);
  } catch (const std::exception& error) {
    return fmt::format("the printed program is rejected: {}", error.what());
  }
  return {};
}

CompileWay random_compile_way(Random& random) {
  CompileWay way;
  way.optimise = random.chance(70);
  const std::size_t choice = random.below(100);
  way.level = choice < 55 ? 0 : choice < 88 ? 1 : 2;
  static constexpr int kWidths[] = {0, 0, 1, 128, 256, 512};
  way.simd_width_bits = random.pick(kWidths);
  way.interpret = random.chance(4);
  return way;
}

std::vector<RunWay> random_run_ways(Random& random) {
  std::vector<RunWay> ways{RunWay{}};
  ways.push_back({.threads = 1 + static_cast<int>(random.below(4)),
                  .executor = static_cast<runtime::ExecutorKind>(random.below(3))});
  if (random.chance(30)) ways.push_back({.threads = 4, .executor = runtime::ExecutorKind::kTbb});
  return ways;
}

Verdict judge(const Trial& trial, const std::shared_ptr<runtime::Context>& context) {
  try {
    ir::verify(trial.program, ir::Stage::kCore);
  } catch (const std::exception& error) {
    return differs(fmt::format("the verifier rejects the program: {}", error.what()));
  }
  if (std::string error = printing_error(trial.program); !error.empty()) return differs(error);
  const Outcome before = run_bounded(trial.program, trial.arguments);
  if (!is_comparable(before.code)) return {.kind = Verdict::Kind::kSkipped};
  try {
    const auto compiled = codegen::Program::compile(trial.program, trial.compile.options());
    const Expr optimized = compiled->optimized();
    if (std::string error = printing_error(optimized); !error.empty()) return differs(error);
    const Outcome after = run_bounded(optimized, trial.arguments);
    if (!is_comparable(after.code)) return {.kind = Verdict::Kind::kSkipped};
    if (before.succeeded() && (!after.succeeded() || !sums_floats(trial.program))) {
      if (const std::string text = difference(before, after); !text.empty()) {
        return differs(fmt::format("the interpreter before and after the passes: {}\nafter the passes:\n{}",
                                   text, ir::print(optimized)));
      }
    }
    for (const RunWay& way : trial.runs) {
      const Outcome found = run_compiled(*compiled, context, trial.arguments, way);
      if (const std::string text = difference(after, found); !text.empty()) {
        return differs(fmt::format("the interpreter and compiled code: {}, {}", way.text(), text));
      }
    }
    return {.failed = !after.succeeded()};
  } catch (const std::exception& error) {
    return differs(fmt::format("compiling or running: {}", error.what()));
  }
}

std::string to_text(const Trial& trial) {
  std::string text = fmt::format("{}\n{}", trial.compile.text(), ir::print(trial.program));
  for (const Value& argument : trial.arguments) text += "\nargument: " + exact_text(argument);
  return text;
}

TrialReport run_trial(std::uint64_t seed) {
  Random random(seed * 0x2545f4914f6cdd1d + 1);
  ir::Arena arena;
  Trial trial;
  const bool of_library = random.chance(50);
  trial.program = of_library ? random_library_program(random, arena, Sums::kAny)
                             : random_program(random, arena, Sums::kAny);
  trial.arguments =
      random_arguments(random, trial.program, of_library ? Lengths::kEqual : Lengths::kAdversarial);
  trial.compile = random_compile_way(random);
  trial.runs = random_run_ways(random);
  const auto context = make_context();
  Verdict verdict = judge(trial, context);
  TrialReport report{verdict.kind, verdict.failed, {}};
  if (verdict.kind != Verdict::Kind::kDiffered) return report;
  const Trial small = smaller(trial, verdict.between(), arena);
  const Verdict again = judge(small, context);
  report.text =
      fmt::format("=== seed {}\n{}\n{}\n", seed, to_text(small),
                  again.difference.empty() ? "(only sometimes) " + verdict.difference : again.difference);
  return report;
}

TrialCounts run_trials(std::uint64_t seed, std::uint64_t num_trials, int num_threads,
                       void (*report)(const std::string&)) {
  std::atomic<std::uint64_t> next{0};
  std::mutex mutex;
  TrialCounts counts;
  const auto work = [&] {
    while (true) {
      const std::uint64_t trial = next.fetch_add(1);
      if (trial >= num_trials) return;
      name_seed_of_crashes(seed + trial);
      const TrialReport result = run_trial(seed + trial);
      const std::lock_guard lock(mutex);
      counts.agreed += result.kind == Verdict::Kind::kAgreed ? 1 : 0;
      counts.failed += result.failed ? 1 : 0;
      counts.skipped += result.kind == Verdict::Kind::kSkipped ? 1 : 0;
      counts.differed += result.kind == Verdict::Kind::kDiffered ? 1 : 0;
      if (!result.text.empty()) report(result.text);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < num_threads; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  return counts;
}

}  // namespace weld::differential
