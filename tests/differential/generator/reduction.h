#pragma once

#include <functional>
#include <span>
#include <vector>

#include "ir/arena.h"
#include "ir/value.h"
#include "ir/verify.h"

namespace weld::differential {

/// A program with arguments.
struct Case {
  ir::Expr program;
  std::vector<ir::Value> arguments;
};

/// Whether a valid program with these arguments shows what is looked for.
using Shows = std::function<bool(const Case&)>;

/// A smaller case that shows it too: parts of the program are replaced by their parts or by zeros, parameters
/// left out, vectors cut. What is new belongs to the arena.
Case reduced(const Case& shown, ir::Stage stage, const Shows& shows, ir::Arena& arena);

}  // namespace weld::differential
