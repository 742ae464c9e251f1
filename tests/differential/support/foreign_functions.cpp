#include "tests/differential/support/foreign_functions.h"

#include "runtime/calls.h"
#include "runtime/run_context.h"

void weld_test_add(const std::int64_t* left, const std::int64_t* right, std::int64_t* sum) {
  *sum = *left + *right;
}
void weld_test_half(const double* value, double* half) {
  *half = *value / 2;
}
void weld_test_answer(std::int32_t* answer) {
  *answer = 42;
}
void weld_test_length(const weld::runtime::VecView* vector, std::int64_t* length) {
  *length = vector->length;
}
void weld_test_swap(const WeldTestPair* pair, WeldTestPair* swapped) {
  swapped->first = static_cast<std::int8_t>(pair->second);
  swapped->second = pair->first;
}
void weld_test_check(const std::int64_t* value, std::int64_t* same) {
  *same = *value;
  if (*value < 0) {
    weld::runtime::weld_rt_fail(weld::runtime::current_worker(), weld::ErrorCode::kKeyNotFoundError,
                                weld::runtime::kNoSpan);
  }
}

namespace weld::differential {

std::expected<ir::Value, ErrorCode> call_on_values(std::string_view name,
                                                   std::span<const ir::Value> arguments) {
  if (name == "weld_test_add") {
    return ir::Value::of(arguments[0].as<std::int64_t>() + arguments[1].as<std::int64_t>());
  }
  if (name == "weld_test_half") return ir::Value::of(arguments[0].as<double>() / 2);
  if (name == "weld_test_answer") return ir::Value::of(std::int32_t{42});
  if (name == "weld_test_length") return ir::Value::of(arguments[0].vector().length);
  if (name == "weld_test_swap") {
    const auto members = arguments[0].members();
    return ir::Value::structure({ir::Value::of(static_cast<std::int8_t>(members[1].as<double>())),
                                 ir::Value::of(static_cast<double>(members[0].as<std::int8_t>()))});
  }
  if (name == "weld_test_check") {
    if (arguments[0].as<std::int64_t>() < 0) return std::unexpected(ErrorCode::kKeyNotFoundError);
    return arguments[0];
  }
  return std::unexpected(ErrorCode::kUnknown);
}

}  // namespace weld::differential
