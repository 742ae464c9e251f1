#pragma once

#include <cstdint>

#include "runtime/abi.h"

namespace weld::runtime {

/// Runs `body` so that each index in [0, num_elements) falls in exactly one morsel.
///
/// \param worker           the caller's; its `may_fork` says whether other threads may take part
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

/// Runs a generated loop: `init` and `body` for each partial, then `combine` on the caller's worker.
///
/// Partials   one for each morsel, or with kLoopRanges for each of at most `max_ranges` ranges, or with
///            kLoopAnyOrder for each thread; one for the whole loop when only one thread may take part
///            (`body` is then called once a morsel, in order). Zeroed; never more than 65,536.
/// Memory     `init` runs in a scope that ends after `combine`. `body` runs in that of its morsel
///            (kLoopAllocates), which ends with it, or is moved to the caller's scope when the loop succeeds
///            (kLoopKeepsMemory); without either flag in the same scope as `init`.
/// Errors     as for_each_morsel, by partial; `combine` runs on success only.
/// Nesting    loops inside a morsel may fork only if there are fewer morsels than threads.
[[nodiscard]] ErrorCode run_loop(Worker& worker, const LoopDescriptor& loop, void* captures,
                                 std::int64_t num_iterations, std::int64_t max_ranges = 64) noexcept;

}  // namespace weld::runtime
