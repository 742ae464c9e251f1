#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>

#include "runtime/calls.h"
#include "runtime/morsel_loop.h"
#include "runtime/scratch.h"

namespace weld::runtime {

/// Whether the first `limit` of `length` elements are few enough to be looked for.
inline bool selects_top(std::int64_t length, std::int64_t limit) {
  return limit <= length / 16 && length > 4096;
}

/// Finds the indices of the elements with the first keys, in the order of a stable sort: each worker compares
/// blocks of keys with the last of the first ones that anybody has found, and holds what comes before it.
///
/// Memory   16 bytes an element for an eighth of the elements at most
template <class Keys>
class TopKeys {
 public:
  TopKeys(Worker& worker, const Keys& keys, std::int64_t length, std::int64_t limit)
      : worker_(worker),
        keys_(keys),
        length_(length),
        limit_(limit),
        chunk_(std::max(kMinChunkElements, 8 * limit)),
        num_chunks_((length + chunk_ - 1) / chunk_) {}

  /// Writes `limit` indices.
  ErrorCode find(std::uint64_t* indices) {
    const Scratch first(worker_, num_chunks_ * limit_ * static_cast<std::int64_t>(sizeof(Candidate)));
    if (!first) return ErrorCode::kOutOfMemory;
    const Scratch counts(worker_, num_chunks_ * 8);
    if (!counts) return ErrorCode::kOutOfMemory;
    first_ = first.as<Candidate>();
    counts_ = counts.as<std::int64_t>();
    const ErrorCode code = for_each_morsel(worker_, length_, chunk_, find_in_chunk, this);
    if (code != ErrorCode::kSuccess) return code;
    Candidate* end = first_;
    for (std::int64_t i = 0; i < num_chunks_; ++i) end = std::copy_n(first_ + i * limit_, counts_[i], end);
    const IsBefore is_before{worker_, keys_};
    if (end - first_ > limit_) std::nth_element(first_, first_ + limit_ - 1, end, is_before);
    std::sort(first_, first_ + limit_, is_before);
    for (std::int64_t i = 0; i < limit_; ++i) indices[i] = first_[i].index;
    return ErrorCode::kSuccess;
  }

 private:
  static constexpr std::int64_t kMinChunkElements = 256 * 1024;
  static constexpr std::int64_t kMinHeldElements = 512;
  static constexpr std::int64_t kBlockElements = 64;
  static constexpr std::uint64_t kNoBound = std::numeric_limits<std::uint64_t>::max();

  struct Candidate {
    std::uint64_t word;
    std::uint64_t index;
  };
  struct IsBefore {
    Worker& worker;
    const Keys& keys;

    bool operator()(const Candidate& left, const Candidate& right) const {
      if (left.word != right.word) return left.word < right.word;
      if constexpr (!Keys::kOneWord) {
        const auto left_index = static_cast<std::int64_t>(left.index);
        const auto right_index = static_cast<std::int64_t>(right.index);
        if (keys.is_after(worker, right_index, left_index)) return true;
        if (keys.is_after(worker, left_index, right_index)) return false;
      }
      return left.index < right.index;
    }
  };
  // Above all words that may go with a candidate before one with this word.
  static std::uint64_t above(std::uint64_t word) { return word == kNoBound ? word : word + 1; }

  // The first whole block from `begin` on that has a word below `bound`; `end` if none has.
  [[gnu::always_inline]] static std::int64_t find_block(const Keys keys, std::int64_t begin, std::int64_t end,
                                                        std::uint64_t bound) {
    for (; begin + kBlockElements <= end; begin += kBlockElements) {
      std::uint64_t found = 0;
      for (std::int64_t i = 0; i < kBlockElements; ++i) found |= keys.word(begin + i, 0) < bound;
      if (found) return begin;
    }
    return end;
  }
  using FindBlock = std::int64_t (*)(Keys keys, std::int64_t begin, std::int64_t end, std::uint64_t bound);
  static std::int64_t find_block_plain(Keys keys, std::int64_t begin, std::int64_t end, std::uint64_t bound) {
    return find_block(keys, begin, end, bound);
  }
#if defined(__x86_64__)
  [[gnu::target("avx2")]] static std::int64_t find_block_avx2(Keys keys, std::int64_t begin, std::int64_t end,
                                                              std::uint64_t bound) {
    return find_block(keys, begin, end, bound);
  }
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] static std::int64_t find_block_avx512(
      Keys keys, std::int64_t begin, std::int64_t end, std::uint64_t bound) {
    return find_block(keys, begin, end, bound);
  }
#endif

  static FindBlock best_find_block() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw"))
      return find_block_avx512;
    if (__builtin_cpu_supports("avx2")) return find_block_avx2;
#endif
    return find_block_plain;
  }

  static ErrorCode find_in_chunk(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    auto& top = *static_cast<TopKeys*>(self);
    const std::int64_t room = std::max(2 * top.limit_, kMinHeldElements);
    const Scratch memory(*worker, room * static_cast<std::int64_t>(sizeof(Candidate)));
    if (!memory) return ErrorCode::kOutOfMemory;
    Candidate* const held = memory.as<Candidate>();
    std::int64_t count = 0;
    const FindBlock find = best_find_block();
    const std::int64_t chunk = begin / top.chunk_;

    // Elements with words below the bound may be among the first. Those of this chunk that are as large as
    // its last are not, if the word is all of the key; those as large as another chunk's may be.
    const IsBefore is_before{*worker, top.keys_};
    const auto cut = [&] {
      std::nth_element(held, held + top.limit_ - 1, held + count, is_before);
      count = top.limit_;
      const std::uint64_t last = held[count - 1].word;
      std::uint64_t bound = top.bound_.load(std::memory_order_relaxed);
      const std::uint64_t found = above(last);
      while (found < bound && !top.bound_.compare_exchange_weak(bound, found, std::memory_order_relaxed)) {
      }
      return Keys::kOneWord ? last : found;
    };
    std::uint64_t own_bound = kNoBound;
    bool full = false;
    while (begin < end) {
      const std::uint64_t bound = std::min(own_bound, top.bound_.load(std::memory_order_relaxed));
      const bool all = bound == kNoBound && !(full && Keys::kOneWord);
      constexpr std::int64_t kLookAgain = 16 * 1024;  // at the others' bound
      const std::int64_t stop = std::min(end, begin + kLookAgain);
      std::int64_t block = all ? begin : find(top.keys_, begin, stop, bound);
      if (block == stop) block = stop - (stop - begin) % kBlockElements;
      const std::int64_t block_end = std::min(block + kBlockElements, stop);
      for (std::int64_t i = block; i < block_end; ++i) {
        const std::uint64_t word = top.keys_.word(i, 0);
        if (!all && word >= bound) continue;
        held[count++] = {word, static_cast<std::uint64_t>(i)};
        if (count < room) continue;
        own_bound = cut();
        full = true;
      }
      begin = block_end;
    }
    if (count > top.limit_) cut();
    top.counts_[chunk] = count;
    std::copy_n(held, count, top.first_ + chunk * top.limit_);
    return ErrorCode::kSuccess;
  }

  Worker& worker_;
  const Keys keys_;
  std::int64_t length_;
  std::int64_t limit_;
  std::int64_t chunk_;
  std::int64_t num_chunks_;
  Candidate* first_ = nullptr;
  std::int64_t* counts_ = nullptr;
  std::atomic<std::uint64_t> bound_{kNoBound};
};

}  // namespace weld::runtime
