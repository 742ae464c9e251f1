#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Looks once for a key that is first asked for and then looked up:
///
///   if(keyexists(d, k) && p, f(lookup(d, k)), y)
///   becomes
///   let probe = optlookup(d, k); if(probe.$0 && p, f(probe.$1), y)
///
/// where d is a name or a field of one. The lookups may be anywhere on the side that is taken when the key is
/// there, and in the parts of the condition after the question. Where parts before it decide whether it is
/// asked, so they do whether the key is looked for: `if(q, optlookup(d, k), {false, zero})`, which values of
/// scalars have.
ir::Expr share_probes(ir::Expr root, PassContext& context);

}  // namespace weld::passes
