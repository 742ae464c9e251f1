#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Leaves out builders whose results nobody uses:
///
///   let r = result(for(v, {merger[i64,+], appender[i64]}, |b, i, e| {merge(b.$0, e), merge(b.$1, e * e)}));
///   r.$0 + 1L
///
/// becomes
///
///   let r = result(for(v, merger[i64,+], |b, i, e| merge(b, e)));
///   r + 1L
///
/// and empties loops whose value nobody uses but whose iterators have to agree in length. What may fail,
/// diverge or call a foreign function is never left out. Expects inlined lets.
ir::Expr drop_dead_fields(ir::Expr root, PassContext& context);

}  // namespace weld::passes
