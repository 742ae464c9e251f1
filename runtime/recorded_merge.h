#pragma once

#include <cstdint>

#include "runtime/abi.h"

namespace weld::runtime {

/// What a loop into a vecmerger does about its threads and the vector's length. The annotation `impl:` of the
/// builder and the conf force one of them where it can serve.
enum class VecMergerStrategy : std::uint8_t {
  kDirect,       ///< one thread merges into the vector
  kPrivate,      ///< each thread or range has a copy (`impl:local`)
  kStaged,       ///< run_recorded: one thread, which asks for the lines it will merge into
  kAtomic,       ///< run_recorded: all threads merge into the vector (`impl:global`)
  kPartitioned,  ///< run_recorded: ranges of the vector take turns (`impl:partitioned`)
};

/// The strategy for a loop of `num_iterations`, and notes it (loop_statistics.h).
///
/// \param num_blocks  of the loop; a block is worth kVectorElementsPerBlock elements of copies
/// \param ordered     sums depend on their order, and the loop has one range: copies will not do
VecMergerStrategy choose_vecmerger_strategy(Worker& worker, const VecMergerLoop& loop, bool ordered,
                                            std::int64_t num_iterations, std::int64_t num_blocks,
                                            std::int64_t length) noexcept;

/// Runs a loop into a vecmerger by what it merges: its body records that, for parts of the loop at a time.
///
/// In partitions, parts are run in parallel, and their records sorted by ranges of the vector that fit into
/// caches; then each range takes its records in the order of the iterations, ranges in parallel. So each
/// element takes its values in the order of the iterations, as on one thread. Staged or atomically, a thread
/// merges its records where they belong as soon as there are a few, and asks for the lines of later ones
/// meanwhile; the rest of an atomic loop is run in partitions once threads are found to wait for each other.
///
/// The first eight blocks merge directly, and so does the rest where they were cheap: then the lines are in the
/// cache, or the indices in order. Not where a strategy is forced.
///
/// \param strategy  kStaged, kAtomic or kPartitioned
/// \param state     the vecmerger's, which is updated
///
/// Memory   records of a part of the loop: in partitions 4 MiB or half of the vector's bytes, and 512 KiB a
///          thread; else 64 KiB a thread. One thread runs the loop as it is where there is none
/// Errors   the first by iteration, as for_each_morsel
[[nodiscard]] ErrorCode run_recorded(Worker& worker, const LoopDescriptor& descriptor,
                                     const VecMergerLoop& loop, VecMergerStrategy strategy, void* captures,
                                     std::int64_t num_iterations, VecView& state) noexcept;

}  // namespace weld::runtime
