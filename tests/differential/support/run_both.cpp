#include "tests/differential/support/run_both.h"

#include <fmt/format.h>

#include <array>

#include "tests/differential/support/c_values.h"
#include "tests/differential/support/foreign_functions.h"
#include "tests/differential/support/value_text.h"

namespace weld::differential {
namespace {

using ir::Value;

constexpr std::size_t kMaxText = 600;

// The C functions of foreign_functions.h on values.
class TestHost : public ir::Host {
 public:
  std::expected<Value, ErrorCode> call_foreign(const ir::ForeignCall& call,
                                               std::span<const Value> arguments) override {
    return call_on_values(call.name, arguments);
  }
};

Outcome failure(ErrorCode code, const ir::Location& where, std::string message) {
  return {.code = code, .line = where.line, .column = where.column, .message = std::move(message)};
}

}  // namespace

std::string to_text(const Outcome& outcome) {
  if (!outcome.succeeded()) {
    return fmt::format("{}:{}: {} ({})", outcome.line, outcome.column, error_name(outcome.code),
                       outcome.message);
  }
  std::string text = exact_text(outcome.value);
  if (text.size() > kMaxText) text = text.substr(0, kMaxText) + "…";
  return text;
}

std::string difference(const Outcome& expected, const Outcome& found) {
  if (expected.code == found.code) {
    if (!expected.succeeded() || ir::same_bits(expected.value, found.value)) return {};
  }
  std::string left = to_text(expected);
  std::string right = to_text(found);
  if (left == right && left.ends_with("…")) right = left = "(long values that differ further on)";
  return fmt::format("expected {}\n   found {}", left, right);
}

Outcome run_interpreter(ir::Expr program, std::span<const Value> arguments) {
  TestHost host;
  auto result = ir::interpret(program, arguments, host);
  if (!result) return failure(result.error().code, ir::locate(result.error().span), result.error().message);
  return {.value = std::move(*result)};
}

codegen::CompileOptions CompileWay::options() const {
  codegen::CompileOptions options;
  if (!optimise) options.pipeline.passes.emplace();
  options.optimization_level = level;
  options.simd_width_bits = simd_width_bits;
  options.interpret = interpret;
  return options;
}

std::string CompileWay::text() const {
  return fmt::format("{}{}, O{}{}", interpret ? "interpreted, " : "",
                     optimise ? "optimised" : "mandatory passes only", level,
                     simd_width_bits ? fmt::format(", simd width {}", simd_width_bits) : "");
}

std::string RunWay::text() const {
  constexpr std::array kNames{"inline", "std::thread", "TBB"};
  return fmt::format("{} threads, {}", threads, kNames[static_cast<std::size_t>(executor)]);
}

std::span<const RunWay> all_run_ways() {
  using runtime::ExecutorKind;
  static constexpr std::array kWays{RunWay{1, ExecutorKind::kInline}, RunWay{2, ExecutorKind::kThreads},
                                    RunWay{2, ExecutorKind::kTbb}, RunWay{4, ExecutorKind::kThreads},
                                    RunWay{4, ExecutorKind::kTbb}};
  return kWays;
}

std::shared_ptr<runtime::Context> make_context() {
  return std::make_shared<runtime::Context>(runtime::ContextOptions{.memory_limit = std::int64_t{2} << 30});
}

Outcome run_compiled(const codegen::Program& program, const std::shared_ptr<runtime::Context>& context,
                     std::span<const Value> arguments, const RunWay& way) {
  CArguments c_arguments(program.parameter_types(), program.arguments_layout(), arguments);
  Outcome outcome;
  const std::int64_t bytes_before = context->bytes_in_use();
  {
    const auto result =
        program.run(context, c_arguments.data(), {.num_threads = way.threads, .executor = way.executor});
    if (result) {
      outcome.value = read_c_value(program.result_type(), result->layout(),
                                   static_cast<const std::byte*>(result->data()));
    } else {
      outcome = failure(result.error().code, result.error().location, result.error().message);
    }
  }
  if (!c_arguments.unchanged()) return failure(ErrorCode::kUnknown, {}, "the run wrote to its arguments");
  if (context->bytes_in_use() != bytes_before) {
    return failure(ErrorCode::kUnknown, {},
                   fmt::format("the run left {} bytes behind", context->bytes_in_use() - bytes_before));
  }
  return outcome;
}

bool is_comparable(ErrorCode code) {
  return code != ErrorCode::kOutOfMemory && code != ErrorCode::kBudgetExceeded &&
         code != ErrorCode::kCancelled && code != ErrorCode::kDeadlineExceeded;
}

}  // namespace weld::differential
