#include "tests/differential/generator/pass_graph.h"

#include <algorithm>
#include <exception>

#include "ir/equality.h"
#include "ir/error.h"
#include "ir/verify.h"

namespace weld::differential {

using ir::Expr;

PassGraph::PassGraph(Expr program, std::span<const ir::Value> arguments, const ir::TargetInfo& target,
                     ir::Arena& arena)
    : arguments_(arguments), target_(target), arena_(arena) {
  state_of(program);
}

std::vector<PassGraph::Step> PassGraph::run(std::span<const passes::Pass* const> order) {
  std::vector<Step> steps;
  State* state = states_.front().get();
  for (const passes::Pass* pass : order) {
    const Edge edge{state, pass};
    auto found = steps_.find(edge);
    if (found == steps_.end()) found = steps_.emplace(edge, run_pass(*pass, *state)).first;
    steps.push_back(found->second);
    state = found->second.after;
    if (!state->invalid.empty()) break;
  }
  return steps;
}

std::vector<std::uint64_t> PassGraph::num_rewritten() const {
  std::vector<std::uint64_t> counts(passes::all_passes().size());
  for (const auto& [edge, step] : steps_) {
    if (step.after != step.before)
      ++counts[static_cast<std::size_t>(edge.pass - passes::all_passes().data())];
  }
  return counts;
}

PassGraph::Step PassGraph::run_pass(const passes::Pass& pass, State& before) {
  Step step{.pass = &pass, .before = &before};
  passes::PassContext context{.arena = arena_, .target = target_};
  arena_.allow_more_nodes(ir::Arena::kMaxNodes);
  const auto invalid = [&](Expr program, const char* what, const std::exception& error) {
    states_.push_back(std::make_unique<State>(State{.program = program}));
    states_.back()->invalid = std::string(what) + error.what();
    return states_.back().get();
  };
  Expr after;
  try {
    after = pass.run(before.program, context);
  } catch (const std::exception& error) {
    step.after = invalid(before.program, "the pass ends with: ", error);
    return step;
  }
  step.dropped = reports_drop(context.remarks);
  if (after.get() == before.program.get()) {
    step.after = &before;
    return step;
  }
  try {
    ir::verify(after, ir::Stage::kInternal);
  } catch (const std::exception& error) {
    step.after = invalid(after, "the verifier rejects the result: ", error);
    return step;
  }
  step.after = &state_of(after);
  return step;
}

PassGraph::State& PassGraph::state_of(Expr program) {
  std::vector<State*>& candidates = by_hash_[ir::structural_hash(program)[0]];
  for (State* state : candidates) {
    if (ir::alpha_equal(state->program, program)) return *state;
  }
  states_.push_back(std::make_unique<State>(State{.program = program}));
  candidates.push_back(states_.back().get());
  return *states_.back();
}

const BoundedOutcome& PassGraph::outcome(State& state) {
  if (!state.outcome) {
    const auto bound = &state == states_.front().get() ? Bound::kNormal : Bound::kGenerous;
    state.outcome = run_bounded(state.program, arguments_, bound);
  }
  return *state.outcome;
}

bool reports_drop(std::span<const passes::Remark> remarks) {
  return std::ranges::any_of(
      remarks, [](const passes::Remark& remark) { return remark.message.find("drop") != std::string::npos; });
}

}  // namespace weld::differential
