#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/expr.h"
#include "ir/verify.h"

namespace weld::passes {

struct PassContext;

/// A pass as the pipeline, the conf and the command line know it.
struct Pass {
  std::string_view name;     ///< of its function; `-` for `_` is accepted where names are read
  std::string_view summary;  ///< one line, lower case, no full stop
  ir::Expr (*run)(ir::Expr root, PassContext& context);
  bool mandatory;  ///< lowering relies on it: runs whatever the options list or switch off
  ir::Stage stage = ir::Stage::kCore;  ///< kInternal: makes internal forms (LANGUAGE.md §1.9)
};

/// Every pass once, in the order of its first run.
std::span<const Pass> all_passes();

/// The passes of the default pipeline, in order. A pass may occur more than once.
std::span<const std::string_view> default_order();

/// The pass of that name; null when there is none. Aliases are not looked at.
const Pass* find_pass(std::string_view name);

/// What happened in one pass, for printing and timing.
struct PassReport {
  const Pass& pass;
  ir::Expr before;
  ir::Expr after;  ///< the same handle as `before` where nothing changed
  double microseconds;
};

/// What to run. Programs compiled with equal options are equal: `after_pass` only looks on, and takes no part
/// in equality and hash.
struct PipelineOptions {
  /// Names or aliases in order; nothing: the default. Mandatory passes that are not listed run first, in
  /// default order.
  std::optional<std::vector<std::string>> passes;
  std::vector<std::string> switched_off;  ///< names; every occurrence is left out
#ifdef WELD_VERIFY_PASSES
  bool verify = true;  ///< check the program after every pass; InternalError names the one that broke it
#else
  bool verify = false;
#endif
  std::function<void(const PassReport&)> after_pass;

  bool operator==(const PipelineOptions& other) const {
    return passes == other.passes && switched_off == other.switched_off && verify == other.verify;
  }
  std::uint64_t hash() const;
};

/// The passes that the options ask for, in order. `warnings`, where given, gets a line for each name of the
/// original's passes that has no pass here. Throws UserError (ConfigurationError) for an unknown name, naming
/// the ones there are, and when a mandatory pass is switched off.
std::vector<const Pass*> resolve(const PipelineOptions& options,
                                 std::vector<std::string>* warnings = nullptr);

/// Runs the passes of `context.options` over a program (a lambda, or an expression without free symbols).
///
/// Memory  new nodes belong to `context.arena`, which also keeps or owns those of `root`
/// Errors  UserError: an unknown pass (ConfigurationError), a program of more than Arena::kMaxNodes nodes as
/// a
///         tree (BudgetExceeded), the deadline passed between two passes (DeadlineExceeded)
ir::Expr run_pipeline(ir::Expr root, PassContext& context);

}  // namespace weld::passes
