#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/abi.h"

// What the loops of a run did: for `explain --analyze`. Counted where a run asks for it (RunSettings:
// statistics), by code that was compiled for it (codegen/engine.h: CompileOptions); nothing is done
// elsewhere.

namespace weld::runtime {

struct WorkerState;

inline constexpr std::uint32_t kMaxCountedBuilders = 8;
inline constexpr std::uint32_t kMaxVariants = 4;

/// A loop of a program, as the compiler knows it. Loops that passes made of one loop are one.
struct LoopSite {
  struct Builder {
    std::string type;                                    ///< as printed
    std::optional<std::int64_t> merges_per_iteration{};  ///< where every iteration merges so often
  };

  std::uint32_t span = 0;                ///< index into the program's table of spans
  std::uint32_t depth = 0;               ///< how many loops it is inside of
  std::int64_t bytes_per_iteration = 0;  ///< that its iterators read
  std::vector<Builder> builders;
  std::vector<std::string> variants;  ///< names; empty: there is one body
};

/// What can be done in several ways, and tells which one it took.
enum class StrategyOf : std::uint8_t {
  kLoop,
  kAppender,
  kMerger,
  kDictMerger,
  kGroupMerger,
  kVecMerger,
  kLookup,
};
inline constexpr std::size_t kNumStrategies = 7;
/// `loop`, `appender`, …
const char* strategy_owner(StrategyOf of);

/// Counts of one loop by one worker, or of all. Cycles are those of `cycles_now`.
struct LoopTally {
  struct Variant {
    std::int64_t iterations = 0;
    std::int64_t cycles = 0;
  };
  /// Names that were noted, the first ones; literals.
  using Strategies = std::array<const char*, 3>;

  std::int64_t executions = 0;
  std::int64_t iterations = 0;
  std::int64_t morsels = 0;  ///< of executions that were cut up
  std::int64_t parallel_executions = 0;
  std::int64_t cycles = 0;          ///< in the loop's body, by all threads
  std::int64_t elapsed_cycles = 0;  ///< from begin to end, by the thread that started it
  std::int64_t allocated_bytes = 0;
  std::array<std::int64_t, kMaxCountedBuilders> merges{};
  std::array<Variant, kMaxVariants> variants{};
  std::array<Strategies, kNumStrategies> strategies{};

  void note(StrategyOf of, const char* name) noexcept;
  void add(const LoopTally& other) noexcept;
};

/// The counts of one run.
///
/// Threads  workers take tallies and give them back at any time; totals are for after the run.
class LoopStatistics {
 public:
  explicit LoopStatistics(std::size_t num_sites) : num_sites_(num_sites) {}

  /// One for each site, which nobody else uses until given back; null when out of memory.
  LoopTally* take_tallies() noexcept;
  void give_back(LoopTally* tallies) noexcept;
  /// By site.
  std::vector<LoopTally> totals() const;

 private:
  std::size_t num_sites_;
  mutable std::mutex mutex_;
  std::deque<std::vector<LoopTally>> tallies_;
  std::vector<LoopTally*> idle_;
};

/// Notes which of several ways the running loop went; `name` is a literal. Costs a load where nobody asks.
void note_strategy(Worker& worker, StrategyOf of, const char* name) noexcept;

}  // namespace weld::runtime
