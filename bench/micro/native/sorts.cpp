#include "bench/micro/native/sorts.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "bench/micro/native/partitions.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace weld::bench::micro::native {
namespace {

using workloads::native::kMaxThreads;
using workloads::native::kPart;
using workloads::native::PerThread;
using workloads::native::String;

constexpr std::uint64_t kSign = std::uint64_t{1} << 63;

std::uint64_t ordered(std::int64_t value) {
  return static_cast<std::uint64_t>(value) ^ kSign;
}
std::int64_t number_of(std::uint64_t key) {
  return static_cast<std::int64_t>(key ^ kSign);
}
std::uint64_t ordered(double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  return bits ^ (static_cast<std::uint64_t>(static_cast<std::int64_t>(bits) >> 63) | kSign);
}
double float_of(std::uint64_t key) {
  return std::bit_cast<double>(key ^ ((key >> 63) - 1 | kSign));
}
std::uint64_t ordered(String string) {
  return __builtin_bswap64(workloads::native::first_bytes(string));
}

std::uint64_t key_of(std::uint64_t row) {
  return row;
}
std::uint64_t key_of(const KeyedRow& row) {
  return row.key;
}

constexpr int kDigitBits = 11;
constexpr std::size_t kDigits = std::size_t{1} << kDigitBits;

template <class Row>
void insertion_sort(Row* rows, std::int64_t length) {
  for (std::int64_t i = 1; i < length; ++i) {
    const Row row = rows[i];
    std::int64_t place = i;
    for (; place > 0 && key_of(rows[place - 1]) > key_of(row); --place) rows[place] = rows[place - 1];
    rows[place] = row;
  }
}

template <class Row>
void move_by_digit(const Row* rows, std::int64_t length, Row* result, int shift) {
  std::uint32_t places[kDigits] = {};
  for (std::int64_t i = 0; i < length; ++i) ++places[key_of(rows[i]) >> shift & (kDigits - 1)];
  std::uint32_t next = 0;
  for (std::uint32_t& place : places) next += std::exchange(place, next);
  for (std::int64_t i = 0; i < length; ++i)
    result[places[key_of(rows[i]) >> shift & (kDigits - 1)]++] = rows[i];
}

// Sorts rows that fit the cache, with as much room again: by the two leading digits of what differs, the
// lower one first; what is left is almost in order, or there are many equal leading digits.
template <class Row>
void sort_in_cache(Row* rows, std::int64_t length, Row* room) {
  if (length < 64) return insertion_sort(rows, length);
  std::uint64_t least = ~std::uint64_t{0};
  std::uint64_t greatest = 0;
  for (std::int64_t i = 0; i < length; ++i) {
    least = std::min(least, key_of(rows[i]));
    greatest = std::max(greatest, key_of(rows[i]));
  }
  const int bits = 64 - std::countl_zero(least ^ greatest);
  if (bits == 0) return;
  const int high = std::max(0, bits - kDigitBits);
  const int low = std::max(0, high - kDigitBits);
  if (low < high) {
    move_by_digit(rows, length, room, low);
    move_by_digit(room, length, rows, high);
  } else {
    move_by_digit(rows, length, room, high);
    std::copy(room, room + length, rows);
  }
  if (low == 0) return;
  const std::uint64_t leading = ~std::uint64_t{0} << low;
  for (std::int64_t begin = 0; begin < length;) {
    std::int64_t end = begin + 1;
    while (end < length && ((key_of(rows[begin]) ^ key_of(rows[end])) & leading) == 0) ++end;
    if (end - begin < 32) {
      insertion_sort(rows + begin, end - begin);
    } else {
      std::sort(rows + begin, rows + end,
                [](const Row& left, const Row& right) { return key_of(left) < key_of(right); });
    }
    begin = end;
  }
}

// Finds ranges of the keys' leading bits with about equal numbers of rows.
class Splitter {
 public:
  void make(std::int64_t length, std::int64_t wanted_rows, auto&& key_of_row) {
    std::uint64_t least = ~std::uint64_t{0};
    std::uint64_t greatest = 0;
    constexpr std::int64_t kSamples = 1 << 20;
    const std::int64_t step = std::max<std::int64_t>(1, length / kSamples);
    for (std::int64_t i = 0; i < length; i += step) {
      least = std::min(least, key_of_row(i));
      greatest = std::max(greatest, key_of_row(i));
    }
    const int bits = 64 - std::countl_zero((least ^ greatest) | 1);
    shift_ = std::max(0, bits - kIndexBits);
    base_ = (greatest >> shift_) & ~((std::uint64_t{1} << kIndexBits) - 1);
    std::vector<std::uint32_t> counts(kIndices);
    for (std::int64_t i = 0; i < length; i += step) ++counts[index_of(key_of_row(i))];
    parts_.assign(kIndices, 0);
    std::int64_t in_part = 0;
    std::uint16_t part = 0;
    for (std::size_t i = 0; i < kIndices; ++i) {
      const std::int64_t rows = counts[i] * step;
      if (in_part > 0 && in_part + rows > wanted_rows && part < kMaxParts - 1) {
        ++part;
        in_part = 0;
      }
      in_part += rows;
      parts_[i] = part;
    }
    num_parts_ = part + 1;
  }

  std::int64_t num_parts() const { return num_parts_; }
  std::size_t part_of(std::uint64_t key) const { return parts_[index_of(key)]; }

 private:
  static constexpr int kIndexBits = 17;
  static constexpr std::size_t kIndices = std::size_t{1} << kIndexBits;
  static constexpr std::uint16_t kMaxParts = 4096;

  // Keys outside of what the sample showed go to the first and last part.
  std::size_t index_of(std::uint64_t key) const {
    const std::uint64_t leading = key >> shift_;
    if (leading < base_) return 0;
    return std::min<std::uint64_t>(leading - base_, kIndices - 1);
  }

  std::vector<std::uint16_t> parts_;
  std::uint64_t base_ = 0;
  std::int64_t num_parts_ = 0;
  int shift_ = 0;
};

template <class Row>
struct RowSort {
  Splitter splitter;
  Partitions<Row> partitions;
  PerThread<std::vector<Row>> room;

  // Gives each partition's rows in order, and the place of their first, to `take`.
  void run(std::int64_t length, int threads, auto&& row_of, auto&& take) {
    constexpr std::int64_t kCachedRows = 256 * 1024 / sizeof(Row);
    splitter.make(length, kCachedRows, [&](std::int64_t i) { return key_of(row_of(i)); });
    partitions.make(
        length, splitter.num_parts(), threads,
        [&](std::int64_t i) { return splitter.part_of(key_of(row_of(i))); }, row_of);
    std::vector<std::int64_t> firsts(static_cast<std::size_t>(splitter.num_parts()) + 1);
    for (std::int64_t p = 0; p < splitter.num_parts(); ++p) firsts[p + 1] = firsts[p] + partitions.size(p);
    for_each_part(splitter.num_parts(), 1, threads, [&](std::int64_t p, std::int64_t /*end*/, int thread) {
      const std::int64_t size = partitions.size(p);
      std::vector<Row>& rows = room[thread];
      if (std::ssize(rows) < 2 * size) rows.resize(static_cast<std::size_t>(2 * size));
      Row* next = rows.data();
      for (int share = 0; share < threads; ++share)
        next = std::ranges::copy(partitions.rows(p, share), next).out;
      sort_in_cache(rows.data(), size, rows.data() + size);
      take(firsts[p], rows.data(), size);
    });
  }
};

}  // namespace

struct Sort::State {
  RowSort<std::uint64_t> keys;
  RowSort<KeyedRow> rows;
};

Sort::Sort() : state_(std::make_unique<State>()) {}
Sort::~Sort() = default;

void Sort::numbers(std::int64_t length, const std::int64_t* values, std::int64_t* result, int threads) {
  state_->keys.run(
      length, threads, [&](std::int64_t i) { return ordered(values[i]); },
      [&](std::int64_t first, const std::uint64_t* rows, std::int64_t size) {
        for (std::int64_t i = 0; i < size; ++i)
          __builtin_nontemporal_store(number_of(rows[i]), result + first + i);
      });
}

void Sort::floats(std::int64_t length, const double* values, double* result, int threads) {
  state_->keys.run(
      length, threads, [&](std::int64_t i) { return ordered(values[i]); },
      [&](std::int64_t first, const std::uint64_t* rows, std::int64_t size) {
        for (std::int64_t i = 0; i < size; ++i)
          __builtin_nontemporal_store(float_of(rows[i]), result + first + i);
      });
}

void Sort::pairs(std::int64_t length, const std::int64_t* keys, const double* values,
                 std::int64_t* result_keys, double* result_values, int threads) {
  state_->rows.run(
      length, threads,
      [&](std::int64_t i) { return KeyedRow{ordered(keys[i]), std::bit_cast<std::uint64_t>(values[i])}; },
      [&](std::int64_t first, const KeyedRow* rows, std::int64_t size) {
        for (std::int64_t i = 0; i < size; ++i) {
          result_keys[first + i] = number_of(rows[i].key);
          result_values[first + i] = std::bit_cast<double>(rows[i].value);
        }
      });
}

void Sort::strings(std::int64_t length, const String* values, String* result, int threads) {
  state_->rows.run(
      length, threads,
      [&](std::int64_t i) { return KeyedRow{ordered(values[i]), static_cast<std::uint64_t>(i)}; },
      [&](std::int64_t first, const KeyedRow* rows, std::int64_t size) {
        constexpr std::int64_t kAhead = 32;
        for (std::int64_t i = 0; i < size; ++i) {
          if (i + kAhead < size) __builtin_prefetch(values + rows[i + kAhead].value);
          result[first + i] = values[rows[i].value];
        }
        for (std::int64_t begin = 0; begin < size;) {
          std::int64_t end = begin + 1;
          while (end < size && rows[end].key == rows[begin].key) ++end;
          std::sort(result + first + begin, result + first + end,
                    [](String left, String right) { return left.view() < right.view(); });
          begin = end;
        }
      });
}

std::vector<double> least(std::int64_t length, const double* values, std::int64_t count, int threads) {
  constexpr std::size_t kRoom = 4096;
  struct Found {
    std::vector<double> values;
    double limit = std::numeric_limits<double>::infinity();  // all that is less is found

    void keep(std::size_t count) {
      if (values.size() <= count) return;
      std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count) - 1, values.end());
      values.resize(count);
      limit = values.back();
    }
  };
  const auto wanted = static_cast<std::size_t>(count);
  PerThread<Found> found;
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    Found& own = found[thread];
    std::int64_t i = begin;
#if defined(__AVX512F__)
    for (; i + 32 <= end; i += 32) {
      const __m512d limit = _mm512_set1_pd(own.limit);
      unsigned mask = 0;
      for (int k = 0; k < 4; ++k) {
        const __m512d of_rows = _mm512_loadu_pd(values + i + 8 * k);
        mask |= static_cast<unsigned>(_mm512_cmp_pd_mask(of_rows, limit, _CMP_LT_OQ)) << (8 * k);
      }
      for (; mask != 0; mask &= mask - 1) own.values.push_back(values[i + std::countr_zero(mask)]);
      if (own.values.size() >= kRoom) own.keep(wanted);
    }
#endif
    for (; i < end; ++i) {
      if (values[i] < own.limit) own.values.push_back(values[i]);
      if (own.values.size() >= kRoom) own.keep(wanted);
    }
  });
  std::vector<double> all;
  for (int thread = 0; thread < threads; ++thread)
    all.insert(all.end(), found[thread].values.begin(), found[thread].values.end());
  std::ranges::sort(all);
  all.resize(std::min(all.size(), wanted));
  return all;
}

}  // namespace weld::bench::micro::native
