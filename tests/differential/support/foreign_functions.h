#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "ir/error.h"
#include "ir/value.h"
#include "runtime/abi.h"

// C functions for programs with cudf. Executables that link them must export their symbols.
extern "C" {
void weld_test_add(const std::int64_t* left, const std::int64_t* right, std::int64_t* sum);
void weld_test_half(const double* value, double* half);
void weld_test_answer(std::int32_t* answer);
void weld_test_length(const weld::runtime::VecView* vector, std::int64_t* length);
struct WeldTestPair {
  std::int8_t first;
  double second;
};
void weld_test_swap(const WeldTestPair* pair, WeldTestPair* swapped);
/// Fails the run that called it with KeyNotFoundError if the value is negative.
void weld_test_check(const std::int64_t* value, std::int64_t* same);
}

namespace weld::differential {

/// The same on values of the interpreter; Unknown for any other name.
std::expected<ir::Value, ErrorCode> call_on_values(std::string_view name,
                                                   std::span<const ir::Value> arguments);

}  // namespace weld::differential
