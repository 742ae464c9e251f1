#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "ir/arena.h"
#include "ir/target_info.h"
#include "passes/pipeline.h"

namespace weld::passes {

/// Something that a pass did or did not do, and why, e.g. a loop that was not fused.
struct Remark {
  std::string pass;
  std::string message;  ///< lower case, no full stop
  ir::Span span;
};

/// What every pass gets besides the program.
struct PassContext {
  ir::Arena& arena;  ///< owns the nodes that passes make
  PipelineOptions options;
  ir::TargetInfo target = ir::host_target();
  std::optional<std::chrono::steady_clock::time_point> deadline;  ///< looked at between passes
  std::vector<Remark> remarks;                                    ///< filled by passes
};

}  // namespace weld::passes
