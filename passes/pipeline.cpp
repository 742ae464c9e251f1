#include "passes/pipeline.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <exception>

#include "ir/error.h"
#include "ir/verify.h"
#include "passes/choose_variants.h"
#include "passes/drop_dead_fields.h"
#include "passes/eliminate_common_subexpressions.h"
#include "passes/fold_constants.h"
#include "passes/fuse_loops.h"
#include "passes/fuse_siblings.h"
#include "passes/infer_sizes.h"
#include "passes/inline_applies.h"
#include "passes/inline_lets.h"
#include "passes/inline_zips.h"
#include "passes/order_conjuncts.h"
#include "passes/pass.h"
#include "passes/predicate_merges.h"
#include "passes/reduce_groups.h"
#include "passes/reduce_strength.h"
#include "passes/rewrite_column_moments.h"
#include "passes/rewrite_moments.h"
#include "passes/share_probes.h"
#include "passes/simplify_algebra.h"
#include "passes/simplify_sorts.h"
#include "passes/split_vectors.h"
#include "passes/tile_loops.h"
#include "passes/unroll_loops.h"
#include "passes/unroll_structs.h"
#include "passes/vectorise_loops.h"

namespace weld::passes {
namespace {

constexpr std::array kPasses{
    Pass{"inline_applies", "replaces calls of functions by their bodies", inline_applies, true},
    Pass{"inline_lets", "replaces names by the values they are bound to, drops unused ones", inline_lets,
         false},
    Pass{"inline_zips", "turns zips into iterators of loops", inline_zips, true},
    Pass{"fold_constants", "computes what is known, takes branches that are decided", fold_constants, false},
    Pass{"simplify_algebra", "replaces arithmetic by less of it, where that is exact", simplify_algebra,
         false},
    Pass{"unroll_structs", "replaces structs by their members", unroll_structs, false},
    Pass{"reduce_strength", "makes elements of loops of what they look up by their index", reduce_strength,
         false},
    Pass{"fuse_loops", "makes one loop of a loop and the loops that use its vector", fuse_loops, false},
    Pass{"reduce_groups", "reduces values as they are grouped, where groups are only reduced", reduce_groups,
         false},
    Pass{"fuse_siblings", "makes one loop of loops with equally many iterations", fuse_siblings, false},
    Pass{"drop_dead_fields", "leaves out builders whose results nobody uses", drop_dead_fields, false},
    Pass{"split_vectors", "stores vectors of structs by columns, where nobody else sees them", split_vectors,
         false},
    Pass{"tile_loops", "does several iterations at a time that share an inner loop's vectors", tile_loops,
         false},
    Pass{"rewrite_moments", "reads a vector once for its mean and the squares about it", rewrite_moments,
         false},
    Pass{"rewrite_column_moments", "reads rows once for sums of their columns and the squares about these",
         rewrite_column_moments, false},
    Pass{"infer_sizes", "tells builders how much they will hold", infer_sizes, false},
    Pass{"simplify_sorts", "sorts by keys, and only the elements that are used", simplify_sorts, false,
         ir::Stage::kInternal},
    Pass{"unroll_loops", "writes short loops out", unroll_loops, false},
    Pass{"eliminate_common_subexpressions",
         "computes once what is computed in several places or every iteration",
         eliminate_common_subexpressions, false},
    Pass{"order_conjuncts", "evaluates the parts of conditions in the order that costs least",
         order_conjuncts, false},
    Pass{"share_probes", "looks once for keys that are asked for first", share_probes, false},
    Pass{"choose_variants", "gives filters a form for rows that pass seldom", choose_variants, false,
         ir::Stage::kInternal},
    Pass{"predicate_merges", "merges selected values instead of branching around merges", predicate_merges,
         false},
    Pass{"vectorise_loops", "gives loops a body for 16 iterations or more at once", vectorise_loops, false,
         ir::Stage::kInternal},
    Pass{"settle_variants", "leaves one of variants that are alike", settle_variants, false,
         ir::Stage::kInternal},
};

constexpr auto kDefaultOrder = std::to_array<std::string_view>({
    "inline_applies",
    "inline_lets",
    "inline_zips",
    "fold_constants",
    "simplify_algebra",
    "unroll_structs",
    "reduce_strength",
    "inline_lets",
    "fuse_loops",
    "reduce_groups",
    "rewrite_moments",
    "rewrite_column_moments",
    "fuse_siblings",
    "inline_lets",
    "drop_dead_fields",
    "inline_lets",
    "split_vectors",
    "simplify_sorts",
    "unroll_loops",
    "inline_lets",
    "fold_constants",
    "simplify_algebra",
    "eliminate_common_subexpressions",
    "reduce_strength",
    "inline_lets",
    "order_conjuncts",
    "tile_loops",
    "infer_sizes",
    "share_probes",
    "choose_variants",
    "predicate_merges",
    "vectorise_loops",
    "settle_variants",
});

// Names of the original's passes. Those without a pass here stand for work that is done elsewhere or not yet.
struct Alias {
  std::string_view name;
  std::string_view pass;  ///< empty: none
};
constexpr std::array kAliases{
    Alias{"inline_apply", "inline_applies"},
    Alias{"inline_let", "inline_lets"},
    Alias{"inline_let_getfield", "inline_lets"},
    Alias{"inline_zip", "inline_zips"},
    Alias{"inline_literals", "fold_constants"},
    Alias{"inline_cast", "fold_constants"},
    Alias{"simplify", "fold_constants"},
    Alias{"algebraic", "simplify_algebra"},
    Alias{"cse", "eliminate_common_subexpressions"},
    Alias{"fix_iterate", ""},
    Alias{"infer_size", "infer_sizes"},
    Alias{"loop_fusion", "fuse_loops"},
    Alias{"fuse_producers", "fuse_loops"},
    Alias{"measurement", ""},
    Alias{"predicate", "predicate_merges"},
    Alias{"short_circuit_booleans", "order_conjuncts"},
    Alias{"unroll_static_loop", "unroll_loops"},
    Alias{"vectorize", "vectorise_loops"},
};

std::string with_underscores(std::string_view name) {
  std::string canonical(name);
  std::ranges::replace(canonical, '-', '_');
  return canonical;
}

const Alias* find_alias(std::string_view canonical) {
  const auto found = std::ranges::find(kAliases, canonical, &Alias::name);
  return found == kAliases.end() ? nullptr : &*found;
}

[[noreturn]] void reject_name(const std::string& name) {
  std::vector<std::string_view> names;
  for (const Pass& pass : kPasses) names.push_back(pass.name);
  throw ir::UserError(fmt::format("there is no pass {}; the passes are {}", name, fmt::join(names, ", ")), {},
                      ErrorCode::kConfigurationError);
}

// The pass of a name or alias; null for a name of the original's that has no pass here.
const Pass* pass_named(const std::string& name, std::vector<std::string>* warnings) {
  if (const Pass* pass = find_pass(name)) return pass;
  const Alias* alias = find_alias(with_underscores(name));
  if (!alias) reject_name(name);
  if (!alias->pass.empty()) return find_pass(alias->pass);
  if (warnings) warnings->push_back(fmt::format("pass {} is accepted, but does nothing", name));
  return nullptr;
}

void verify_after(const Pass& pass, ir::Expr program, ir::Stage stage) {
  try {
    ir::verify(program, stage);
  } catch (const std::exception& error) {
    ir::internal_check(false, fmt::format("the program is valid after {}: {}", pass.name, error.what()));
  }
}

}  // namespace

std::span<const Pass> all_passes() {
  return kPasses;
}

std::span<const std::string_view> default_order() {
  return kDefaultOrder;
}

const Pass* find_pass(std::string_view name) {
  const auto found = std::ranges::find(kPasses, with_underscores(name), &Pass::name);
  return found == kPasses.end() ? nullptr : &*found;
}

std::uint64_t PipelineOptions::hash() const {
  const std::hash<std::string> hash_text;
  std::uint64_t hash = verify ? 1 : 2;
  const auto add = [&](std::uint64_t value) { hash = (hash ^ value) * 0x9e3779b97f4a7c15u + (hash >> 29); };
  add(passes ? passes->size() + 1 : 0);
  if (passes) {
    for (const std::string& name : *passes) add(hash_text(name));
  }
  for (const std::string& name : switched_off) add(hash_text(name));
  return hash;
}

std::vector<const Pass*> resolve(const PipelineOptions& options, std::vector<std::string>* warnings) {
  std::vector<const Pass*> listed;
  if (options.passes) {
    for (const std::string& name : *options.passes) {
      if (const Pass* pass = pass_named(name, warnings)) listed.push_back(pass);
    }
  } else {
    for (std::string_view name : kDefaultOrder) listed.push_back(find_pass(name));
  }
  for (const std::string& name : options.switched_off) {
    const Pass* pass = pass_named(name, warnings);
    if (pass && pass->mandatory) {
      throw ir::UserError(fmt::format("pass {} cannot be switched off: lowering relies on it", pass->name),
                          {}, ErrorCode::kConfigurationError);
    }
    std::erase(listed, pass);
  }
  std::vector<const Pass*> order;
  for (const Pass& pass : kPasses) {
    if (pass.mandatory && std::ranges::count(listed, &pass) == 0) order.push_back(&pass);
  }
  order.insert(order.end(), listed.begin(), listed.end());
  return order;
}

ir::Expr run_pipeline(ir::Expr root, PassContext& context) {
  using Clock = std::chrono::steady_clock;
  ir::Stage stage = ir::Stage::kCore;
  for (const Pass* pass : resolve(context.options)) {
    if (context.deadline && Clock::now() > *context.deadline) {
      throw ir::UserError(fmt::format("the compile deadline passed before pass {}", pass->name), root.span(),
                          ErrorCode::kDeadlineExceeded);
    }
    // Parts that are shared count as often as they occur, as for whoever walks over the program.
    if (root.record().num_nodes > ir::Arena::kMaxNodes) {
      throw ir::UserError(fmt::format("the program has more than {} nodes", ir::Arena::kMaxNodes),
                          root.span(), ErrorCode::kBudgetExceeded);
    }
    context.arena.allow_more_nodes(ir::Arena::kMaxNodes);
    const ir::Expr before = root;
    const Clock::time_point start = Clock::now();
    root = pass->run(before, context);
    const std::chrono::duration<double, std::micro> time = Clock::now() - start;
    if (pass->stage == ir::Stage::kInternal) stage = ir::Stage::kInternal;
    if (context.options.verify) verify_after(*pass, root, stage);
    if (context.options.after_pass) context.options.after_pass({*pass, before, root, time.count()});
  }
  return root;
}

}  // namespace weld::passes
