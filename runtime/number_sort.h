#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>

#include "runtime/morsel_loop.h"
#include "runtime/parallel_copy.h"
#include "runtime/scratch.h"

namespace weld::runtime {

/// Sorts numbers ascending, by vectors where the processor has them. Does not poll: at most kMaxPartElements.
void sort_numbers(std::uint32_t* numbers, std::int64_t length) noexcept;
void sort_numbers(std::uint64_t* numbers, std::int64_t length) noexcept;

/// The most numbers that one worker sorts at once: 10 ms.
inline constexpr std::int64_t kMaxPartElements = 1024 * 1024;

/// Whether other threads are of no use for sorting so many.
inline bool sorts_directly(const Worker& worker, std::int64_t length) {
  constexpr std::int64_t kFewElements = 64 * 1024;
  return length <= (worker.may_fork ? kFewElements : kMaxPartElements);
}

/// What rows are sorted by: numbers themselves, and others (sort_keys.h) by their keys.
inline std::uint32_t number_of(std::uint32_t number) {
  return number;
}
inline std::uint64_t number_of(std::uint64_t number) {
  return number;
}

/// Rows in memory, as a source.
template <class Row>
struct RowArray {
  const Row* rows;
  [[gnu::always_inline]] Row at(std::int64_t i) const { return rows[i]; }
};

/// Sorts unsigned numbers in parallel, or distributes rows that have such numbers: by their highest digits
/// into parts, until these fit a cache; and sorts each of them, where rows are numbers.
///
/// Source   `Row at(std::int64_t i) const`: the i-th row
/// Sink     `ErrorCode take(Worker&, Row* rows, std::int64_t begin, std::int64_t end)`: gets the rows at the
///          places [begin, end) of the sorted sequence, any worker, each place once; may change them. Those
///          that are no numbers come in the order of the source.
///          `ErrorCode take_run(Worker&, Row* run, std::int64_t begin, std::int64_t end)`: the same on the
///          caller's worker, for a long run of rows that agree in `mask`, in the order of the source
/// Order    ascending by the bits in `mask`, which are the highest ones, and by all of the number except in
///          long runs. Rows that agree in `mask` go to the sink in one call.
/// Memory   `to` has room for all rows, and gets them; as much again where a digit is very unevenly spread
template <class Row, class Source, class Sink>
class NumberSort {
 public:
  using Number = decltype(number_of(std::declval<Row>()));

  NumberSort(Worker& worker, const Source& source, Sink& sink, Row* to, std::int64_t length, Number mask,
             std::int64_t limit)
      : worker_(worker),
        source_(source),
        sink_(sink),
        to_(to),
        length_(length),
        mask_(mask),
        limit_(limit),
        chunk_(std::max(kMinChunkElements, (length + kMaxChunks - 1) / kMaxChunks)),
        num_chunks_((length + chunk_ - 1) / chunk_),
        // Short enough that the last parts do not keep one worker busy for long.
        part_(std::clamp(length / 16, kMinPartElements, kMaxPartElements)) {}

  /// Only the first `limit` of the sorted numbers reach the sink, and perhaps some more.
  ErrorCode run() { return run_at(0, 0, nullptr); }

 private:
  template <class, class, class>
  friend class NumberSort;

  static constexpr int kDigitBits = 8;
  static constexpr std::int64_t kDigits = 1 << kDigitBits;
  static constexpr int kCellBits = 17;
  static constexpr std::size_t kCells = std::size_t{1} << kCellBits;
  static constexpr std::int64_t kMaxParts = 2 * kDigits;  // two that follow each other have more than a share
  static constexpr std::int64_t kSampled = 2048;
  static constexpr int kMaxFits = 4;  // one in the other; what is uneven then is left so
  static constexpr std::int64_t kLineRows = 64 / sizeof(Row);
  static constexpr std::int64_t kMinChunkElements = 64 * 1024;
  static constexpr std::int64_t kMaxChunks = 256;
  static constexpr std::int64_t kMinPartElements = 128 * 1024;
  static constexpr std::int64_t kCachedBytes = 8 << 20;  // written through the cache

  // Places of the sink begin at `first`. `spare` is as long as `to_`; null: not yet allocated.
  ErrorCode run_at(std::int64_t first, int num_fits, Row* spare) {
    first_ = first;
    num_fits_ = num_fits;
    if (sorts_directly(worker_, length_)) {
      for (std::int64_t i = 0; i < length_; ++i) to_[i] = source_.at(i);
      return take_sorted(worker_, 0, length_);
    }
    ErrorCode code = for_each_morsel(worker_, length_, chunk_, find_differing, this);
    if (code != ErrorCode::kSuccess) return code;
    const Number differing = differing_.load(std::memory_order_relaxed) & mask_;
    if (differing == 0) {
      code = for_each_morsel(worker_, length_, chunk_, copy_all, this);
      return code == ErrorCode::kSuccess ? sink_.take_run(worker_, to_, first_, first_ + length_) : code;
    }
    shift_ = std::max<int>(std::bit_width(differing) - kDigitBits, std::countr_zero(mask_));
    std::optional<Scratch> cells;
    if (num_fits_ < kMaxFits) {
      cells.emplace(worker_, static_cast<std::int64_t>(kCells * sizeof(std::uint16_t)));
      code = fit_parts(*cells);
      if (code != ErrorCode::kSuccess) return code;
    }
    code = is_fitted_ ? distribute<true>() : distribute<false>();
    if (code == ErrorCode::kSuccess) code = take_long_parts(spare);
    if (code == ErrorCode::kSuccess) code = for_each_morsel(worker_, num_parts_, 1, take_part, this);
    return code;
  }

  static ErrorCode find_differing(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    auto& sort = *static_cast<NumberSort*>(self);
    const Source source = sort.source_;
    const Number first = number_of(source.at(0));
    Number differing = 0;
    for (std::int64_t i = begin; i < end; ++i) differing |= number_of(source.at(i)) ^ first;
    sort.differing_.fetch_or(differing, std::memory_order_relaxed);
    return ErrorCode::kSuccess;
  }

  static ErrorCode copy_all(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    auto& sort = *static_cast<NumberSort*>(self);
    for (std::int64_t i = begin; i < end; ++i) sort.to_[i] = sort.source_.at(i);
    return ErrorCode::kSuccess;
  }

  // The part of a number: a digit of all of them, or as they were fitted.
  template <bool kFitted>
  [[gnu::always_inline]] std::size_t part_of(Number number) const {
    if constexpr (!kFitted) {
      return static_cast<std::size_t>(number >> shift_ & (kDigits - 1));
    } else {
      return fitted_[cell_of(number)];
    }
  }

  [[gnu::always_inline]] std::size_t cell_of(Number number) const {
    const Number from_low = std::max(number, low_) - low_;
    return static_cast<std::size_t>(std::min<Number>(from_low >> shift_, kCells - 1));
  }

  // Where a few values of the digit are those of many numbers, as exponents of floats are: many more cells,
  // from the least of most numbers on, which go together into parts of about as many numbers.
  ErrorCode fit_parts(Scratch& cells) {
    std::array<Number, kSampled> sample;
    std::array<std::int64_t, kDigits> counts{};
    const std::int64_t step = length_ / kSampled;
    for (std::int64_t i = 0; i < kSampled; ++i) {
      const Number number = number_of(source_.at(i * step + step / 2));
      sample[static_cast<std::size_t>(i)] = number;
      ++counts[part_of<false>(number)];
    }
    // Four times the share of a part.
    constexpr std::int64_t kFew = kSampled / (kDigits / 4);
    if (std::ranges::max(counts) <= kFew) return ErrorCode::kSuccess;

    if (!cells) return ErrorCode::kOutOfMemory;
    fitted_ = cells.as<std::uint16_t>();
    sort_numbers(sample.data(), kSampled);
    constexpr std::size_t kOutliers = kSampled / 100;
    low_ = sample[kOutliers] & mask_;
    const Number span = (sample[kSampled - 1 - kOutliers] & mask_) - low_;
    shift_ = std::max<int>(std::bit_width(span) - kCellBits, std::countr_zero(mask_));
    std::size_t begin = 0;
    std::uint16_t part = 0;
    for (std::int64_t i = 0, in_part = 0; i < kSampled;) {
      const std::size_t cell = cell_of(sample[static_cast<std::size_t>(i)]);
      std::int64_t next = i + 1;
      while (next < kSampled && cell_of(sample[static_cast<std::size_t>(next)]) == cell) ++next;
      // A cell of many is a part of its own.
      if (in_part > 0 && in_part + (next - i) > kSampled / kDigits) {
        std::fill(fitted_ + begin, fitted_ + cell, part);
        begin = cell;
        ++part;
        in_part = 0;
      }
      in_part += next - i;
      i = next;
    }
    std::fill(fitted_ + begin, fitted_ + kCells, part);
    num_parts_ = part + 1;
    is_fitted_ = true;
    return ErrorCode::kSuccess;
  }

  template <bool kFitted>
  ErrorCode distribute() {
    const Scratch places(worker_, num_chunks_ * num_parts_ * 8);
    if (!places) return ErrorCode::kOutOfMemory;
    places_ = places.as<std::int64_t>();
    const ErrorCode code = for_each_morsel(worker_, length_, chunk_, count<kFitted>, this);
    if (code != ErrorCode::kSuccess) return code;
    std::int64_t place = 0;
    for (std::int64_t part = 0; part < num_parts_; ++part) {
      part_begins_[static_cast<std::size_t>(part)] = place;
      for (std::int64_t chunk = 0; chunk < num_chunks_; ++chunk)
        place += std::exchange(places_[chunk * num_parts_ + part], place);
    }
    part_begins_[static_cast<std::size_t>(num_parts_)] = place;
    return for_each_morsel(worker_, length_, chunk_, scatter<kFitted>, this);
  }

  template <bool kFitted>
  static ErrorCode count(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    auto& sort = *static_cast<NumberSort*>(self);
    // Neighbours are often of the same part, whose counter then would wait for itself.
    std::array<std::array<std::uint32_t, kFitted ? kMaxParts : kDigits>, 2> counts{};
    const Source source = sort.source_;
    std::int64_t i = begin;
    for (; i + 1 < end; i += 2) {
      ++counts[0][sort.template part_of<kFitted>(number_of(source.at(i)))];
      ++counts[1][sort.template part_of<kFitted>(number_of(source.at(i + 1)))];
    }
    if (i < end) ++counts[0][sort.template part_of<kFitted>(number_of(source.at(i)))];
    std::int64_t* all = sort.places_ + begin / sort.chunk_ * sort.num_parts_;
    for (std::size_t part = 0; part < static_cast<std::size_t>(sort.num_parts_); ++part)
      all[part] = counts[0][part] + counts[1][part];
    return ErrorCode::kSuccess;
  }

  // Rows are collected to cache lines before they are written.
  struct alignas(64) Lines {
    Row rows[kMaxParts][kLineRows];
    std::int64_t begins[kMaxParts];
  };

  template <bool kFitted>
  static ErrorCode scatter(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    auto& sort = *static_cast<NumberSort*>(self);
    const Scratch memory(*worker, sizeof(Lines));
    if (!memory) return ErrorCode::kOutOfMemory;
    Lines& lines = *memory.as<Lines>();
    std::int64_t* const places = sort.places_ + begin / sort.chunk_ * sort.num_parts_;
    std::memcpy(lines.begins, places, static_cast<std::size_t>(sort.num_parts_) * 8);
    const bool bypass = sort.length_ * static_cast<std::int64_t>(sizeof(Row)) > kCachedBytes;
    const Source source = sort.source_;
    Row* const to = sort.to_;
    for (std::int64_t i = begin; i < end; ++i) {
      const Row row = source.at(i);
      const std::size_t part = sort.template part_of<kFitted>(number_of(row));
      const std::int64_t place = places[part]++;
      lines.rows[part][place & (kLineRows - 1)] = row;
      if ((place & (kLineRows - 1)) == kLineRows - 1) write_line(lines, part, place + 1, to, bypass);
    }
    for (std::size_t part = 0; part < static_cast<std::size_t>(sort.num_parts_); ++part) {
      const std::int64_t stop = places[part];
      const std::int64_t line = stop & ~(kLineRows - 1);
      for (std::int64_t place = std::max(line, lines.begins[part]); place < stop; ++place)
        to[place] = lines.rows[part][place & (kLineRows - 1)];
    }
    // What bypassed the cache is seen by others after this.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return ErrorCode::kSuccess;
  }

  // Writes the line that ends at `stop`; the first one of a chunk may belong to the chunk in part only.
  [[gnu::always_inline]] static void write_line(const Lines& lines, std::size_t part, std::int64_t stop,
                                                Row* to, bool bypass) {
    using Vector = long long __attribute__((vector_size(16)));
    const std::int64_t begin = stop - kLineRows;
    if (begin < lines.begins[part]) {
      for (std::int64_t place = lines.begins[part]; place < stop; ++place)
        to[place] = lines.rows[part][place - begin];
    } else if (bypass && reinterpret_cast<std::uintptr_t>(to + begin) % 16 == 0) {
      const auto* from = reinterpret_cast<const Vector*>(lines.rows[part]);
      auto* line = reinterpret_cast<Vector*>(to + begin);
      for (int i = 0; i < 4; ++i) __builtin_nontemporal_store(from[i], line + i);
    } else {
      std::memcpy(to + begin, lines.rows[part], 64);
    }
  }

  std::int64_t part_begin(std::int64_t part) const { return part_begins_[static_cast<std::size_t>(part)]; }
  bool is_long(std::int64_t part) const { return part_begin(part + 1) - part_begin(part) > part_; }
  bool is_wanted(std::int64_t part) const { return first_ + part_begin(part) < limit_; }

  // Parts that are too long for one worker, one after the other.
  ErrorCode take_long_parts(Row* spare) {
    std::optional<Scratch> memory;
    for (std::int64_t part = 0; part < num_parts_; ++part) {
      if (!is_long(part) || !is_wanted(part)) continue;
      if (!spare) {
        memory.emplace(worker_, length_ * static_cast<std::int64_t>(sizeof(Row)));
        if (!*memory) return ErrorCode::kOutOfMemory;
        spare = memory->template as<Row>();
      }
      const std::int64_t begin = part_begin(part);
      NumberSort<Row, RowArray<Row>, Sink> again(worker_, {to_ + begin}, sink_, spare + begin,
                                                 part_begin(part + 1) - begin, mask_, limit_);
      const ErrorCode code = again.run_at(first_ + begin, num_fits_ + is_fitted_, to_ + begin);
      if (code != ErrorCode::kSuccess) return code;
    }
    return ErrorCode::kSuccess;
  }

  static ErrorCode take_part(Worker* worker, void* self, std::int64_t part, std::int64_t, void*) {
    auto& sort = *static_cast<NumberSort*>(self);
    const std::int64_t begin = sort.part_begin(part);
    const std::int64_t end = sort.part_begin(part + 1);
    if (begin == end || sort.is_long(part) || !sort.is_wanted(part)) return ErrorCode::kSuccess;
    return sort.take_sorted(*worker, begin, end);
  }

  ErrorCode take_sorted(Worker& worker, std::int64_t begin, std::int64_t end) {
    if constexpr (std::is_integral_v<Row>) sort_numbers(to_ + begin, end - begin);
    return sink_.take(worker, to_ + begin, first_ + begin, first_ + end);
  }

  Worker& worker_;
  const Source source_;
  Sink& sink_;
  Row* to_;
  std::int64_t first_ = 0;
  std::int64_t length_;
  Number mask_;
  std::int64_t limit_;
  std::int64_t chunk_;
  std::int64_t num_chunks_;
  std::int64_t part_;
  std::int64_t* places_ = nullptr;  // by chunk and part
  int shift_ = 0;
  std::atomic<Number> differing_{0};  // bits in which numbers differ from the first one
  std::int64_t num_parts_ = kDigits;
  std::array<std::int64_t, kMaxParts + 1> part_begins_{};

  // Fitted parts.
  std::uint16_t* fitted_ = nullptr;  // by cell
  bool is_fitted_ = false;
  int num_fits_ = 0;  // of the sorts around this one
  Number low_ = 0;
};

}  // namespace weld::runtime
