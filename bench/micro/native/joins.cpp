#include "bench/micro/native/joins.h"

#include <bit>

#include "bench/micro/native/partitions.h"
#include "bench/micro/native/sum_table.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define WELD_EIGHT_PROBES 1
#endif

namespace weld::bench::micro::native {
namespace {

using workloads::native::kPart;
using workloads::native::PerThread;

constexpr std::int64_t kBatch = 64;  // probes under way
constexpr std::int64_t kCachedSlots = 1 << 15;

// Open addressing, at most half full.
template <class Row>
struct ProbeTable {
  Column<Row> slots;
  std::int64_t mask = 0;
  int shift = 64;

  std::int64_t home_of(std::int64_t key) const {
    return static_cast<std::int64_t>(hash_of(static_cast<std::uint64_t>(key)) >> shift);
  }

  // Each thread makes a part of the places and fills it with the rows that hash there, so that none waits;
  // rows that would run over its end are left to one thread.
  void build(std::int64_t num_rows, int threads, auto&& row_of) {
    const auto num_slots =
        std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(64, 2 * num_rows)));
    if (slots.size() != static_cast<std::int64_t>(num_slots)) slots = Column<Row>(num_slots);
    mask = static_cast<std::int64_t>(num_slots) - 1;
    shift = 64 - std::countr_zero(num_slots);
    std::vector<std::vector<Row>> left(static_cast<std::size_t>(threads));
    for_each_share(slots.size(), threads, [&](int share, Share places) {
      std::fill(slots.data() + places.begin, slots.data() + places.end, Row{});
      constexpr std::int64_t kAhead = 32;
      for (std::int64_t i = 0; i < num_rows; ++i) {
        if (i + kAhead < num_rows) __builtin_prefetch(&slots[home_of(row_of(i + kAhead).key)], 1);
        const Row row = row_of(i);
        std::int64_t place = home_of(row.key);
        if (place < places.begin || place >= places.end) continue;
        while (place < places.end && !slots[place].is_empty()) ++place;
        if (place < places.end) {
          slots[place] = row;
        } else {
          left[static_cast<std::size_t>(share)].push_back(row);
        }
      }
    });
    for (const std::vector<Row>& rows : left) {
      for (const Row& row : rows) {
        std::int64_t place = home_of(row.key);
        while (!slots[place].is_empty()) place = (place + 1) & mask;
        slots[place] = row;
      }
    }
  }

  // The slot of a key, or the empty one where it ends.
  const Row& find(std::int64_t key, std::int64_t place) const {
    while (slots[place].key != key && !slots[place].is_empty()) place = (place + 1) & mask;
    return slots[place];
  }
};

// Eight bits of a word of 64 for each of the keys: three of them must be set for a key to be there.
struct BloomFilter {
  std::vector<std::uint64_t> words;
  int shift = 64;

  static std::uint64_t bits_of(std::uint64_t hash) {
    return std::uint64_t{1} << (hash & 63) | std::uint64_t{1} << (hash >> 6 & 63) |
           std::uint64_t{1} << (hash >> 12 & 63);
  }
  void build(std::int64_t num_keys, const std::int64_t* keys) {
    const auto num_words = std::bit_ceil(static_cast<std::uint64_t>(num_keys / 8 + 1));
    words.assign(num_words, 0);
    shift = 64 - std::countr_zero(num_words);
    for (std::int64_t i = 0; i < num_keys; ++i) {
      const std::uint64_t hash = hash_of(static_cast<std::uint64_t>(keys[i]));
      words[shift == 64 ? 0 : hash >> shift] |= bits_of(hash >> 20);
    }
  }

  // Writes the places of the keys in [begin, end) that may be there; how many.
  std::int64_t select(const std::int64_t* keys, std::int64_t begin, std::int64_t end,
                      std::int64_t* places) const {
    std::int64_t count = 0;
    std::int64_t i = begin;
#if defined(WELD_EIGHT_PROBES)
    const __m512i factor = _mm512_set1_epi64(static_cast<long long>(0x9e3779b97f4a7c15u));
    const __m512i one = _mm512_set1_epi64(1);
    const __m512i low = _mm512_set1_epi64(63);
    __m512i rows = _mm512_add_epi64(_mm512_set1_epi64(begin), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
    for (; i + 8 <= end; i += 8) {
      const __m512i hash = _mm512_mullo_epi64(_mm512_loadu_si512(keys + i), factor);
      const __m512i word =
          _mm512_i64gather_epi64(_mm512_srlv_epi64(hash, _mm512_set1_epi64(shift)), words.data(), 8);
      const auto bit = [&](int from) {
        return _mm512_sllv_epi64(one,
                                 _mm512_and_epi64(_mm512_srlv_epi64(hash, _mm512_set1_epi64(from)), low));
      };
      const __m512i bits = _mm512_or_epi64(_mm512_or_epi64(bit(20), bit(26)), bit(32));
      const __mmask8 present = _mm512_cmpeq_epi64_mask(_mm512_and_epi64(word, bits), bits);
      _mm512_storeu_si512(places + count, _mm512_maskz_compress_epi64(present, rows));
      count += __builtin_popcount(present);
      rows = _mm512_add_epi64(rows, _mm512_set1_epi64(8));
    }
#endif
    for (; i < end; ++i) {
      const std::uint64_t hash = hash_of(static_cast<std::uint64_t>(keys[i]));
      const std::uint64_t bits = bits_of(hash >> 20);
      places[count] = i;
      count += (words[shift == 64 ? 0 : hash >> shift] & bits) == bits;
    }
    return count;
  }
};

}  // namespace

struct Join::State {
  ProbeTable<NumberSum> payloads;
  ProbeTable<Number> keys;
  BloomFilter filter;
};

Join::Join() : state_(std::make_unique<State>()) {}
Join::~Join() = default;

double Join::sum_products(std::int64_t length, const std::int64_t* keys, const double* values,
                          std::int64_t num_keys, const std::int64_t* table_keys, const double* payloads,
                          int threads) {
  ProbeTable<NumberSum>& table = state_->payloads;
  table.build(num_keys, threads, [&](std::int64_t i) { return NumberSum{table_keys[i], payloads[i]}; });
  const bool is_cached = table.slots.size() <= kCachedSlots;
  PerThread<double> sums;
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    double sum = 0;
    std::int64_t i = begin;
#if defined(WELD_EIGHT_PROBES)
    if (is_cached) {
      const __m512i factor = _mm512_set1_epi64(static_cast<long long>(0x9e3779b97f4a7c15u));
      const __m512i shift = _mm512_set1_epi64(table.shift);
      const auto* const slots = reinterpret_cast<const long long*>(table.slots.data());
      __m512d all = _mm512_setzero_pd();
      for (; i + 8 <= end; i += 8) {
        const __m512i of_rows = _mm512_loadu_si512(keys + i);
        const __m512i places =
            _mm512_slli_epi64(_mm512_srlv_epi64(_mm512_mullo_epi64(of_rows, factor), shift), 1);
        const __m512i found = _mm512_i64gather_epi64(places, slots, 8);
        const __m512d payload = _mm512_i64gather_pd(places, reinterpret_cast<const double*>(slots + 1), 8);
        const __mmask8 same = _mm512_cmpeq_epi64_mask(found, of_rows);
        all = _mm512_mask3_fmadd_pd(payload, _mm512_loadu_pd(values + i), all, same);
        for (unsigned others = static_cast<std::uint8_t>(~same); others != 0; others &= others - 1) {
          const std::int64_t row = i + std::countr_zero(others);
          sum += values[row] * table.find(keys[row], table.home_of(keys[row])).sum;
        }
      }
      sum += _mm512_reduce_add_pd(all);
    }
#endif
    std::int64_t places[kBatch];
    for (; i < end; i += kBatch) {
      const std::int64_t count = std::min(kBatch, end - i);
      for (std::int64_t k = 0; k < count; ++k) {
        places[k] = table.home_of(keys[i + k]);
        if (!is_cached) __builtin_prefetch(&table.slots[places[k]]);
      }
      for (std::int64_t k = 0; k < count; ++k) sum += values[i + k] * table.find(keys[i + k], places[k]).sum;
    }
    sums[thread] += sum;
  });
  double total = 0;
  for (int thread = 0; thread < threads; ++thread) total += sums[thread];
  return total;
}

double Join::sum_present(std::int64_t length, const std::int64_t* keys, const double* values,
                         std::int64_t num_keys, const std::int64_t* table_keys, bool few, int threads) {
  ProbeTable<Number>& table = state_->keys;
  table.build(num_keys, threads, [&](std::int64_t i) { return Number{table_keys[i]}; });
  if (few) state_->filter.build(num_keys, table_keys);
  PerThread<double> sums;
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    double sum = 0;
    std::int64_t selected[kPart + 8];
    const std::int64_t num_selected = few ? state_->filter.select(keys, begin, end, selected) : end - begin;
    std::int64_t places[kBatch];
    for (std::int64_t i = 0; i < num_selected; i += kBatch) {
      const std::int64_t count = std::min(kBatch, num_selected - i);
      const auto row_of = [&](std::int64_t k) { return few ? selected[i + k] : begin + i + k; };
      for (std::int64_t k = 0; k < count; ++k) {
        places[k] = table.home_of(keys[row_of(k)]);
        __builtin_prefetch(&table.slots[places[k]]);
      }
      for (std::int64_t k = 0; k < count; ++k) {
        const std::int64_t row = row_of(k);
        const bool is_present = table.find(keys[row], places[k]).key == keys[row];
        sum += is_present ? values[row] : 0.0;
      }
    }
    sums[thread] += sum;
  });
  double total = 0;
  for (int thread = 0; thread < threads; ++thread) total += sums[thread];
  return total;
}

}  // namespace weld::bench::micro::native
