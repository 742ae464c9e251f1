#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/engine.h"
#include "ir/arena.h"
#include "ir/value.h"
#include "tests/differential/support/run_both.h"

namespace weld::builders {

/// One program with several strategies of its builder, every one of which gives what the interpreter gives
/// for the program without any, to the last bit.
class Matrix {
 public:
  /// `$impl` in the program stands for the annotation of a strategy, `$loop` for one that cuts a loop of a
  /// few thousand rows into many morsels. "" is the strategy that is chosen.
  Matrix(std::string program, std::span<const std::string_view> strategies);

  /// The element type of a parameter that is a vector.
  ir::Type element(std::size_t parameter) const;

  /// Runs each strategy in some of the ways to run (number of threads, executor), others each time: over a
  /// suite every strategy meets every way several times.
  void check(std::span<const ir::Value> arguments, std::string_view what);

 private:
  struct Compiled {
    std::string_view strategy;
    std::unique_ptr<ir::Arena> arena;  // of the text, to which places of errors point
    std::shared_ptr<const codegen::Program> program;
  };

  std::string text_;
  std::vector<Compiled> programs_;  // the first is what the interpreter runs
  std::shared_ptr<runtime::Context> context_ = differential::make_context();
  std::size_t next_way_ = 0;
};

/// The strategies of keyed builders and of vecmergers.
inline constexpr std::string_view kStrategies[] = {"", "local", "global", "partitioned", "dense"};
/// Those of lookups.
inline constexpr std::string_view kLookupStrategies[] = {"", "plain", "staged"};
inline constexpr std::string_view kNoStrategies[] = {""};

}  // namespace weld::builders
