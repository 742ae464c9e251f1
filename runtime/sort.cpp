#include <algorithm>
#include <cstring>

#include "runtime/calls.h"
#include "runtime/gather.h"
#include "runtime/morsel_loop.h"
#include "runtime/parallel_copy.h"
#include "runtime/scratch.h"
#include "runtime/sort_keys.h"

// Sorting by a comparator: a bottom-up merge sort, whose every index is bounded by the lengths of what it
// merges and not by what the comparator says, so that an inconsistent one gives some permutation. By keys:
// key_sort.cpp.

namespace weld::runtime {
namespace {

constexpr std::int64_t kInsertionElements = 12;
constexpr std::int64_t kChunkElements = 32 * 1024;  // sorted by one worker
constexpr std::int64_t kPieceElements = 64 * 1024;  // merged by one worker
constexpr std::int64_t kPollComparisons = 4096;
constexpr std::int64_t kMaxMovedBytes = 64;  // larger elements are sorted by their indices
constexpr std::int64_t kMinHeldElements = 64;
constexpr std::int64_t kMinSelected = 8;  // how many times fewer elements are wanted, to be selected
constexpr std::int64_t kMaxBytes = std::int64_t{1} << 46;

// Two elements, compared for one worker. After a failure it says "equal", and `failed` is set.
class Comparison {
 public:
  Comparison(Worker& worker, SortComparator comparator, void* captures)
      : worker_(worker), comparator_(comparator), captures_(captures) {}

  // Whether `right` must come before `left`.
  bool is_after(const void* left, const void* right) {
    if (code != ErrorCode::kSuccess) return false;
    if (++num_comparisons_ % kPollComparisons == 0 && must_poll(worker_)) {
      code = weld_rt_poll(&worker_);
      if (code != ErrorCode::kSuccess) return false;
    }
    return comparator_(&worker_, captures_, left, right, &code) > 0 && code == ErrorCode::kSuccess;
  }

  ErrorCode code = ErrorCode::kSuccess;

 private:
  Worker& worker_;
  SortComparator comparator_;
  void* captures_;
  std::int64_t num_comparisons_ = 0;
};

// Sorts elements of a size; kBytes is that size where not 0.
template <std::int64_t kBytes>
struct ElementSort {
  std::int64_t element_bytes;
  SortComparator comparator;
  void* captures;

  std::int64_t size() const { return kBytes ? kBytes : element_bytes; }
  std::byte* at(std::byte* data, std::int64_t index) const { return data + index * size(); }
  const std::byte* at(const std::byte* data, std::int64_t index) const { return data + index * size(); }
  void move(std::byte* to, const std::byte* from) const {
    std::memcpy(to, from, static_cast<std::size_t>(size()));
  }

  void insertion_sort(std::byte* data, std::int64_t length, Comparison& comparison) const {
    std::byte held[kMaxMovedBytes];
    for (std::int64_t i = 1; i < length; ++i) {
      if (!comparison.is_after(at(data, i - 1), at(data, i))) continue;
      move(held, at(data, i));
      std::int64_t place = i;
      do {
        move(at(data, place), at(data, place - 1));
        --place;
      } while (place > 0 && comparison.is_after(at(data, place - 1), held));
      move(at(data, place), held);
    }
  }

  // Merges two sorted parts; of equal elements the left one comes first.
  void merge(std::byte* to, const std::byte* left, std::int64_t num_left, const std::byte* right,
             std::int64_t num_right, Comparison& comparison) const {
    const std::byte* const left_end = at(left, num_left);
    const std::byte* const right_end = at(right, num_right);
    if (num_left > 0 && num_right > 0 && comparison.is_after(left_end - size(), right)) {
      while (left != left_end && right != right_end) {
        const bool take_right = comparison.is_after(left, right);
        const std::byte*& from = take_right ? right : left;
        move(to, from);
        from += size();
        to += size();
      }
    }
    if (left != left_end) std::memcpy(to, left, static_cast<std::size_t>(left_end - left));
    to += left_end - left;
    if (right != right_end) std::memcpy(to, right, static_cast<std::size_t>(right_end - right));
  }

  // Sorts `data`, with as much memory at `scratch`.
  void sort_chunk(std::byte* data, std::byte* scratch, std::int64_t length, Comparison& comparison) const {
    for (std::int64_t begin = 0; begin < length; begin += kInsertionElements)
      insertion_sort(at(data, begin), std::min(kInsertionElements, length - begin), comparison);
    std::byte* from = data;
    std::byte* to = scratch;
    for (std::int64_t width = kInsertionElements; width < length; width *= 2) {
      for (std::int64_t begin = 0; begin < length; begin += 2 * width) {
        const std::int64_t num_left = std::min(width, length - begin);
        const std::int64_t num_right = std::min(width, length - begin - num_left);
        merge(at(to, begin), at(from, begin), num_left, at(from, begin + num_left), num_right, comparison);
      }
      std::swap(from, to);
    }
    if (from != data) std::memcpy(data, from, static_cast<std::size_t>(length * size()));
  }

  // How many elements are held at a time to find the first `limit` of them.
  static std::int64_t num_held(std::int64_t limit) { return std::max(2 * limit, kMinHeldElements); }

  // Finds the first `limit` (not 0) of the elements [begin, end) in their sorted order, with room for
  // num_held() elements at `held` and at `scratch`, and leaves them at `held`; returns how many there are.
  // `element(i)` is where element i of the vector is, until the next call. What comes before the last of the
  // first so far is held; now and then the held are cut back.
  template <class Element>
  std::int64_t select(Comparison& comparison, Element&& element, std::byte* held, std::byte* scratch,
                      std::int64_t begin, std::int64_t end, std::int64_t limit) const {
    const std::int64_t room = num_held(limit);
    std::int64_t count = 0;
    bool full = false;
    for (std::int64_t i = begin; i < end && comparison.code == ErrorCode::kSuccess; ++i) {
      const std::byte* const next = element(i);
      if (full && !comparison.is_after(at(held, limit - 1), next)) continue;
      move(at(held, count++), next);
      if (count < room) continue;
      sort_chunk(held, scratch, count, comparison);
      count = limit;
      full = true;
    }
    sort_chunk(held, scratch, count, comparison);
    return std::min(count, limit);
  }

  // The first elements of each chunk. `data` null: elements are indices.
  struct Selection {
    const ElementSort& sort;
    const std::byte* data;
    std::int64_t limit;
    std::int64_t chunk;
    std::byte* first;  // `limit` elements a chunk
    std::int64_t* counts;

    static ErrorCode run(Worker* worker, void* captures, std::int64_t begin, std::int64_t end, void*) {
      const auto& selection = *static_cast<const Selection*>(captures);
      const ElementSort& sort = selection.sort;
      const std::int64_t limit = selection.limit;
      const std::int64_t bytes = num_held(limit) * sort.size();
      const Scratch held(*worker, bytes);
      if (!held) return ErrorCode::kOutOfMemory;
      const Scratch scratch(*worker, bytes);
      if (!scratch) return ErrorCode::kOutOfMemory;
      Comparison comparison(*worker, sort.comparator, sort.captures);
      std::int64_t current;
      const auto element = [&](std::int64_t index) {
        if (selection.data) return sort.at(selection.data, index);
        current = index;
        return reinterpret_cast<const std::byte*>(&current);
      };
      const std::int64_t count = sort.select(comparison, element, held.as(), scratch.as(), begin, end, limit);
      const std::int64_t chunk = begin / selection.chunk;
      selection.counts[chunk] = count;
      std::memcpy(sort.at(selection.first, chunk * limit), held.as(),
                  static_cast<std::size_t>(count * sort.size()));
      return comparison.code;
    }
  };

  // Whether finding the first `limit` is better than sorting all.
  static bool selects(std::int64_t length, std::int64_t limit) {
    return limit <= length / kMinSelected && num_held(limit) < length;
  }

  // Writes the first `limit` elements of the sorted vector to `to`: those of each chunk, and then the first
  // of these.
  ErrorCode select_first(Worker& worker, const std::byte* data, std::int64_t length, std::int64_t limit,
                         std::byte* to) const {
    const std::int64_t chunk = std::max(kChunkElements, kMinSelected * limit);
    const std::int64_t num_chunks = (length + chunk - 1) / chunk;
    const Scratch first(worker, num_chunks * limit * size());
    if (!first) return ErrorCode::kOutOfMemory;
    const Scratch counts(worker, num_chunks * 8);
    if (!counts) return ErrorCode::kOutOfMemory;
    Selection selection{*this, data, limit, chunk, first.as(), counts.template as<std::int64_t>()};
    ErrorCode code = for_each_morsel(worker, length, chunk, Selection::run, &selection);
    if (code != ErrorCode::kSuccess) return code;
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < num_chunks; ++i) {
      const std::int64_t count = selection.counts[i];
      std::memmove(at(first.as(), total), at(first.as(), i * limit),
                   static_cast<std::size_t>(count * size()));
      total += count;
    }
    std::byte* sorted = first.as();
    const Scratch scratch(worker, num_chunks > 1 ? total * size() : 0);
    if (!scratch) return ErrorCode::kOutOfMemory;
    if (num_chunks > 1) code = run(worker, first.as(), scratch.as(), total, &sorted);
    if (code == ErrorCode::kSuccess) std::memcpy(to, sorted, static_cast<std::size_t>(limit * size()));
    return code;
  }

  // How many of the first `count` merged elements come from the left part.
  std::int64_t taken_from_left(const std::byte* left, std::int64_t num_left, const std::byte* right,
                               std::int64_t num_right, std::int64_t count, Comparison& comparison) const {
    std::int64_t low = std::max<std::int64_t>(count - num_right, 0);
    std::int64_t high = std::min(count, num_left);
    while (low < high) {
      const std::int64_t taken = low + (high - low) / 2;
      // The left element `taken` is among the first `count` unless the right one before it must come first.
      if (comparison.is_after(at(left, taken), at(right, count - taken - 1))) {
        high = taken;
      } else {
        low = taken + 1;
      }
    }
    return low;
  }

  // A round of merges: neighbours of `width` sorted elements each, cut into pieces of the output.
  struct Round {
    const ElementSort& sort;
    const std::byte* from;
    std::byte* to;
    std::int64_t length;
    std::int64_t width;
    std::int64_t* left_taken;  // of each piece: the elements of its pair's left part before it

    std::int64_t pair_begin(std::int64_t position) const { return position / (2 * width) * (2 * width); }
    std::int64_t num_left(std::int64_t begin) const { return std::min(width, length - begin); }
    std::int64_t num_right(std::int64_t begin) const {
      return std::min(width, length - begin - num_left(begin));
    }

    void find_pieces(Comparison& comparison) {
      std::int64_t before = 0;
      for (std::int64_t position = 0; position < length; position += kPieceElements) {
        const std::int64_t begin = pair_begin(position);
        std::int64_t taken = 0;
        if (position != begin) {
          const std::int64_t lefts = num_left(begin);
          const std::int64_t rights = num_right(begin);
          const std::int64_t count = position - begin;
          taken = sort.taken_from_left(sort.at(from, begin), lefts, sort.at(from, begin + lefts), rights,
                                       count, comparison);
          // With an inconsistent comparator the answers need not fit together.
          taken =
              std::clamp(taken, std::max(before, count - rights), std::min(before + kPieceElements, lefts));
        }
        left_taken[position / kPieceElements] = before = taken;
      }
    }

    static ErrorCode merge_piece(Worker* worker, void* captures, std::int64_t piece, std::int64_t, void*) {
      const auto& round = *static_cast<const Round*>(captures);
      const ElementSort& sort = round.sort;
      const std::int64_t position = piece * kPieceElements;
      const std::int64_t begin = round.pair_begin(position);
      const std::int64_t lefts = round.num_left(begin);
      const std::int64_t pair_end = begin + lefts + round.num_right(begin);
      const std::int64_t end = std::min(position + kPieceElements, pair_end);
      const std::int64_t left = round.left_taken[piece];
      const std::int64_t left_end = end == pair_end ? lefts : round.left_taken[piece + 1];
      const std::int64_t right = position - begin - left;
      const std::int64_t right_end = end - begin - left_end;
      Comparison comparison(*worker, sort.comparator, sort.captures);
      sort.merge(sort.at(round.to, position), sort.at(round.from, begin + left), left_end - left,
                 sort.at(round.from, begin + lefts + right), right_end - right, comparison);
      return comparison.code;
    }
  };

  struct Chunks {
    const ElementSort& sort;
    std::byte* data;
    std::byte* scratch;

    static ErrorCode sort_one(Worker* worker, void* captures, std::int64_t begin, std::int64_t end, void*) {
      const auto& chunks = *static_cast<const Chunks*>(captures);
      Comparison comparison(*worker, chunks.sort.comparator, chunks.sort.captures);
      chunks.sort.sort_chunk(chunks.sort.at(chunks.data, begin), chunks.sort.at(chunks.scratch, begin),
                             end - begin, comparison);
      return comparison.code;
    }
  };

  // Sorts `data`, with as much memory at `scratch`; the result is at `*sorted`, one of the two. Chunks and
  // pieces depend on the length alone, so that even an inconsistent comparator gives the same for any number
  // of threads.
  ErrorCode run(Worker& worker, std::byte* data, std::byte* scratch, std::int64_t length,
                std::byte** sorted) const {
    *sorted = data;
    Chunks chunks{*this, data, scratch};
    if (length <= kChunkElements) return Chunks::sort_one(&worker, &chunks, 0, length, nullptr);
    ErrorCode code = for_each_morsel(worker, length, kChunkElements, Chunks::sort_one, &chunks);
    if (code != ErrorCode::kSuccess) return code;

    const std::int64_t num_pieces = (length + kPieceElements - 1) / kPieceElements;
    const Scratch left_taken(worker, num_pieces * 8);
    if (!left_taken) return ErrorCode::kOutOfMemory;
    std::byte* from = data;
    std::byte* to = scratch;
    for (std::int64_t width = kChunkElements; width < length; width *= 2) {
      Round round{*this, from, to, length, width, left_taken.as<std::int64_t>()};
      Comparison comparison(worker, comparator, captures);
      round.find_pieces(comparison);
      code = comparison.code;
      if (code == ErrorCode::kSuccess)
        code = for_each_morsel(worker, num_pieces, 1, Round::merge_piece, &round);
      if (code != ErrorCode::kSuccess) return code;
      std::swap(from, to);
    }
    *sorted = from;
    return ErrorCode::kSuccess;
  }
};
static_assert(kPieceElements == 2 * kChunkElements, "a piece lies in one pair");

// Sorts elements that are moved themselves.
template <std::int64_t kBytes>
ErrorCode sort_moving(Worker& worker, const std::byte* data, std::int64_t length, std::int64_t element_bytes,
                      SortComparator comparator, void* captures, std::int64_t limit,
                      VecView* result) noexcept {
  const ElementSort<kBytes> sort{element_bytes, comparator, captures};
  const bool selects = sort.selects(length, limit);
  const std::int64_t bytes = length * element_bytes;
  Scratch first(worker, selects ? limit * element_bytes : bytes);
  if (!first) return ErrorCode::kOutOfMemory;
  if (selects) {
    const ErrorCode code = sort.select_first(worker, data, length, limit, first.as());
    if (code == ErrorCode::kSuccess) *result = {first.keep(worker), limit};
    return code;
  }
  Scratch second(worker, bytes);
  if (!second) return ErrorCode::kOutOfMemory;
  ErrorCode code = copy_bytes(worker, first.as(), data, bytes);
  if (code != ErrorCode::kSuccess) return code;
  std::byte* sorted;
  code = sort.run(worker, first.as(), second.as(), length, &sorted);
  if (code == ErrorCode::kSuccess) *result = {(sorted == first.as() ? first : second).keep(worker), limit};
  return code;
}

// A comparator of indices into elements.
struct IndexOrder {
  const std::byte* data;
  std::int64_t element_bytes;
  SortComparator comparator;
  void* captures;

  static std::int32_t compare(Worker* worker, void* captures, const void* left, const void* right,
                              ErrorCode* error) {
    const auto& order = *static_cast<const IndexOrder*>(captures);
    std::int64_t left_index;
    std::int64_t right_index;
    std::memcpy(&left_index, left, 8);
    std::memcpy(&right_index, right, 8);
    return order.comparator(worker, order.captures, order.data + left_index * order.element_bytes,
                            order.data + right_index * order.element_bytes, error);
  }
};

// Sorts large elements, which are moved once.
ErrorCode sort_by_index(Worker& worker, const std::byte* data, std::int64_t length,
                        std::int64_t element_bytes, SortComparator comparator, void* captures,
                        std::int64_t limit, VecView* result) noexcept {
  IndexOrder order{data, element_bytes, comparator, captures};
  Scratch output(worker, limit * element_bytes);
  if (!output) return ErrorCode::kOutOfMemory;
  const bool selects = selects_first(length, limit);
  const Scratch memory(worker, (selects ? limit : length) * 8);
  if (!memory) return ErrorCode::kOutOfMemory;
  auto* indices = memory.as<std::uint64_t>();
  ErrorCode code;
  if (selects) {
    code = first_indices(worker, indices, length, limit, IndexOrder::compare, &order);
  } else {
    for (std::int64_t i = 0; i < length; ++i) indices[i] = static_cast<std::uint64_t>(i);
    code = merge_sort(worker, indices, length, IndexOrder::compare, &order);
  }
  if (code == ErrorCode::kSuccess)
    code = gather_elements(worker, output.as(), data, element_bytes, indices, 1, limit);
  if (code == ErrorCode::kSuccess) *result = {output.keep(worker), limit};
  return code;
}

}  // namespace

bool selects_first(std::int64_t length, std::int64_t limit) noexcept {
  return ElementSort<8>::selects(length, limit);
}

ErrorCode first_indices(Worker& worker, std::uint64_t* indices, std::int64_t length, std::int64_t limit,
                        SortComparator comparator, void* captures) noexcept {
  const ElementSort<8> sort{8, comparator, captures};
  return sort.select_first(worker, nullptr, length, limit, reinterpret_cast<std::byte*>(indices));
}

ErrorCode merge_sort(Worker& worker, std::uint64_t* indices, std::int64_t length, SortComparator comparator,
                     void* captures) noexcept {
  const Scratch scratch(worker, length * 8);
  if (!scratch) return ErrorCode::kOutOfMemory;
  const ElementSort<8> sort{8, comparator, captures};
  auto* data = reinterpret_cast<std::byte*>(indices);
  std::byte* sorted;
  const ErrorCode code = sort.run(worker, data, scratch.as(), length, &sorted);
  if (code == ErrorCode::kSuccess && sorted != data)
    std::memcpy(data, sorted, static_cast<std::size_t>(length) * 8);
  return code;
}

extern "C" {

ErrorCode weld_rt_sort(Worker* worker, const std::byte* data, std::int64_t length, std::int64_t element_bytes,
                       SortComparator comparator, void* captures, std::int64_t limit,
                       VecView* result) noexcept {
  *result = {};
  limit = std::min(limit, length);
  if (limit == 0) return ErrorCode::kSuccess;
  if (length > kMaxBytes / std::max<std::int64_t>(element_bytes, 8)) return ErrorCode::kOutOfMemory;
  switch (element_bytes) {
    case 1:
      return sort_moving<1>(*worker, data, length, element_bytes, comparator, captures, limit, result);
    case 4:
      return sort_moving<4>(*worker, data, length, element_bytes, comparator, captures, limit, result);
    case 8:
      return sort_moving<8>(*worker, data, length, element_bytes, comparator, captures, limit, result);
    case 16:
      return sort_moving<16>(*worker, data, length, element_bytes, comparator, captures, limit, result);
    case 24:
      return sort_moving<24>(*worker, data, length, element_bytes, comparator, captures, limit, result);
    case 32:
      return sort_moving<32>(*worker, data, length, element_bytes, comparator, captures, limit, result);
    default:
      if (element_bytes > 0 && element_bytes <= kMaxMovedBytes)
        return sort_moving<0>(*worker, data, length, element_bytes, comparator, captures, limit, result);
      return sort_by_index(*worker, data, length, element_bytes, comparator, captures, limit, result);
  }
}

}  // extern "C"
}  // namespace weld::runtime
