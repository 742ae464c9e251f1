#include "runtime/loop_statistics.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "runtime/calls.h"
#include "runtime/cycles.h"
#include "runtime/run_context.h"

namespace weld::runtime {

const char* strategy_owner(StrategyOf of) {
  constexpr std::array<const char*, kNumStrategies> kOwners{
      "loop", "appender", "merger", "dictmerger", "groupmerger", "vecmerger", "lookup"};
  return kOwners[static_cast<std::size_t>(of)];
}

void LoopTally::note(StrategyOf of, const char* name) noexcept {
  for (const char*& noted : strategies[static_cast<std::size_t>(of)]) {
    if (!noted) noted = name;
    if (std::strcmp(noted, name) == 0) return;
  }
}

void LoopTally::add(const LoopTally& other) noexcept {
  executions += other.executions;
  iterations += other.iterations;
  morsels += other.morsels;
  parallel_executions += other.parallel_executions;
  cycles += other.cycles;
  elapsed_cycles += other.elapsed_cycles;
  allocated_bytes += other.allocated_bytes;
  for (std::size_t i = 0; i < merges.size(); ++i) merges[i] += other.merges[i];
  for (std::size_t i = 0; i < variants.size(); ++i) {
    variants[i].iterations += other.variants[i].iterations;
    variants[i].cycles += other.variants[i].cycles;
  }
  for (std::size_t of = 0; of < strategies.size(); ++of) {
    for (const char* name : other.strategies[of]) {
      if (name) note(static_cast<StrategyOf>(of), name);
    }
  }
}

LoopTally* LoopStatistics::take_tallies() noexcept {
  const std::lock_guard lock(mutex_);
  if (!idle_.empty()) {
    LoopTally* const tallies = idle_.back();
    idle_.pop_back();
    return tallies;
  }
  try {
    tallies_.emplace_back(num_sites_);
    idle_.reserve(tallies_.size());
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return tallies_.back().data();
}

void LoopStatistics::give_back(LoopTally* tallies) noexcept {
  if (!tallies) return;
  const std::lock_guard lock(mutex_);
  if (idle_.size() < idle_.capacity()) idle_.push_back(tallies);
}

std::vector<LoopTally> LoopStatistics::totals() const {
  const std::lock_guard lock(mutex_);
  std::vector<LoopTally> all(num_sites_);
  for (const std::vector<LoopTally>& tallies : tallies_) {
    for (std::size_t site = 0; site < num_sites_; ++site) all[site].add(tallies[site]);
  }
  return all;
}

void note_strategy(Worker& worker, StrategyOf of, const char* name) noexcept {
  WorkerState& state = state_of(worker);
  if (state.tallies && state.loop_site != kNoLoop) state.tallies[state.loop_site].note(of, name);
}

extern "C" {

void weld_rt_loop_begin(Worker* worker, LoopFrame* frame, std::uint32_t site) noexcept {
  WorkerState& state = state_of(worker);
  frame->outer_site = state.loop_site;
  state.loop_site = site;
  if (!state.tallies) return;
  frame->parallel_before = state.tallies[site].parallel_executions;
  frame->allocated_before = state.allocated_bytes();
  frame->cycles_before = cycles_now();
}

void weld_rt_loop_end(Worker* worker, const LoopFrame* frame, std::uint32_t site,
                      std::int64_t num_iterations) noexcept {
  WorkerState& state = state_of(worker);
  state.loop_site = frame->outer_site;
  if (!state.tallies) return;
  const auto elapsed = static_cast<std::int64_t>(cycles_now() - frame->cycles_before);
  LoopTally& tally = state.tallies[site];
  ++tally.executions;
  tally.iterations += num_iterations;
  tally.elapsed_cycles += elapsed;
  tally.allocated_bytes += state.allocated_bytes() - frame->allocated_before;
  if (tally.parallel_executions == frame->parallel_before) tally.cycles += elapsed;
}

void weld_rt_loop_merged(Worker* worker, std::uint32_t site, std::uint32_t builder,
                         std::int64_t num_merges) noexcept {
  const WorkerState& state = state_of(worker);
  if (state.tallies && builder < kMaxCountedBuilders) state.tallies[site].merges[builder] += num_merges;
}

void weld_rt_note_strategy(Worker* worker, std::uint32_t of, const char* name) noexcept {
  note_strategy(*worker, static_cast<StrategyOf>(of), name);
}

}  // extern "C"
}  // namespace weld::runtime
