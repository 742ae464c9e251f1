#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <limits>

#include "ir/types.h"
#include "runtime/calls.h"
#include "runtime/gather.h"
#include "runtime/index_sort.h"
#include "runtime/morsel_loop.h"
#include "runtime/number_sort.h"
#include "runtime/parallel_copy.h"
#include "runtime/scratch.h"
#include "runtime/sort_keys.h"
#include "runtime/top_keys.h"

// Sorting by keys. Scalars that are sorted by themselves become numbers of the same order and back; otherwise
// the highest bits of the keys are sorted together with the elements' indices, and the elements moved once.

namespace weld::runtime {
namespace {

constexpr std::int64_t kMaxBytes = std::int64_t{1} << 46;
constexpr std::int64_t kMorselElements = 64 * 1024;

// --- Scalars that are their own keys.

// Numbers become keys again, in the place of the numbers or elsewhere.
template <class T>
struct ScalarSink {
  T* to;
  std::int64_t limit;

  using Number = Unsigned<T>;

  ErrorCode take(Worker&, Number* sorted, std::int64_t begin, std::int64_t end) {
    end = std::min(end, limit);
    for (std::int64_t i = begin; i < end; ++i) {
      const T key = key_of<T>(sorted[i - begin]);
      std::memcpy(to + i, &key, sizeof key);
    }
    return ErrorCode::kSuccess;
  }
  ErrorCode take_run(Worker& worker, Number* run, std::int64_t begin, std::int64_t end) {
    return take(worker, run, begin, end);
  }
};

template <class T>
struct ScalarSource {
  ScalarKeys<T, sizeof(T)> keys;
  [[gnu::always_inline]] Unsigned<T> at(std::int64_t i) const { return ordered_bits(keys.key(i)); }
};

// Zeros of both signs are equal, and keep their order: writes those of `data` over the sorted ones.
template <class T>
ErrorCode restore_zeros(Worker& worker, const std::byte* data, std::int64_t length, T* sorted,
                        std::int64_t limit) {
  const ScalarKeys<T, sizeof(T)> keys{data, sizeof(T)};
  T* place = std::lower_bound(sorted, sorted + limit, T{0}, [](T key, T zero) { return key < zero; });
  for (std::int64_t begin = 0; begin < length; begin += kMorselElements) {
    if (must_poll(worker)) {
      if (const ErrorCode code = weld_rt_poll(&worker); code != ErrorCode::kSuccess) return code;
    }
    const std::int64_t end = std::min(begin + kMorselElements, length);
    for (std::int64_t i = begin; i < end; ++i) {
      const T key = keys.key(i);
      if (key != T{0}) continue;
      if (place == sorted + limit) return ErrorCode::kSuccess;
      *place++ = key;
    }
  }
  return ErrorCode::kSuccess;
}

template <class T>
struct NegativeZeros {
  const std::byte* data;
  std::atomic<bool> found{false};

  static ErrorCode find(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    auto& zeros = *static_cast<NegativeZeros*>(self);
    const ScalarKeys<T, sizeof(T)> keys{zeros.data, sizeof(T)};
    bool found = false;
    for (std::int64_t i = begin; i < end; ++i)
      found |= std::bit_cast<Unsigned<T>>(keys.key(i)) == kSignBit<T>;
    if (found) zeros.found.store(true, std::memory_order_relaxed);
    return ErrorCode::kSuccess;
  }
};

template <class T>
ErrorCode sort_numbers_of(Worker& worker, const std::byte* data, std::int64_t length, std::int64_t limit,
                          VecView* result) {
  using Number = Unsigned<T>;
  Scratch output(worker, limit * static_cast<std::int64_t>(sizeof(T)));
  if (!output) return ErrorCode::kOutOfMemory;
  const Scratch numbers(worker, limit < length ? length * static_cast<std::int64_t>(sizeof(T)) : 0);
  if (!numbers) return ErrorCode::kOutOfMemory;
  ScalarSink<T> sink{output.as<T>(), limit};
  const ScalarSource<T> source{{data, sizeof(T)}};
  auto* to = limit < length ? numbers.as<Number>() : output.as<Number>();
  ErrorCode code = NumberSort<Number, ScalarSource<T>, ScalarSink<T>>(
                       worker, source, sink, to, length, std::numeric_limits<Number>::max(), limit)
                       .run();
  if constexpr (std::is_floating_point_v<T>) {
    NegativeZeros<T> zeros{data};
    if (code == ErrorCode::kSuccess)
      code = for_each_morsel(worker, length, kMorselElements, NegativeZeros<T>::find, &zeros);
    if (code == ErrorCode::kSuccess && zeros.found.load(std::memory_order_relaxed))
      code = restore_zeros<T>(worker, data, length, output.as<T>(), limit);
  }
  if (code == ErrorCode::kSuccess) *result = {output.keep(worker), limit};
  return code;
}

// One byte or two: the values are counted.
template <class T>
struct CountedValues {
  static constexpr std::int64_t kValues = std::int64_t{1} << (8 * sizeof(T));

  const std::byte* data;
  T* to;
  std::int64_t chunk;
  std::int64_t* counts;  // by chunk and value; those of the first chunk become places

  static ErrorCode count(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& values = *static_cast<const CountedValues*>(self);
    const ScalarKeys<T, sizeof(T)> keys{values.data, sizeof(T)};
    std::int64_t* counts = values.counts + begin / values.chunk * kValues;
    std::fill_n(counts, kValues, 0);
    for (std::int64_t i = begin; i < end; ++i) ++counts[ordered_bits(keys.key(i))];
    return ErrorCode::kSuccess;
  }

  static ErrorCode fill(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& values = *static_cast<const CountedValues*>(self);
    const std::int64_t* places = values.counts;  // where each value ends
    std::int64_t value = std::upper_bound(places, places + kValues, begin) - places;
    while (begin < end) {
      const std::int64_t stop = std::min(end, places[value]);
      std::fill(values.to + begin, values.to + stop, key_of<T>(static_cast<Unsigned<T>>(value)));
      begin = std::max(begin, stop);
      ++value;
    }
    return ErrorCode::kSuccess;
  }

  static ErrorCode sort(Worker& worker, const std::byte* data, std::int64_t length, std::int64_t limit,
                        VecView* result) {
    constexpr std::int64_t kMaxChunks = 16;
    const std::int64_t chunk =
        std::max<std::int64_t>((length + kMaxChunks - 1) / kMaxChunks, 4 * kMorselElements);
    const std::int64_t num_chunks = (length + chunk - 1) / chunk;
    Scratch output(worker, limit * static_cast<std::int64_t>(sizeof(T)));
    if (!output) return ErrorCode::kOutOfMemory;
    const Scratch counts(worker, num_chunks * kValues * 8);
    if (!counts) return ErrorCode::kOutOfMemory;
    CountedValues values{data, output.as<T>(), chunk, counts.as<std::int64_t>()};
    ErrorCode code = for_each_morsel(worker, length, chunk, count, &values);
    if (code != ErrorCode::kSuccess) return code;
    std::int64_t place = 0;
    for (std::int64_t value = 0; value < kValues; ++value) {
      for (std::int64_t i = 0; i < num_chunks; ++i) place += values.counts[i * kValues + value];
      values.counts[value] = place;
    }
    code = for_each_morsel(worker, limit, 4 * kMorselElements, fill, &values);
    if (code == ErrorCode::kSuccess) *result = {output.keep(worker), limit};
    return code;
  }
};

// --- Elements with keys.

template <class Keys>
ErrorCode sort_with_indices(Worker& worker, const Keys& keys, const std::byte* data, std::int64_t length,
                            std::int64_t element_bytes, std::int64_t limit, VecView* result) {
  Scratch output(worker, limit * element_bytes);
  if (!output) return ErrorCode::kOutOfMemory;
  const ErrorCode code =
      IndexSort<Keys>(worker, keys).gather(data, length, element_bytes, output.as(), limit);
  if (code == ErrorCode::kSuccess) *result = {output.keep(worker), limit};
  return code;
}

// The first elements in the order of a comparator of indices, which are few.
ErrorCode gather_first(Worker& worker, SortComparator comparator, const void* captures, const std::byte* data,
                       std::int64_t length, std::int64_t element_bytes, std::int64_t limit, VecView* result) {
  Scratch output(worker, limit * element_bytes);
  if (!output) return ErrorCode::kOutOfMemory;
  const Scratch indices(worker, limit * 8);
  if (!indices) return ErrorCode::kOutOfMemory;
  auto* first = indices.as<std::uint64_t>();
  ErrorCode code = first_indices(worker, first, length, limit, comparator, const_cast<void*>(captures));
  if (code == ErrorCode::kSuccess)
    code = gather_elements(worker, output.as(), data, element_bytes, first, 1, limit);
  if (code == ErrorCode::kSuccess) *result = {output.keep(worker), limit};
  return code;
}

template <class Keys>
ErrorCode sort_by_words(Worker& worker, const Keys& keys, const std::byte* data, std::int64_t length,
                        std::int64_t element_bytes, std::int64_t limit, VecView* result) {
  if (!selects_top(length, limit))
    return sort_with_indices(worker, keys, data, length, element_bytes, limit, result);
  Scratch output(worker, limit * element_bytes);
  if (!output) return ErrorCode::kOutOfMemory;
  const Scratch indices(worker, limit * 8);
  if (!indices) return ErrorCode::kOutOfMemory;
  auto* first = indices.as<std::uint64_t>();
  ErrorCode code = TopKeys<Keys>(worker, keys, length, limit).find(first);
  if (code == ErrorCode::kSuccess)
    code = gather_elements(worker, output.as(), data, element_bytes, first, 1, limit);
  if (code == ErrorCode::kSuccess) *result = {output.keep(worker), limit};
  return code;
}

// Elements of 16 bytes are moved to their parts before these are sorted: a part's elements are in the cache
// when they are gathered.
template <class Row>
class RowSort {
 public:
  static_assert(sizeof(Row) == 16);
  static constexpr std::int64_t kMinElements = 128 * 1024;

  static ErrorCode sort(Worker& worker, const std::byte* data, std::int64_t length, std::int64_t limit,
                        VecView* result) {
    Scratch output(worker, limit * 16);
    if (!output) return ErrorCode::kOutOfMemory;
    const Scratch rows(worker, length * 16);
    if (!rows) return ErrorCode::kOutOfMemory;
    Sink sink{output.as(), limit};
    const ErrorCode code = NumberSort<Row, Source, Sink>(worker, Source{data}, sink, rows.as<Row>(), length,
                                                         std::numeric_limits<std::uint64_t>::max(), limit)
                               .run();
    if (code == ErrorCode::kSuccess) *result = {output.keep(worker), limit};
    return code;
  }

 private:
  struct Source {
    const std::byte* data;
    [[gnu::always_inline]] Row at(std::int64_t i) const {
      Row row;
      std::memcpy(&row, data + i * 16, 16);
      return row;
    }
  };

  struct Sink {
    std::byte* to;
    std::int64_t limit;

    ErrorCode take(Worker& worker, Row* rows, std::int64_t begin, std::int64_t end) {
      const auto* data = reinterpret_cast<const std::byte*>(rows);
      return IndexSort<typename Row::Keys>(worker, Row::keys_of(data))
          .gather(data, end - begin, 16, to + begin * 16, std::min(end, limit) - begin);
    }
    ErrorCode take_run(Worker& worker, Row* run, std::int64_t begin, std::int64_t end) {
      return take(worker, run, begin, end);
    }
  };
};

template <class T>
ErrorCode sort_by(Worker& worker, const std::byte* data, std::int64_t length, std::int64_t element_bytes,
                  const std::byte* keys, std::int64_t stride, std::int64_t limit, VecView* result) noexcept {
  const bool are_keys = data == keys && element_bytes == sizeof(T) && !selects_top(length, limit);
  if constexpr (sizeof(T) >= 4) {
    if (are_keys) return sort_numbers_of<T>(worker, data, length, limit, result);
  } else {
    const bool are_many = length >= CountedValues<T>::kValues / 2;
    if (are_keys && are_many) return CountedValues<T>::sort(worker, data, length, limit, result);
  }
  if constexpr (sizeof(T) == 8) {
    using First = RowSort<KeyedRow<T, 0>>;
    using Second = RowSort<KeyedRow<T, 8>>;
    const bool are_rows = element_bytes == 16 && stride == 16 && length >= First::kMinElements;
    if (are_rows && !selects_top(length, limit)) {
      if (keys == data) return First::sort(worker, data, length, limit, result);
      if (keys == data + 8) return Second::sort(worker, data, length, limit, result);
    }
  }
  if (stride == sizeof(T)) {
    return sort_by_words(worker, ScalarKeys<T, sizeof(T)>{keys, stride}, data, length, element_bytes, limit,
                         result);
  }
  return sort_by_words(worker, ScalarKeys<T>{keys, stride}, data, length, element_bytes, limit, result);
}

// Strings from outside may have lengths that cannot be.
struct StringCheck {
  const std::byte* keys;
  std::int64_t stride;

  static ErrorCode run(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& check = *static_cast<const StringCheck*>(self);
    const StringKeys<false> strings{check.keys, check.stride};
    for (std::int64_t i = begin; i < end; ++i) {
      const VecView view = strings.key(i);
      if (view.length < 0 || (view.length > 0 && !view.data)) return ErrorCode::kArrayOutOfBounds;
    }
    return ErrorCode::kSuccess;
  }
};

template <bool kSigned>
ErrorCode sort_by_strings(Worker& worker, const std::byte* data, std::int64_t length,
                          std::int64_t element_bytes, const std::byte* keys, std::int64_t stride,
                          std::int64_t limit, VecView* result) noexcept {
  StringCheck check{keys, stride};
  const ErrorCode code = for_each_morsel(worker, length, kMorselElements, StringCheck::run, &check);
  if (code != ErrorCode::kSuccess) return code;
  using Rows = RowSort<StringRow<kSigned>>;
  if (keys == data && element_bytes == 16 && length >= Rows::kMinElements && !selects_top(length, limit))
    return Rows::sort(worker, data, length, limit, result);
  return sort_by_words(worker, StringKeys<kSigned>{keys, stride}, data, length, element_bytes, limit, result);
}

// Keys that generated code computes, morsel by morsel.
struct KeyLoop {
  LoopBody write;
  void* captures;
  std::byte* keys;
  std::int64_t key_bytes;

  static ErrorCode run(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& loop = *static_cast<const KeyLoop*>(self);
    return loop.write(worker, loop.captures, begin, end, loop.keys + begin * loop.key_bytes);
  }
};

struct WordsOfKeys {
  const std::byte* keys;
  std::int64_t num_words;
  SortWords write;
  std::uint64_t* words;

  static ErrorCode run(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& words = *static_cast<const WordsOfKeys*>(self);
    words.write(words.keys, begin, end, words.words + begin * words.num_words);
    return ErrorCode::kSuccess;
  }
};

}  // namespace

extern "C" {

ErrorCode weld_rt_sort_by_scalar(Worker* worker, const std::byte* data, std::int64_t length,
                                 std::int64_t element_bytes, const std::byte* keys, std::int64_t key_stride,
                                 std::uint32_t scalar_kind, std::int64_t limit, VecView* result) noexcept {
  *result = {};
  limit = std::min(limit, length);
  if (limit == 0) return ErrorCode::kSuccess;
  if (length > kMaxBytes / std::max<std::int64_t>(element_bytes, 16)) return ErrorCode::kOutOfMemory;
  const auto sort = [&]<class T>(T) {
    return sort_by<T>(*worker, data, length, element_bytes, keys, key_stride, limit, result);
  };
  switch (static_cast<ir::ScalarKind>(scalar_kind)) {
    case ir::ScalarKind::kI8:
      return sort(std::int8_t{});
    case ir::ScalarKind::kI16:
      return sort(std::int16_t{});
    case ir::ScalarKind::kI32:
      return sort(std::int32_t{});
    case ir::ScalarKind::kI64:
      return sort(std::int64_t{});
    case ir::ScalarKind::kU8:
      return sort(std::uint8_t{});
    case ir::ScalarKind::kU16:
      return sort(std::uint16_t{});
    case ir::ScalarKind::kU32:
      return sort(std::uint32_t{});
    case ir::ScalarKind::kU64:
      return sort(std::uint64_t{});
    case ir::ScalarKind::kF32:
      return sort(float{});
    case ir::ScalarKind::kF64:
      return sort(double{});
    case ir::ScalarKind::kBool:
      return sort(BoolByte{});
  }
  return ErrorCode::kUnknown;
}

ErrorCode weld_rt_sort_by_string(Worker* worker, const std::byte* data, std::int64_t length,
                                 std::int64_t element_bytes, const std::byte* keys, std::int64_t key_stride,
                                 std::uint32_t is_signed, std::int64_t limit, VecView* result) noexcept {
  *result = {};
  limit = std::min(limit, length);
  if (limit == 0) return ErrorCode::kSuccess;
  if (length > kMaxBytes / std::max<std::int64_t>(element_bytes, 16)) return ErrorCode::kOutOfMemory;
  return (is_signed ? sort_by_strings<true> : sort_by_strings<false>)(*worker, data, length, element_bytes,
                                                                      keys, key_stride, limit, result);
}

ErrorCode weld_rt_sort_by_key(Worker* worker, const std::byte* data, std::int64_t length,
                              std::int64_t element_bytes, const std::byte* keys, std::int64_t key_bytes,
                              SortWords words, std::int64_t num_words, std::uint32_t words_decide,
                              SortComparator comparator, void* captures, std::int64_t limit,
                              VecView* result) noexcept {
  *result = {};
  limit = std::min(limit, length);
  if (limit == 0) return ErrorCode::kSuccess;
  if (length > kMaxBytes / std::max<std::int64_t>(element_bytes, 16)) return ErrorCode::kOutOfMemory;
  ComparedKeys compared{nullptr, num_words, words_decide != 0, keys, key_bytes, comparator, captures};
  if (selects_first(length, limit)) {
    return gather_first(*worker, ComparedKeys::compare, &compared, data, length, element_bytes, limit,
                        result);
  }
  if (length > kMaxBytes / (8 * num_words)) return ErrorCode::kOutOfMemory;
  const Scratch memory(*worker, length * num_words * 8);
  if (!memory) return ErrorCode::kOutOfMemory;
  compared.words = memory.as<std::uint64_t>();
  WordsOfKeys of_keys{keys, num_words, words, memory.as<std::uint64_t>()};
  const ErrorCode code = for_each_morsel(*worker, length, kMorselElements, WordsOfKeys::run, &of_keys);
  if (code != ErrorCode::kSuccess) return code;
  return sort_with_indices(*worker, compared, data, length, element_bytes, limit, result);
}

ErrorCode weld_rt_make_keys(Worker* worker, std::int64_t length, std::int64_t key_bytes, LoopBody write,
                            void* captures, std::uint32_t flags, std::byte** keys) noexcept {
  constexpr std::int64_t kMorselIterations = 16 * 1024;
  if (key_bytes > 0 && length > kMaxBytes / key_bytes) return ErrorCode::kOutOfMemory;
  *keys = weld_rt_allocate(worker, length * key_bytes);
  if (!*keys) return ErrorCode::kOutOfMemory;
  KeyLoop loop{write, captures, *keys, key_bytes};
  LoopDescriptor descriptor{};
  descriptor.body = KeyLoop::run;
  descriptor.block_iterations = kMorselIterations;
  descriptor.morsel_iterations = kMorselIterations;
  descriptor.flags = flags;
  return run_loop(*worker, descriptor, &loop, length);
}

std::uint64_t weld_rt_string_word(const std::byte* data, std::int64_t length,
                                  std::uint32_t is_signed) noexcept {
  const VecView view{const_cast<std::byte*>(data), length};
  return is_signed ? StringKeys<true>::word_of(view, 0) : StringKeys<false>::word_of(view, 0);
}

}  // extern "C"
}  // namespace weld::runtime
