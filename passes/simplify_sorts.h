#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Sorts less, and by keys:
///
///   slice(sort(v, |x| k), 0L, n)                        becomes    sort(v, |x| k, n)
///   sort(v, |a, b| if(a.$0 < b.$0, -1, if(a.$0 > b.$0, 1, 0)))     sort(v, |x| x.$0)
///   sort(sort(v, |x| k), |x| k)                                    sort(v, |x| k)
///
/// The first elements are cut off also through names, loops that map each element, and where single elements
/// are looked up. A comparator that compares several keys in turn becomes a struct of keys; keys in falling
/// order are complemented (integers, bool) or negated (floats: a comparator of floats is no order where a NaN
/// is among them, so that any order may come out). Fires only where the keys, and what is left out of a loop,
/// can neither fail nor diverge. The length of a sorted vector is that of the vector; filters and slices of
/// one are sorted.
ir::Expr simplify_sorts(ir::Expr root, PassContext& context);

}  // namespace weld::passes
