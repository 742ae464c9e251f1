#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "ir/arena.h"

namespace weld::parser {

struct ParseOptions {
  std::string name = "<program>";  ///< of the source, in positions
  bool internal = false;           ///< accept the internal forms of LANGUAGE.md §1.9 too
  std::size_t max_errors = 20;     ///< diagnostics of one UserError, at least 1
};

/// Longer programs are rejected with BudgetExceeded.
inline constexpr std::size_t kMaxSourceBytes = std::size_t{16} << 20;

/// The typed program of a text (LANGUAGE.md §1): a Lambda whose parameters are the inputs, or any other
/// expression, which has no inputs. Names are resolved, aliases and macros expanded, omitted types inferred,
/// calls of `let`-bound lambdas inlined; inside the body of a `for` its builder is always named by the
/// parameter. The linear use of builders is not checked here: see ir/verify.h.
///
/// The internal option adds `simd[S,n]`, `merge(b,v,mask)`, `groupmerger[K,V](size)`, floats by their bits
/// (`f64[0x7ff8000000000000]`), and keeps `let`-bound lambdas whose parameters all have types, as well as
/// their calls, so that whatever `ir::print` writes is read back as it was.
///
/// \param arena  gets nodes, types and the source
///
/// Errors   UserError with one or more diagnostics in the order of the text: a syntax error alone, else names
///          and types wrong in separate places, up to `max_errors`. BudgetExceeded past 16 MiB of text, a
///          nesting of 1,000, a million nodes.
/// Memory   the stack used is bounded by the nesting of the text (`let` bodies do not nest); some 2 KiB a
///          level.
/// Threads  any number at once, each with an arena of its own.
ir::Expr parse(std::string_view text, ir::Arena& arena, const ParseOptions& options = {});

}  // namespace weld::parser
