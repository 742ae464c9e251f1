#pragma once

#include "ir/expr.h"
#include "passes/pass.h"

namespace weld::passes {

/// Reduces values as they are grouped, where nothing else is done with the groups:
///
///   for(tovec(result(for(v, groupmerger[K,V], |b, i, e| merge(b, {k, x})))), …,
///       |b, i, g| … g.$0 … result(for(g.$1, merger[f64,+], |b, i, x| merge(b, f(x)))) / f64(len(g.$1)) …)
///
/// becomes
///
///   for(tovec(result(for(v, dictmerger[K,{f64,i64},+], |b, i, e| merge(b, {k, {f(x), 1L}})))), …,
///       |b, i, g| … g.$0 … g.$1.$0 / f64(g.$1.$1) …)
///
/// Takes several loops over the same groups, and several reductions: one dictionary for each of their
/// operators, whose entries have the same order. A filter inside of a group's loop becomes a choice of the
/// identity. Fires only where a group's loops depend on nothing but its elements and cannot fail, where
/// mergers are of scalars, and where the loop that groups merges outside of inner loops. Float sums are then
/// those of a dictmerger (ir/reduction_order.h), and may differ in their last bits. Expects calls and zips
/// inlined.
ir::Expr reduce_groups(ir::Expr root, PassContext& context);

}  // namespace weld::passes
