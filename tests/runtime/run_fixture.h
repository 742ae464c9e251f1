#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "ir/arena.h"
#include "runtime/calls.h"
#include "runtime/run_context.h"

namespace weld::runtime {

using Program = std::function<ErrorCode(Worker*, std::byte* result)>;

/// Runs a C++ function as if it were a compiled program without parameters.
inline RunResult run(Context& context, const RunSettings& settings, const TypeLayout& result,
                     const Program& program) {
  const ProgramMain main = [](Worker* worker, const std::byte* args, std::byte* out) {
    return (*reinterpret_cast<const Program*>(args))(worker, out);
  };
  return run_program(context, settings, main, reinterpret_cast<const std::byte*>(&program), result);
}

/// A context, an arena for types, and their layouts.
class RunTest : public testing::Test {
 protected:
  ~RunTest() override { EXPECT_EQ(context.bytes_in_use(), 0); }

  static ir::Type i8() { return ir::Type::scalar(ir::ScalarKind::kI8); }
  static ir::Type i64() { return ir::Type::scalar(ir::ScalarKind::kI64); }
  static ir::Type f64() { return ir::Type::scalar(ir::ScalarKind::kF64); }
  static ir::Type boolean() { return ir::Type::scalar(ir::ScalarKind::kBool); }

  const TypeLayout& layout(ir::Type type) { return layouts.of(type); }
  const TypeLayout& nothing() { return layouts.of(arena.structure({})); }

  /// An index for calls that take one; settings.program must be `tables()`.
  std::uint32_t index_of(ir::Type type) {
    table.push_back(&layouts.of(type));
    tables.layouts = table;
    settings.program = &tables;
    return static_cast<std::uint32_t>(table.size() - 1);
  }

  RunResult run(const TypeLayout& result, const Program& program) {
    return runtime::run(context, settings, result, program);
  }
  ErrorCode run(const Program& program) { return run(nothing(), program).code; }

  ir::Arena arena;
  Layouts layouts;
  std::vector<const TypeLayout*> table;
  ProgramTables tables;
  RunSettings settings;
  Context context;
};

/// Appends one element, growing as generated code does.
template <class T>
ErrorCode append(Worker* worker, AppenderState& appender, const T& value) {
  if (appender.length == appender.capacity) {
    const ErrorCode code = weld_rt_appender_grow(worker, &appender, sizeof(T), 1);
    if (code != ErrorCode::kSuccess) return code;
  }
  reinterpret_cast<T*>(appender.data)[appender.length++] = value;
  return ErrorCode::kSuccess;
}

/// Calls `make` on a context that fails the first, second, ... allocation, until it succeeds without a
/// failure. Every failure must be kOutOfMemory, and must leave nothing behind.
inline void fail_every_allocation(const std::function<ErrorCode(Context&)>& make) {
  for (std::int64_t n = 1;; ++n) {
    Context context({.fail_allocation_at = n});
    const ErrorCode code = make(context);
    EXPECT_EQ(context.bytes_in_use(), 0) << "allocation " << n;
    if (code == ErrorCode::kSuccess) {
      EXPECT_GT(n, 1);
      return;
    }
    ASSERT_EQ(code, ErrorCode::kOutOfMemory) << "allocation " << n;
    ASSERT_LT(n, 10'000);
  }
}

}  // namespace weld::runtime
