#include <algorithm>

#include "runtime/calls.h"
#include "runtime/reach.h"
#include "runtime/run_context.h"

namespace weld::runtime {
namespace {

// Less garbage than this is not worth a walk.
constexpr std::int64_t kMinGarbageBytes = 256 * 1024;

ErrorCode free_unreached(WorkerState& worker, Scope& scope, RootValue state) noexcept {
  if (!state.value || !state.layout->contains_pointer) {
    worker.heap.free_all(scope.blocks);
    return ErrorCode::kSuccess;
  }
  BlockLink unreached;
  begin_list(unreached);
  const ErrorCode code = split_unreached(scope.blocks, state, unreached);
  worker.heap.free_all(unreached);
  return code;
}

}  // namespace

extern "C" {

void weld_rt_iterate_begin(Worker* worker, IterateScope* iterate, std::uint32_t layout,
                           void* state) noexcept {
  weld_rt_scope_begin(worker, &iterate->scope);
  iterate->allocated_before = state_of(worker).allocated_bytes();
  iterate->reached_bytes = 0;
  // From here on only blocks of this scope can come to point to blocks of this scope.
  move_builder_blocks({&worker->run->layout(layout), state}, iterate->scope.blocks);
}

ErrorCode weld_rt_iterate_step(Worker* worker, IterateScope* iterate, std::uint32_t layout,
                               const void* state) noexcept {
  if (iterate->scope.empty()) return ErrorCode::kSuccess;
  WorkerState& self = state_of(worker);
  const std::int64_t allocated = self.allocated_bytes() - iterate->allocated_before;
  if (allocated < std::max(kMinGarbageBytes, iterate->reached_bytes) && !self.heap.context().is_nearly_full())
    return ErrorCode::kSuccess;
  const ErrorCode code = free_unreached(self, iterate->scope, {&worker->run->layout(layout), state});
  iterate->allocated_before = self.allocated_bytes();
  iterate->reached_bytes = 0;
  const BlockLink& blocks = iterate->scope.blocks;
  for (const BlockLink* link = blocks.next; link != &blocks; link = link->next)
    iterate->reached_bytes += static_cast<const Block*>(link)->requested_bytes;
  return code;
}

ErrorCode weld_rt_iterate_end(Worker* worker, IterateScope* iterate, std::uint32_t layout,
                              const void* state) noexcept {
  ErrorCode code = ErrorCode::kSuccess;
  if (!iterate->scope.empty())
    code = free_unreached(state_of(worker), iterate->scope, {&worker->run->layout(layout), state});
  weld_rt_scope_keep(worker, &iterate->scope);
  return code;
}

}  // extern "C"
}  // namespace weld::runtime
