#include "tests/differential/generator/bounded_run.h"

#include "ir/fields.h"
#include "ir/reduction_order.h"
#include "tests/differential/support/foreign_functions.h"

namespace weld::differential {
namespace {

using ir::Expr;
using ir::Value;

class BoundedHost : public ir::Host {
 public:
  explicit BoundedHost(Bound bound)
      : max_bytes_(bound == Bound::kNormal ? kMaxBytes : 2 * kMaxBytes),
        max_polls_(bound == Bound::kNormal ? kMaxPolls : 10 * kMaxPolls) {}

  bool count_bytes(std::int64_t delta) noexcept override {
    bytes_ += delta;
    return delta <= 0 || bytes_ < max_bytes_;
  }
  ErrorCode poll() noexcept override {
    return ++polls_ > max_polls_ ? ErrorCode::kDeadlineExceeded : ErrorCode::kSuccess;
  }
  std::expected<Value, ErrorCode> call_foreign(const ir::ForeignCall& call,
                                               std::span<const Value> arguments) override {
    return call_on_values(call.name, arguments);
  }

 private:
  static constexpr std::int64_t kMaxBytes = std::int64_t{64} << 20;
  static constexpr int kMaxPolls = 300;  // one in a thousand iterations

  const std::int64_t max_bytes_;
  const int max_polls_;
  std::int64_t bytes_ = 0;
  int polls_ = 0;
};

Expr with_blocks_of(std::string_view num_iterations, Expr program, ir::Arena& arena) {
  return ir::rewrite_bottom_up(program, arena, [&](Expr expr) {
    if (!expr.is<ir::For>() || !ir::depends_on_order(expr.type())) return expr;
    std::vector<ir::Annotation> annotations(expr.annotations().begin(), expr.annotations().end());
    annotations.push_back({"block", ir::Annotation::Kind::kNumber, num_iterations});
    return arena.with_annotations(expr, annotations);
  });
}

}  // namespace

BoundedOutcome run_bounded(Expr program, std::span<const Value> arguments, Bound bound) {
  BoundedHost host(bound);
  auto result = ir::interpret(program, arguments, host);
  BoundedOutcome outcome;
  if (result) {
    outcome.value = std::move(*result);
  } else {
    outcome.code = result.error().code;
    outcome.message = result.error().message;
    outcome.span = result.error().span;
  }
  return outcome;
}

bool sums_exactly(Expr program, std::span<const Value> arguments, const Outcome& outcome, ir::Arena& arena) {
  for (const std::string_view block : {"1", "3"}) {
    const Expr other = with_blocks_of(block, program, arena);
    if (other.get() == program.get()) return true;
    if (!difference(outcome, run_bounded(other, arguments)).empty()) return false;
  }
  return true;
}

}  // namespace weld::differential
