#include <algorithm>
#include <cstring>

#include "runtime/calls.h"
#include "runtime/morsel_loop.h"
#include "runtime/parallel_copy.h"
#include "runtime/run_context.h"

namespace weld::runtime {
namespace {

constexpr std::int64_t kParallelValues = 256 * 1024;
constexpr std::int64_t kPollValues = 64 * 1024;

VecView& vector_of(const GroupBuilder& group, std::int64_t entry) {
  return *reinterpret_cast<VecView*>(group.keys.entries + entry * group.keys.entry_bytes +
                                     group.vector_offset);
}

ErrorCode reserve(Worker* worker, GroupBuilder& group, std::int64_t capacity) noexcept {
  if (capacity > (std::int64_t{1} << 46) / std::max<std::int64_t>(group.value_bytes, 4))
    return ErrorCode::kOutOfMemory;
  std::byte* ids =
      weld_rt_grow(worker, reinterpret_cast<std::byte*>(group.ids), group.num_values * 4, capacity * 4);
  if (!ids) return ErrorCode::kOutOfMemory;
  group.ids = reinterpret_cast<std::uint32_t*>(ids);
  std::byte* values =
      weld_rt_grow(worker, group.values, group.num_values * group.value_bytes, capacity * group.value_bytes);
  if (!values) return ErrorCode::kOutOfMemory;
  group.values = values;
  group.value_capacity = capacity;
  return ErrorCode::kSuccess;
}

struct Scatter {
  const GroupBuilder& group;
  std::byte** cursors;  // of each entry: where its next value goes
  std::int64_t num_parts;

  // The first entry of a part; parts have about the same number of values.
  std::int64_t first_entry(std::int64_t part) const {
    if (part == num_parts) return group.keys.num_entries;
    const std::byte* wanted = cursors_begin() + group.num_values * group.value_bytes / num_parts * part;
    std::int64_t low = 0;
    std::int64_t high = group.keys.num_entries;
    while (low < high) {
      const std::int64_t middle = low + (high - low) / 2;
      if (vector_of(group, middle).data < wanted) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
  const std::byte* cursors_begin() const { return vector_of(group, 0).data; }

  // Values of the entries [first, last), in their order. kBytes is the value's size where not 0.
  template <std::int64_t kBytes>
  ErrorCode run(Worker* worker, std::uint32_t first, std::uint32_t count) const {
    const std::int64_t bytes = kBytes ? kBytes : group.value_bytes;
    const auto size = static_cast<std::size_t>(bytes);
    for (std::int64_t begin = 0; begin < group.num_values; begin += kPollValues) {
      if (must_poll(*worker)) {
        if (const ErrorCode code = weld_rt_poll(worker); code != ErrorCode::kSuccess) return code;
      }
      const std::int64_t end = std::min(group.num_values, begin + kPollValues);
      for (std::int64_t i = begin; i < end; ++i) {
        const std::uint32_t entry = group.ids[i];
        if (entry - first >= count) continue;
        std::memcpy(cursors[entry], group.values + i * bytes, size);
        cursors[entry] += bytes;
      }
    }
    return ErrorCode::kSuccess;
  }

  // Each part goes through all ids: four sequential bytes a value are cheap beside a scattered store.
  static ErrorCode run_part(Worker* worker, void* captures, std::int64_t part, std::int64_t, void*) {
    const auto& scatter = *static_cast<const Scatter*>(captures);
    const std::int64_t begin = scatter.first_entry(part);
    const std::int64_t end = scatter.first_entry(part + 1);
    if (begin == end) return ErrorCode::kSuccess;
    const auto first = static_cast<std::uint32_t>(begin);
    const auto count = static_cast<std::uint32_t>(end - begin);
    switch (scatter.group.value_bytes) {
      case 1:
        return scatter.run<1>(worker, first, count);
      case 4:
        return scatter.run<4>(worker, first, count);
      case 8:
        return scatter.run<8>(worker, first, count);
      case 16:
        return scatter.run<16>(worker, first, count);
      default:
        return scatter.run<0>(worker, first, count);
    }
  }
};

struct AppendIds {
  std::uint32_t* into;
  const std::uint32_t* from;
  const std::uint32_t* id_map;

  static ErrorCode run(Worker*, void* captures, std::int64_t begin, std::int64_t end, void*) {
    const auto& append = *static_cast<const AppendIds*>(captures);
    for (std::int64_t i = begin; i < end; ++i) append.into[i] = append.id_map[append.from[i]];
    return ErrorCode::kSuccess;
  }
};

}  // namespace

extern "C" {

ErrorCode weld_rt_group_grow(Worker* worker, GroupBuilder* group) noexcept {
  return reserve(worker, *group, group->value_capacity * 2);
}

ErrorCode weld_rt_group_append(Worker* worker, GroupBuilder* into, const GroupBuilder* from,
                               const std::uint32_t* id_map) noexcept {
  const std::int64_t total = into->num_values + from->num_values;
  if (total > into->value_capacity) {
    const ErrorCode code = reserve(worker, *into, std::max(total, into->value_capacity * 2));
    if (code != ErrorCode::kSuccess) return code;
  }
  AppendIds append{into->ids + into->num_values, from->ids, id_map};
  ErrorCode code = for_each_morsel(*worker, from->num_values, kParallelValues, AppendIds::run, &append);
  if (code != ErrorCode::kSuccess) return code;
  code = copy_bytes(*worker, into->values + into->num_values * into->value_bytes, from->values,
                    from->num_values * from->value_bytes);
  if (code != ErrorCode::kSuccess) return code;
  for (std::int64_t entry = 0; entry < from->keys.num_entries; ++entry)
    vector_of(*into, id_map[entry]).length += vector_of(*from, entry).length;
  into->num_values = total;
  return ErrorCode::kSuccess;
}

ErrorCode weld_rt_group_result(Worker* worker, GroupBuilder* group, Dict** result) noexcept {
  const std::int64_t num_entries = group->keys.num_entries;
  if (num_entries > 0) {
    WorkerHeap& heap = state_of(worker).heap;
    Block* cursors = heap.allocate(num_entries * static_cast<std::int64_t>(sizeof(std::byte*)));
    if (!cursors) return ErrorCode::kOutOfMemory;
    Block* values = heap.allocate(group->num_values * group->value_bytes);
    if (!values) {
      heap.free(cursors);
      return ErrorCode::kOutOfMemory;
    }
    const bool is_large = group->num_values >= kParallelValues && worker->may_fork;
    Scatter scatter{*group, reinterpret_cast<std::byte**>(cursors->payload()),
                    is_large ? std::min<std::int64_t>(worker->run->settings().threads, 16) : 1};
    std::byte* next = values->payload();
    for (std::int64_t entry = 0; entry < num_entries; ++entry) {
      VecView& vector = vector_of(*group, entry);
      vector.data = scatter.cursors[entry] = next;
      next += vector.length * group->value_bytes;
    }
    const ErrorCode code = for_each_morsel(*worker, scatter.num_parts, 1, Scatter::run_part, &scatter);
    heap.free(cursors);
    if (code != ErrorCode::kSuccess) {
      heap.free(values);
      return code;
    }
    link_last(worker->scope->blocks, values);
  }
  weld_rt_free(worker, reinterpret_cast<std::byte*>(group->ids));
  weld_rt_free(worker, group->values);
  group->ids = nullptr;
  group->values = nullptr;
  *result = &group->keys;
  return ErrorCode::kSuccess;
}

}  // extern "C"
}  // namespace weld::runtime
