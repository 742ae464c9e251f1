#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Tells new appenders and dictmergers how much they will hold, where code generation does not see it at the
/// loop itself:
///
///   for(v, appender[i64], |b, i, x| for(w, b, |c, j, y| merge(c, x * y)))
///     appender[i64](len(v) * len(w))
///
///   for(vv, appender[i64], |b, i, v| for(v, b, |c, j, x| merge(c, x)))
///     appender[i64](the sum of the lengths)
///
///   for(w, for(v, appender[i64], …), …)
///     appender[i64](len(v) + len(w))
///
///   for(v, dictmerger[i64,i64,+], |b, i, x| merge(b, {x, 1L}))
///     dictmerger[i64,i64,+](min(len(v), 9L))
///
/// the last where the caller says `@(distinct:9) vec[i64]` of v, or bounds of integers with as few values.
/// Such claims are hints, never trusted, and bounded by the number of merges. A loop that merges equally
/// often in every iteration, and no deeper, needs no argument: it makes room by itself; so does one that
/// filters, block by block. Expects inlined lets.
ir::Expr infer_sizes(ir::Expr root, PassContext& context);

}  // namespace weld::passes
