#pragma once

#include "runtime/abi.h"

namespace weld::runtime {

/// Calls `look(chunk, num_values, segment)` for each chunk of a group builder's log, in the order of merges.
template <class F>
void for_each_chunk(const GroupBuilder& group, F&& look) {
  const auto of_segment = [&](const GroupSegment& segment) {
    for (GroupChunk* chunk = segment.first; chunk; chunk = chunk->next)
      look(*chunk, chunk == group.own.last ? group.num_values : chunk->num_values, segment);
  };
  for (const GroupSegment* segment = group.segments; segment; segment = segment->next) of_segment(*segment);
  of_segment(group.own);
}

/// Calls `look(payload)` for each block of a group builder's log that is not null; the next one is known
/// before, so that it may be freed.
template <class F>
void for_each_log_block(const GroupBuilder& group, F&& look) {
  const auto of_chunks = [&](GroupChunk* chunk) {
    while (chunk) {
      GroupChunk* next = chunk->next;
      look(reinterpret_cast<std::byte*>(chunk));
      chunk = next;
    }
  };
  for (GroupSegment* segment = group.segments; segment;) {
    GroupSegment* next = segment->next;
    of_chunks(segment->first);
    if (segment->id_map) look(reinterpret_cast<std::byte*>(segment->id_map));
    if (segment->counts) look(reinterpret_cast<std::byte*>(segment->counts));
    look(reinterpret_cast<std::byte*>(segment));
    segment = next;
  }
  of_chunks(group.own.first);
  if (group.own.counts) look(reinterpret_cast<std::byte*>(group.own.counts));
}

/// Adds the rows of partials to those of `into`, in their order.
ErrorCode combine_rows(Worker* worker, GroupBuilder& into, GroupBuilder* const* partials,
                       std::int64_t stride_bytes, std::int64_t num_partials) noexcept;

}  // namespace weld::runtime
