#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "runtime/calls.h"
#include "runtime/gather.h"
#include "runtime/number_sort.h"

namespace weld::runtime {

/// Sorts the indices of keys, stably: each key's highest bits that differ and its index become one number,
/// and the numbers are sorted. Runs of keys that agree in those bits are sorted by what follows.
///
/// Keys     as in sort_keys.h. `std::uint64_t word(index, depth)` orders the keys, from depth 0 on. Where
/// that
///          of several is the same, `next_depth(indices, length, depth)` is where to look next, unless
///          is_exact(depth): then they are equal; or is_last(depth): then `ErrorCode sort(Worker&,
///          std::uint64_t* indices, std::int64_t length)` sorts them, stably. With kOneWord, depth 0 is
///          exact. `is_after(Worker&, left, right)` compares two keys wholly.
/// Memory   8 bytes an element, and as much for long runs and uneven keys
template <class Keys>
class IndexSort {
 public:
  IndexSort(Worker& worker, const Keys& keys) : worker_(worker), keys_(keys) {}

  /// Writes the first `limit` (at most `length`) elements of the sorted vector to `to`.
  ErrorCode gather(const std::byte* data, std::int64_t length, std::int64_t element_bytes, std::byte* to,
                   std::int64_t limit) {
    const Scratch numbers(worker_, length * 8);
    if (!numbers) return ErrorCode::kOutOfMemory;
    Gather sink{{keys_, 0, 0}, data, element_bytes, to, limit};
    return sort<false>(worker_, keys_, nullptr, length, 0, sink, numbers.template as<std::uint64_t>(), limit);
  }

 private:
  static constexpr std::int64_t kFewElements = 24;  // compared one by one
  static constexpr int kMaxRefinements = 48;        // then compared

  // --- Keys and indices as numbers.

  // `kSubset`: of the elements that `indices` names, whose positions there stand for them.
  template <bool kSubset>
  struct Source {
    Keys keys;
    const std::uint64_t* indices;
    std::int64_t depth;
    std::uint64_t key_bits = 0;  // that differ
    int left_shift = 0;
    int right_shift = 0;
    int index_bits = 0;

    [[gnu::always_inline]] std::uint64_t word(std::int64_t i) const {
      if constexpr (kSubset) i = static_cast<std::int64_t>(indices[i]);
      return keys.word(i, depth);
    }
    [[gnu::always_inline]] std::uint64_t at(std::int64_t i) const { return number(word(i), i); }
    [[gnu::always_inline]] std::uint64_t number(std::uint64_t word, std::int64_t i) const {
      return (word & key_bits) >> right_shift << left_shift | static_cast<std::uint64_t>(i);
    }
  };

  template <bool kSubset>
  struct Difference {
    Source<kSubset> source;
    std::atomic<std::uint64_t> bits{0};

    static ErrorCode find(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
      auto& difference = *static_cast<Difference*>(self);
      const Source<kSubset> source = difference.source;
      const std::uint64_t first = source.word(0);
      std::uint64_t bits = 0;
      for (std::int64_t i = begin; i < end; ++i) bits |= source.word(i) ^ first;
      difference.bits.fetch_or(bits, std::memory_order_relaxed);
      return ErrorCode::kSuccess;
    }
  };

  // Writes the words, and returns the bits in which they differ, from the highest one down.
  template <bool kSubset>
  static std::uint64_t write_words(const Source<kSubset>& source, std::uint64_t* words, std::int64_t length) {
    std::uint64_t bits = 0;
    for (std::int64_t i = 0; i < length; ++i) {
      words[i] = source.word(i);
      bits |= words[i] ^ words[0];
    }
    return bits == 0 ? 0 : ~std::uint64_t{0} >> std::countl_zero(bits);
  }

  // The bits in which words differ, from the highest one down.
  template <bool kSubset>
  static ErrorCode find_differing(Worker& worker, const Source<kSubset>& source, std::int64_t length,
                                  std::uint64_t* differing) {
    constexpr std::int64_t kMorselElements = 64 * 1024;
    Difference<kSubset> difference{source};
    const ErrorCode code =
        length <= kMorselElements
            ? Difference<kSubset>::find(&worker, &difference, 0, length, nullptr)
            : for_each_morsel(worker, length, kMorselElements, Difference<kSubset>::find, &difference);
    const std::uint64_t bits = difference.bits.load(std::memory_order_relaxed);
    *differing = bits == 0 ? 0 : ~std::uint64_t{0} >> std::countl_zero(bits);
    return code;
  }

  // --- Sinks.

  struct Sink {
    Keys keys;
    std::int64_t depth;
    int refinements;
    const std::uint64_t* subset = nullptr;
    int index_bits = 0;
    bool is_exact = false;  // numbers with the same key bits are in order

    std::uint64_t index_of(std::uint64_t number) const {
      const std::uint64_t i = number & ((std::uint64_t{1} << index_bits) - 1);
      return subset ? subset[i] : i;
    }

    // Turns sorted numbers into the indices of their elements, in order.
    ErrorCode resolve(Worker& worker, std::uint64_t* numbers, std::int64_t length) const {
      if (is_exact) {
        for (std::int64_t i = 0; i < length; ++i) numbers[i] = index_of(numbers[i]);
        return ErrorCode::kSuccess;
      }
      std::int64_t begin = 0;
      while (begin < length) {
        const std::uint64_t key = numbers[begin] >> index_bits;
        std::int64_t end = begin + 1;
        while (end < length && numbers[end] >> index_bits == key) ++end;
        for (std::int64_t i = begin; i < end; ++i) numbers[i] = index_of(numbers[i]);
        if (end - begin > 1) {
          const ErrorCode code = refine(worker, keys, numbers + begin, end - begin, depth, refinements);
          if (code != ErrorCode::kSuccess) return code;
        }
        begin = end;
      }
      return ErrorCode::kSuccess;
    }
  };

  struct Gather : Sink {
    const std::byte* data;
    std::int64_t element_bytes;
    std::byte* to;
    std::int64_t limit;

    ErrorCode take(Worker& worker, std::uint64_t* numbers, std::int64_t begin, std::int64_t end) {
      const ErrorCode code = this->resolve(worker, numbers, end - begin);
      return code == ErrorCode::kSuccess ? write(worker, numbers, begin, end) : code;
    }
    ErrorCode take_run(Worker& worker, std::uint64_t* numbers, std::int64_t begin, std::int64_t end) {
      return take(worker, numbers, begin, end);
    }
    ErrorCode write(Worker& worker, const std::uint64_t* indices, std::int64_t begin, std::int64_t end) {
      end = std::min(end, limit);
      return end <= begin ? ErrorCode::kSuccess
                          : gather_elements(worker, to + begin * element_bytes, data, element_bytes, indices,
                                            1, end - begin);
    }
  };

  struct Permute : Sink {
    std::uint64_t* to;

    ErrorCode take(Worker& worker, std::uint64_t* numbers, std::int64_t begin, std::int64_t end) {
      const ErrorCode code = this->resolve(worker, numbers, end - begin);
      if (code == ErrorCode::kSuccess)
        std::memcpy(to + begin, numbers, static_cast<std::size_t>(end - begin) * 8);
      return code;
    }
    ErrorCode take_run(Worker& worker, std::uint64_t* numbers, std::int64_t begin, std::int64_t end) {
      return take(worker, numbers, begin, end);
    }
  };

  // Sorts by the words at the first depth from `depth` on where they differ.
  template <bool kSubset, class SinkType>
  static ErrorCode sort(Worker& worker, const Keys& keys, const std::uint64_t* subset, std::int64_t length,
                        std::int64_t depth, SinkType& sink, std::uint64_t* numbers, std::int64_t limit) {
    Source<kSubset> source{keys, subset, depth};
    const bool directly = sorts_directly(worker, length);
    std::uint64_t differing = 0;
    if (directly) {
      differing = write_words(source, numbers, length);
    } else {
      const ErrorCode code = find_differing(worker, source, length, &differing);
      if (code != ErrorCode::kSuccess) return code;
    }
    const int index_bits = std::bit_width(static_cast<std::uint64_t>(length - 1));
    const int key_bits = std::bit_width(differing);
    source.key_bits = differing;
    source.left_shift = index_bits;
    source.right_shift = std::max(key_bits + index_bits - 64, 0);
    sink.subset = subset;
    sink.depth = depth;
    sink.index_bits = index_bits;
    sink.is_exact = source.right_shift == 0 && keys.is_exact(depth);
    if (directly) {
      for (std::int64_t i = 0; i < length; ++i) numbers[i] = source.number(numbers[i], i);
      sort_numbers(numbers, length);
      return sink.take(worker, numbers, 0, length);
    }
    const std::uint64_t mask = index_bits == 0 ? ~std::uint64_t{0} : ~std::uint64_t{0} << index_bits;
    return NumberSort<std::uint64_t, Source<kSubset>, SinkType>(worker, source, sink, numbers, length, mask,
                                                                limit)
        .run();
  }

  // Sorts the elements that `indices` names, in the order of the vector, whose words agree before `depth` and
  // in some bits there.
  static ErrorCode refine(Worker& worker, const Keys& keys, std::uint64_t* indices, std::int64_t length,
                          std::int64_t depth, int refinements) {
    if (length <= kFewElements) {
      insertion_sort(worker, keys, indices, length);
      return ErrorCode::kSuccess;
    }
    if constexpr (!Keys::kOneWord) {
      if (refinements >= kMaxRefinements) return keys.sort(worker, indices, length);
    }
    // Without a difference here, the next depth is where to look.
    for (;;) {
      std::uint64_t differing = 0;
      const ErrorCode code = find_differing(worker, Source<true>{keys, indices, depth}, length, &differing);
      if (code != ErrorCode::kSuccess) return code;
      if (differing != 0) break;
      if (keys.is_exact(depth)) return ErrorCode::kSuccess;
      if constexpr (!Keys::kOneWord) {
        if (keys.is_last(depth)) return keys.sort(worker, indices, length);
        if (must_poll(worker)) {
          if (const ErrorCode stop = weld_rt_poll(&worker); stop != ErrorCode::kSuccess) return stop;
        }
        depth = keys.next_depth(indices, length, depth);
      }
    }
    const Scratch numbers(worker, length * 8);
    if (!numbers) return ErrorCode::kOutOfMemory;
    const Scratch sorted(worker, length * 8);
    if (!sorted) return ErrorCode::kOutOfMemory;
    Permute sink{{keys, depth, refinements + 1}, sorted.template as<std::uint64_t>()};
    const ErrorCode code =
        sort<true>(worker, keys, indices, length, depth, sink, numbers.template as<std::uint64_t>(), length);
    if (code == ErrorCode::kSuccess) std::memcpy(indices, sorted.as(), static_cast<std::size_t>(length) * 8);
    return code;
  }

  static void insertion_sort(Worker& worker, const Keys& keys, std::uint64_t* indices, std::int64_t length) {
    for (std::int64_t i = 1; i < length; ++i) {
      const std::uint64_t held = indices[i];
      std::int64_t place = i;
      while (place > 0 && keys.is_after(worker, static_cast<std::int64_t>(indices[place - 1]),
                                        static_cast<std::int64_t>(held))) {
        indices[place] = indices[place - 1];
        --place;
      }
      indices[place] = held;
    }
  }

  Worker& worker_;
  const Keys keys_;
};

}  // namespace weld::runtime
