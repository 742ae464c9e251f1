#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/arena.h"
#include "passes/pass.h"
#include "tests/differential/generator/bounded_run.h"

namespace weld::differential {

/// The programs that passes make of one program, in any order: every pass runs once on each of them, and each
/// of them is interpreted once, however many orders lead there.
class PassGraph {
 public:
  /// A program, equal to no other one of the graph up to names.
  struct State {
    ir::Expr program;
    std::string invalid;                    ///< why it breaks what the pass may assume, empty mostly
    std::optional<BoundedOutcome> outcome;  ///< once asked for
    bool looked_at = false;                 ///< at the end of an order
    bool compiled = false;
  };

  /// A pass run on a state.
  struct Step {
    const passes::Pass* pass = nullptr;
    State* before = nullptr;
    State* after = nullptr;
    bool dropped = false;  ///< it reported that it dropped what may fail
  };

  PassGraph(ir::Expr program, std::span<const ir::Value> arguments, const ir::TargetInfo& target,
            ir::Arena& arena);

  /// One step for each pass; fewer when a program that is not valid comes out.
  std::vector<Step> run(std::span<const passes::Pass* const> order);
  State& start() { return *states_.front(); }
  const BoundedOutcome& outcome(State& state);
  std::size_t num_states() const { return states_.size(); }
  /// How many programs each of all_passes() changed.
  std::vector<std::uint64_t> num_rewritten() const;

 private:
  Step run_pass(const passes::Pass& pass, State& before);
  State& state_of(ir::Expr program);

  struct Edge {
    const State* state;
    const passes::Pass* pass;
    bool operator==(const Edge&) const = default;
  };
  struct EdgeHash {
    std::size_t operator()(const Edge& edge) const {
      return std::hash<const void*>()(edge.state) * 31 + std::hash<const void*>()(edge.pass);
    }
  };

  std::span<const ir::Value> arguments_;
  ir::TargetInfo target_;
  ir::Arena& arena_;
  std::vector<std::unique_ptr<State>> states_;
  std::unordered_map<std::uint64_t, std::vector<State*>> by_hash_;
  std::unordered_map<Edge, Step, EdgeHash> steps_;
};

/// Whether the pass reported that it dropped a computation that may fail.
bool reports_drop(std::span<const passes::Remark> remarks);

}  // namespace weld::differential
