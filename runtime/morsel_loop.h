#pragma once

#include <cstdint>

#include "runtime/abi.h"

namespace weld::runtime {

/// Runs `body` so that each index in [0, num_elements) falls in exactly one morsel.
///
/// \param worker           the caller's; its `may_fork` says whether other threads may take part, as far as
/// idle
/// \param num_elements     loop length in elements (not bytes); 0 is valid and calls nothing
/// \param morsel_elements  elements per morsel, at least 1; the last morsel may be shorter
/// \param captures         borrowed until return, shared by all workers, may be null
///
/// Order    morsels start in any order; boundaries depend on the two counts alone, never on threads.
/// Threads  the workers of the worker's run; returns when every started morsel has ended; may be nested.
/// Memory   O(workers), independent of `num_elements`. A morsel's blocks are freed at its end; `partial` is
///          null.
/// Errors   kUnknown before any call if a count is out of range; otherwise the code of the failing morsel
///          with the lowest index, whose report (weld_rt_fail) becomes the caller's. Later morsels not yet
///          started are skipped. The run is polled before each morsel.
[[nodiscard]] ErrorCode for_each_morsel(Worker& worker, std::int64_t num_elements,
                                        std::int64_t morsel_elements, LoopBody body, void* captures) noexcept;

class DictSlices;

/// What of a loop is done before it runs: the iterations before `iteration` (a whole number of blocks), whose
/// state is `partial` (`partial_bytes`). It becomes the first partial; null: nothing is. Not with
/// kLoopAnyOrder.
struct LoopBegin {
  std::int64_t iteration = 0;
  const void* partial = nullptr;
  DictSlices* slices = nullptr;  ///< what the loop's dictmergers are combined into; null: their builders
};

/// Runs a generated loop, up to `end_iteration`: `init` and `body` for each partial, then `combine` on the
/// caller's worker.
///
/// Partials   each takes parts of the loop that follow each other, by one `init` and a `body` a part; their
///            number and limits depend on threads and time, so results must not. With kLoopRanges one for
///            each of at most `max_ranges` ranges; with kLoopAnyOrder one a thread; one for the whole loop
///            when only one thread takes part. Zeroed; never more than 65,536.
/// Morsels    whole blocks, as many as take kMorselNanoseconds by measurement, fewer towards the loop's end
/// Memory     `init` runs in a scope that ends after `combine`. `body` runs in that of its morsel
///            (kLoopAllocates), which ends with it, or is moved to the caller's scope when the loop succeeds
///            (kLoopKeepsMemory); without either flag in the same scope as `init`.
/// Errors     those of the first failing block; `combine` runs on success only.
/// Threads    the loop begins on the caller's thread. Others are asked to take part once it is known, from a
///            measurement or an estimate, that what is left is worth waking one: 50 µs. So are loops inside
///            of it when there are threads that ran out of units (loop_board.h).
[[nodiscard]] ErrorCode run_loop(Worker& worker, const LoopDescriptor& loop, void* captures,
                                 std::int64_t end_iteration, std::int64_t max_ranges = 64,
                                 const LoopBegin& begun = {}) noexcept;

}  // namespace weld::runtime
