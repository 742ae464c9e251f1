#pragma once

#include "passes/pass.h"

namespace weld::passes {

/// Gives loops with filters other forms: one which looks first whether any row of a group passes,
///
///   for(zip(v, w), merger[f64,+], |b, i, x| if(x.$0 > 5L, merge(b, x.$1), b))
///   becomes
///   variants(for(…), @(variant:rare) for(…, |b, i, x| @(branch_selectivity:0.01) if(x.$0 > 5L, …)))
///
/// which predicate_merges and vectorise_loops then write for rows that are taken often and seldom, and up to
/// two which begin with another dear part of the condition:
///
///   if(s == t && u == w, …)    becomes, in    @(variant:reordered) for(…), if(u == w && s == t, …)
///
/// Which form runs is measured, morsel by morsel (runtime/variants.h). Fires for loops that may be long, are
/// in no other loop, and fill mergers, appenders or vecmergers; whose bodies are small, and have one branch
/// around their merges that nothing is known of. The first form needs something to save: columns that are
/// read or work that is done for rows that pass only. The others need two parts of a conjunction that cost
/// more than a mispredicted branch saves, and cannot fail.
ir::Expr choose_variants(ir::Expr root, PassContext& context);

/// Leaves of variants that came out alike only the first:
///
///   variants(for(v, b, f, lanes), @(variant:rare) for(v, b, g, lanes))    becomes    for(v, b, f, lanes)
///
/// Variants with functions for lanes are alike if those are; others if their functions are, shares of
/// branches aside. Names that passes bound around the loops are bound around the choice. Expects
/// vectorise_loops to have run.
ir::Expr settle_variants(ir::Expr root, PassContext& context);

}  // namespace weld::passes
