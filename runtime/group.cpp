#include "runtime/group.h"

#include <algorithm>
#include <cstring>

#include "runtime/calls.h"
#include "runtime/dict.h"
#include "runtime/loop_statistics.h"
#include "runtime/morsel_loop.h"
#include "runtime/run_context.h"
#include "runtime/scratch.h"

// Two passes over what was merged. The first one, in the loops, finds the entry of each value, counts, and
// logs entry and value. `result` knows by then how many values each entry has: it computes where every
// segment's values of every entry begin, and each segment is scattered by one thread, in its order.

namespace weld::runtime {
namespace {

constexpr std::int64_t kParallelValues = 64 * 1024;
constexpr std::int64_t kParallelKeys = 16 * 1024;
constexpr std::int64_t kPollValues = 64 * 1024;
constexpr std::int64_t kMinChunkValues = 8;
constexpr std::int64_t kTrustedValues = 65'536;
constexpr std::int64_t kAlignBytes = 64;
// The largest chunk: with its header and the block's, one huge page.
constexpr std::int64_t kMaxChunkBytes = (2 << 20) - static_cast<std::int64_t>(sizeof(Block));
// Past so many cursors their values' places are seldom in the first caches.
constexpr std::int64_t kManyCursors = 2048;
constexpr std::int64_t kCursorsAhead = 16;

std::int64_t aligned(std::int64_t bytes) {
  return (bytes + kAlignBytes - 1) / kAlignBytes * kAlignBytes;
}

std::int64_t ids_bytes(std::int64_t capacity) {
  return aligned(static_cast<std::int64_t>(sizeof(GroupChunk)) + (capacity + kGroupIdPadding) * 4);
}

VecView& vector_of(const GroupBuilder& group, std::int64_t entry) {
  return *reinterpret_cast<VecView*>(group.keys.entries + entry * group.keys.entry_bytes +
                                     group.vector_offset);
}

// A block that lives as long as the builder.
std::byte* allocate_beside(Worker* worker, GroupBuilder& group, std::int64_t bytes) noexcept {
  Block* block = state_of(worker).heap.allocate(bytes);
  if (!block) return nullptr;
  link_beside(Block::of(reinterpret_cast<std::byte*>(&group)), block);
  return block->payload();
}

void free_block(Worker* worker, void* payload) noexcept {
  weld_rt_free(worker, static_cast<std::byte*>(payload));
}

void move_beside(GroupBuilder& group, void* payload) noexcept {
  Block* block = Block::of(static_cast<std::byte*>(payload));
  unlink(block);
  link_beside(Block::of(reinterpret_cast<std::byte*>(&group)), block);
}

// Nothing is merged into the last chunk any more.
void complete_last_chunk(GroupBuilder& group) noexcept {
  GroupChunk* chunk = group.own.last;
  if (!chunk) return;
  chunk->num_values = group.num_values;
  std::fill_n(chunk->ids + group.num_values, kGroupIdPadding, 0u);
}

void append_segment(GroupBuilder& group, GroupSegment* segment) noexcept {
  segment->next = nullptr;
  (group.last_segment ? group.last_segment->next : group.segments) = segment;
  group.last_segment = segment;
}

// Makes a segment of what was merged into the builder itself.
ErrorCode close_own_segment(Worker* worker, GroupBuilder& group) noexcept {
  if (!group.own.first) return ErrorCode::kSuccess;
  auto* segment = reinterpret_cast<GroupSegment*>(allocate_beside(worker, group, sizeof(GroupSegment)));
  if (!segment) return ErrorCode::kOutOfMemory;
  complete_last_chunk(group);
  *segment = group.own;
  segment->num_ids = group.keys.num_entries;
  append_segment(group, segment);
  group.own = {};
  group.ids = nullptr;
  group.values = nullptr;
  group.num_values = group.value_capacity = 0;
  return ErrorCode::kSuccess;
}

template <class F>
void for_each_id(const GroupSegment& segment, F&& look) {
  for (const GroupChunk* chunk = segment.first; chunk; chunk = chunk->next) {
    for (std::int64_t i = 0; i < chunk->num_values; ++i) look(chunk->ids[i]);
  }
}

// --- Combining.

class Combiner {
 public:
  Combiner(Worker* worker, GroupBuilder& into, LoopBody find, LoopBody insert)
      : worker_(worker), into_(into), find_(find), insert_(insert) {}

  ErrorCode add(GroupBuilder* const* partials, std::int64_t stride_bytes, std::int64_t count) noexcept {
    const auto partial = [&](std::int64_t i) -> GroupBuilder& {
      return **reinterpret_cast<GroupBuilder* const*>(reinterpret_cast<const std::byte*>(partials) +
                                                      i * stride_bytes);
    };
    ErrorCode code = close_own_segment(worker_, into_);
    if (code != ErrorCode::kSuccess) return code;
    Scratch maps(*worker_, count * static_cast<std::int64_t>(sizeof(std::uint32_t*)));
    if (!maps) return ErrorCode::kOutOfMemory;
    auto** map = maps.as<std::uint32_t*>();
    for (std::int64_t i = 0; i < count; ++i) {
      map[i] = nullptr;
      GroupBuilder& from = partial(i);
      if (from.keys.num_entries == 0) continue;
      code = close_own_segment(worker_, from);
      if (code != ErrorCode::kSuccess) return code;
      if (into_.keys.num_entries == 0) {
        code = take_over(from);
      } else {
        map[i] = reinterpret_cast<std::uint32_t*>(
            allocate_beside(worker_, into_, from.keys.num_entries * static_cast<std::int64_t>(sizeof **map)));
        if (!map[i]) return ErrorCode::kOutOfMemory;
        GroupKeys keys{&into_.keys, &from.keys, map[i]};
        code = for_each_morsel(*worker_, from.keys.num_entries, kParallelKeys, find_, &keys);
      }
      if (code != ErrorCode::kSuccess) return code;
    }
    // What the first of them did not have is inserted in order, by one thread.
    for (std::int64_t i = 0; i < count; ++i) {
      if (!map[i]) continue;
      GroupBuilder& from = partial(i);
      GroupKeys keys{&into_.keys, &from.keys, map[i]};
      code = insert_(worker_, &keys, 0, from.keys.num_entries, nullptr);
      if (code == ErrorCode::kSuccess) code = take_mapped(from, map[i]);
      if (code != ErrorCode::kSuccess) return code;
    }
    return ErrorCode::kSuccess;
  }

 private:
  // The first keys of all stay as they are.
  ErrorCode take_over(GroupBuilder& from) noexcept {
    if (const ErrorCode code = note_counts(from); code != ErrorCode::kSuccess) return code;
    take_dict(worker_, Block::of(reinterpret_cast<std::byte*>(&into_)), into_.keys, from.keys);
    for (GroupSegment* segment = from.segments; segment;) {
      GroupSegment* next = segment->next;
      take_segment(segment);
      segment = next;
    }
    from.segments = from.last_segment = nullptr;
    return ErrorCode::kSuccess;
  }

  ErrorCode take_mapped(GroupBuilder& from, std::uint32_t* map) noexcept {
    if (const ErrorCode code = note_counts(from); code != ErrorCode::kSuccess) return code;
    for (std::int64_t entry = 0; entry < from.keys.num_entries; ++entry)
      vector_of(into_, map[entry]).length += vector_of(from, entry).length;
    bool map_is_taken = false;
    for (GroupSegment* segment = from.segments; segment;) {
      GroupSegment* next = segment->next;
      if (segment->id_map) {
        for (std::int64_t id = 0; id < segment->num_ids; ++id) segment->id_map[id] = map[segment->id_map[id]];
      } else if (!map_is_taken) {
        segment->id_map = map;
        map_is_taken = true;
      } else {
        const std::int64_t bytes = segment->num_ids * static_cast<std::int64_t>(sizeof *map);
        segment->id_map = reinterpret_cast<std::uint32_t*>(allocate_beside(worker_, into_, bytes));
        if (!segment->id_map) return ErrorCode::kOutOfMemory;
        std::memcpy(segment->id_map, map, static_cast<std::size_t>(bytes));
      }
      take_segment(segment);
      segment = next;
    }
    if (!map_is_taken) free_block(worker_, map);
    from.segments = from.last_segment = nullptr;
    return ErrorCode::kSuccess;
  }

  // A builder's only segment has all of its values, which its entries count.
  ErrorCode note_counts(GroupBuilder& from) noexcept {
    GroupSegment& segment = *from.segments;
    if (segment.next || segment.counts || segment.id_map) return ErrorCode::kSuccess;
    const std::int64_t num_ids = from.keys.num_entries;
    segment.counts = reinterpret_cast<std::int64_t*>(
        allocate_beside(worker_, into_, num_ids * static_cast<std::int64_t>(sizeof *segment.counts)));
    if (!segment.counts) return ErrorCode::kOutOfMemory;
    for (std::int64_t id = 0; id < num_ids; ++id) segment.counts[id] = vector_of(from, id).length;
    return ErrorCode::kSuccess;
  }

  void take_segment(GroupSegment* segment) noexcept {
    for (GroupChunk* chunk = segment->first; chunk; chunk = chunk->next) move_beside(into_, chunk);
    if (segment->id_map) move_beside(into_, segment->id_map);
    if (segment->counts) move_beside(into_, segment->counts);
    move_beside(into_, segment);
    append_segment(into_, segment);
  }

  Worker* worker_;
  GroupBuilder& into_;
  LoopBody find_;
  LoopBody insert_;
};

// --- The result.

class Scatter {
 public:
  using RunSegment = ErrorCode (*)(Worker* worker, Scatter& scatter, std::int64_t index);

  Scatter(Worker* worker, GroupBuilder& group) : worker_(worker), group_(group) {}

  LoopBody place = nullptr;
  void* captures = nullptr;

  ErrorCode run(RunSegment run_segment, Dict** result) noexcept {
    *result = &group_.keys;
    complete_last_chunk(group_);
    for (const GroupSegment* segment = group_.segments; segment; segment = segment->next) ++num_segments_;
    if (group_.own.first) ++num_segments_;
    if (num_segments_ == 0) return ErrorCode::kSuccess;
    Scratch segments(*worker_, num_segments_ * static_cast<std::int64_t>(sizeof(GroupSegment*)));
    if (!segments) return ErrorCode::kOutOfMemory;
    segments_ = segments.as<GroupSegment*>();
    std::int64_t next = 0;
    for (GroupSegment* segment = group_.segments; segment; segment = segment->next)
      segments_[next++] = segment;
    if (group_.own.first) {
      group_.own.num_ids = group_.keys.num_entries;
      segments_[next] = &group_.own;
    }
    for (std::int64_t entry = 0; entry < group_.keys.num_entries; ++entry)
      num_values_ += vector_of(group_, entry).length;

    ErrorCode code = make_cursors();
    if (code != ErrorCode::kSuccess) return code;
    Scratch values(*worker_, num_values_ * group_.value_bytes);
    if (!values) return ErrorCode::kOutOfMemory;
    place_vectors(values.as<std::byte>());
    run_segment_ = run_segment;
    // Several threads are going to free what stands in one list.
    for_each_chunk(group_, [](GroupChunk& chunk, std::int64_t, const GroupSegment&) {
      unlink(Block::of(reinterpret_cast<std::byte*>(&chunk)));
    });
    code = for_each_segment(run_unit);
    WorkerHeap& heap = state_of(worker_).heap;
    for (std::int64_t i = 0; i < num_segments_; ++i) {
      for (GroupChunk* chunk = segments_[i]->first; chunk;) {
        GroupChunk* after = chunk->next;
        heap.free(Block::of(reinterpret_cast<std::byte*>(chunk)));
        chunk = after;
      }
      segments_[i]->first = segments_[i]->last = nullptr;
    }
    for_each_log_block(group_, [&](std::byte* payload) { weld_rt_free(worker_, payload); });
    group_.own = {};
    group_.segments = group_.last_segment = nullptr;
    if (code == ErrorCode::kSuccess) values.keep_beside(*Block::of(reinterpret_cast<std::byte*>(&group_)));
    return code;
  }

  // The values of a chunk, in their order. kBytes is a value's size where not 0.
  template <std::int64_t kBytes, bool kPrefetches>
  static void scatter(const GroupChunk& chunk, std::int64_t begin, std::int64_t end, std::byte** cursors,
                      std::int64_t value_bytes) {
    const std::int64_t bytes = kBytes ? kBytes : value_bytes;
    for (std::int64_t i = begin; i < end; ++i) {
      if (kPrefetches) {
        __builtin_prefetch(cursors + chunk.ids[i + 2 * kCursorsAhead - 1], 1);
        __builtin_prefetch(cursors[chunk.ids[i + kCursorsAhead]], 1);
      }
      std::byte*& cursor = cursors[chunk.ids[i]];
      std::memcpy(cursor, chunk.values + i * bytes, static_cast<std::size_t>(bytes));
      cursor += bytes;
    }
  }

  template <bool kPrefetches>
  static void scatter(const GroupChunk& chunk, std::int64_t begin, std::int64_t end, std::byte** cursors,
                      std::int64_t bytes) {
    switch (bytes) {
      case 1:
        return scatter<1, kPrefetches>(chunk, begin, end, cursors, bytes);
      case 4:
        return scatter<4, kPrefetches>(chunk, begin, end, cursors, bytes);
      case 8:
        return scatter<8, kPrefetches>(chunk, begin, end, cursors, bytes);
      case 16:
        return scatter<16, kPrefetches>(chunk, begin, end, cursors, bytes);
      default:
        return scatter<0, kPrefetches>(chunk, begin, end, cursors, bytes);
    }
  }

  static ErrorCode run_logged(Worker* worker, Scatter& scatter, std::int64_t index) {
    GroupSegment& segment = *scatter.segments_[index];
    auto** cursors = reinterpret_cast<std::byte**>(segment.counts);
    const std::int64_t bytes = scatter.group_.value_bytes;
    const bool prefetches = segment.num_ids > kManyCursors;
    while (GroupChunk* chunk = segment.first) {
      for (std::int64_t begin = 0; begin < chunk->num_values; begin += kPollValues) {
        if (must_poll(*worker)) {
          if (const ErrorCode code = weld_rt_poll(worker); code != ErrorCode::kSuccess) return code;
        }
        const std::int64_t end = std::min(chunk->num_values, begin + kPollValues);
        prefetches ? Scatter::scatter<true>(*chunk, begin, end, cursors, bytes)
                   : Scatter::scatter<false>(*chunk, begin, end, cursors, bytes);
      }
      segment.first = chunk->next;
      state_of(worker).heap.free(Block::of(reinterpret_cast<std::byte*>(chunk)));
    }
    return ErrorCode::kSuccess;
  }

  static ErrorCode run_placed(Worker* worker, Scatter& scatter, std::int64_t index) {
    GroupSegment& segment = *scatter.segments_[index];
    GroupChunk* first = segment.first;
    GroupPlacer placer{reinterpret_cast<std::byte**>(segment.counts),
                       first->ids,
                       0,
                       first->num_values,
                       first,
                       segment.num_ids > kManyCursors};
    GroupPlacer* state = &placer;
    const ErrorCode code = scatter.place(worker, scatter.captures, segment.begin, segment.end, &state);
    segment.first = placer.chunk;
    return code;
  }

 private:
  ErrorCode for_each_segment(LoopBody body) noexcept {
    if (num_values_ >= kParallelValues && num_segments_ > 1)
      return for_each_morsel(*worker_, num_segments_, 1, body, this);
    return body(worker_, this, 0, num_segments_, nullptr);
  }

  static ErrorCode run_unit(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    auto& scatter = *static_cast<Scatter*>(self);
    for (std::int64_t i = begin; i < end; ++i) {
      const ErrorCode code = scatter.run_segment_(worker, scatter, i);
      if (code != ErrorCode::kSuccess) return code;
    }
    return ErrorCode::kSuccess;
  }

  // Counts for all segments, in arrays that become their cursors.
  ErrorCode make_cursors() noexcept {
    static_assert(sizeof(std::byte*) == sizeof(std::int64_t));
    bool counts_missing = false;
    for (std::int64_t i = 0; i < num_segments_; ++i) {
      GroupSegment& segment = *segments_[i];
      if (segment.counts) continue;
      segment.counts = reinterpret_cast<std::int64_t*>(allocate_beside(
          worker_, group_, segment.num_ids * static_cast<std::int64_t>(sizeof(std::int64_t))));
      if (!segment.counts) return ErrorCode::kOutOfMemory;
      is_alone_ = num_segments_ == 1 && !segment.id_map;
      if (is_alone_) return ErrorCode::kSuccess;
      std::fill_n(segment.counts, segment.num_ids, -1);
      counts_missing = true;
    }
    return counts_missing ? for_each_segment(count_unit) : ErrorCode::kSuccess;
  }

  static ErrorCode count_unit(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    auto& scatter = *static_cast<Scatter*>(self);
    for (std::int64_t i = begin; i < end; ++i) {
      GroupSegment& segment = *scatter.segments_[i];
      if (segment.num_ids == 0 || segment.counts[0] >= 0) continue;
      std::fill_n(segment.counts, segment.num_ids, 0);
      for_each_id(segment, [&](std::uint32_t id) { ++segment.counts[id]; });
    }
    return ErrorCode::kSuccess;
  }

  void place_vectors(std::byte* next) noexcept {
    const std::int64_t num_entries = group_.keys.num_entries;
    const std::int64_t bytes = group_.value_bytes;
    for (std::int64_t entry = 0; entry < num_entries; ++entry) {
      VecView& vector = vector_of(group_, entry);
      vector.data = next;
      next += vector.length * bytes;
      if (is_alone_) reinterpret_cast<std::byte**>(segments_[0]->counts)[entry] = vector.data;
    }
    if (is_alone_) return;
    // In the order of the segments, each entry's values follow each other.
    for (std::int64_t i = 0; i < num_segments_; ++i) {
      const GroupSegment& segment = *segments_[i];
      for (std::int64_t id = 0; id < segment.num_ids; ++id) {
        VecView& vector = vector_of(group_, segment.id_map ? segment.id_map[id] : id);
        const std::int64_t count = segment.counts[id];
        reinterpret_cast<std::byte**>(segment.counts)[id] = vector.data;
        vector.data += count * bytes;
      }
    }
    for (std::int64_t entry = 0; entry < num_entries; ++entry) {
      VecView& vector = vector_of(group_, entry);
      vector.data -= vector.length * bytes;
    }
  }

  Worker* worker_;
  GroupBuilder& group_;
  GroupSegment** segments_ = nullptr;
  std::int64_t num_segments_ = 0;
  std::int64_t num_values_ = 0;
  bool is_alone_ = false;  // one segment, whose ids are the entries
  RunSegment run_segment_ = nullptr;
};

}  // namespace

extern "C" {

ErrorCode weld_rt_group_grow(Worker* worker, GroupBuilder* group) noexcept {
  const std::int64_t bytes_each = 4 + group->logged_bytes;
  const std::int64_t most =
      std::max<std::int64_t>((kMaxChunkBytes - ids_bytes(0) - kAlignBytes) / bytes_each, 1);
  const std::int64_t wanted = group->own.last
                                  ? group->value_capacity * 2
                                  : std::clamp(group->expected_values, kMinChunkValues, kTrustedValues);
  const std::int64_t capacity = std::min(wanted, most);
  auto* chunk = reinterpret_cast<GroupChunk*>(
      allocate_beside(worker, *group, ids_bytes(capacity) + capacity * group->logged_bytes));
  if (!chunk) return ErrorCode::kOutOfMemory;
  complete_last_chunk(*group);
  auto* begin = reinterpret_cast<std::byte*>(chunk);
  *chunk = {nullptr, 0, reinterpret_cast<std::uint32_t*>(begin + sizeof(GroupChunk)),
            begin + ids_bytes(capacity)};
  (group->own.last ? group->own.last->next : group->own.first) = chunk;
  group->own.last = chunk;
  group->ids = chunk->ids;
  group->values = chunk->values;
  group->num_values = 0;
  group->value_capacity = capacity;
  return ErrorCode::kSuccess;
}

ErrorCode weld_rt_group_combine(Worker* worker, GroupBuilder* into, GroupBuilder* const* partials,
                                std::int64_t stride_bytes, std::int64_t num_partials, LoopBody find,
                                LoopBody insert) noexcept {
  if (into->rows_of) return combine_rows(worker, *into, partials, stride_bytes, num_partials);
  return Combiner(worker, *into, find, insert).add(partials, stride_bytes, num_partials);
}

ErrorCode weld_rt_group_result(Worker* worker, GroupBuilder* group, Dict** result) noexcept {
  return Scatter(worker, *group).run(Scatter::run_logged, result);
}

ErrorCode weld_rt_group_place(Worker* worker, GroupBuilder* group, LoopBody place, void* captures,
                              Dict** result) noexcept {
  note_strategy(*worker, StrategyOf::kGroupMerger, "values made twice");
  Scatter scatter(worker, *group);
  scatter.place = place;
  scatter.captures = captures;
  return scatter.run(Scatter::run_placed, result);
}

ErrorCode weld_rt_group_next_ids(Worker* worker, GroupPlacer* placer) noexcept {
  GroupChunk* chunk = placer->chunk ? placer->chunk->next : nullptr;
  if (!chunk) return ErrorCode::kUnknown;  // the second time there are more: data changed meanwhile
  state_of(worker).heap.free(Block::of(reinterpret_cast<std::byte*>(placer->chunk)));
  placer->chunk = chunk;
  placer->ids = chunk->ids;
  placer->position = 0;
  placer->num_values = chunk->num_values;
  return ErrorCode::kSuccess;
}

}  // extern "C"
}  // namespace weld::runtime
