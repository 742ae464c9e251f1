#include "bench/micro/native/groups.h"

#include <atomic>

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define WELD_EIGHT_PROBES 1
#endif

namespace weld::bench::micro::native {
namespace {

using workloads::native::kMaxThreads;
using workloads::native::kPart;
using workloads::native::PerThread;

// Slots of a table that stays in a core's own cache with room for the rows that go by.
constexpr std::int64_t kCachedBytes = 1 << 20;

// How many partitions make tables of that size, a power of two.
std::int64_t partitions_for(std::int64_t expected_keys, std::int64_t row_bytes) {
  const std::int64_t table_bytes = 2 * expected_keys * row_bytes;
  return static_cast<std::int64_t>(
      std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(1, table_bytes / kCachedBytes))));
}

Number make_row(std::int64_t key, const double* /*values*/, std::int64_t /*i*/, Number*) {
  return {key};
}
NumberSum make_row(std::int64_t key, const double* values, std::int64_t i, NumberSum*) {
  return {key, values[i]};
}
StringSum make_row(String key, const double* values, std::int64_t i, StringSum*) {
  return StringSum::of(key, values[i]);
}

// Keys and sums apart, at most a quarter full; probed eight keys at a time. With few keys each lane has sums
// of its own, so that rows of one key do not wait for each other.
class SmallTable {
 public:
  explicit SmallTable(std::int64_t expected_keys)
      : num_slots_(static_cast<std::int64_t>(
            std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(16, 4 * expected_keys))))),
        copies_(num_slots_ <= 512 ? 8 : 1),
        shift_(64 - std::countr_zero(static_cast<std::uint64_t>(num_slots_))),
        keys_(num_slots_),
        sums_(num_slots_ * copies_) {}

  void clear() {
    std::ranges::fill(keys_, NumberSum::kEmpty);
    std::ranges::fill(sums_, 0.0);
  }

  void add_rows(const std::int64_t* keys, const double* values, std::int64_t begin, std::int64_t end) {
    if (copies_ == 8) return add_with<8>(keys, values, begin, end);
    add_with<1>(keys, values, begin, end);
  }

  void add(std::int64_t key, double value) { sums_[slot_of(key) * copies_] += value; }

  void for_each(auto&& body) const {
    for (std::int64_t slot = 0; slot < num_slots_; ++slot) {
      if (keys_[slot] == NumberSum::kEmpty) continue;
      double sum = 0;
      for (std::int64_t copy = 0; copy < copies_; ++copy) sum += sums_[slot * copies_ + copy];
      body(NumberSum{keys_[slot], sum});
    }
  }

 private:
  template <int kCopies>
  void add_with(const std::int64_t* keys, const double* values, std::int64_t begin, std::int64_t end) {
    double* const sums = sums_.data();
    std::int64_t i = begin;
#if defined(WELD_EIGHT_PROBES)
    const __m512i factor = _mm512_set1_epi64(static_cast<long long>(0x9e3779b97f4a7c15u));
    const __m512i shift = _mm512_set1_epi64(shift_);
    for (; i + 8 <= end; i += 8) {
      const __m512i of_rows = _mm512_loadu_si512(keys + i);
      const __m512i slots = _mm512_srlv_epi64(_mm512_mullo_epi64(of_rows, factor), shift);
      const __m512i found = _mm512_i64gather_epi64(slots, keys_.data(), 8);
      const bool all_found = _mm512_cmpeq_epi64_mask(found, of_rows) == 0xff;
      alignas(64) std::int64_t places[8];
      if (all_found) {
        _mm512_store_si512(places, slots);
      } else {
        for (int k = 0; k < 8; ++k) places[k] = slot_of(keys[i + k]);
      }
      for (int k = 0; k < 8; ++k) sums[places[k] * kCopies + k % kCopies] += values[i + k];
    }
#endif
    for (; i < end; ++i) sums[slot_of(keys[i]) * kCopies] += values[i];
  }

  std::int64_t slot_of(std::int64_t key) {
    auto slot = static_cast<std::int64_t>(hash_of(static_cast<std::uint64_t>(key)) >> shift_);
    while (keys_[slot] != key) {
      if (keys_[slot] == NumberSum::kEmpty) keys_[slot] = key;
      if (keys_[slot] != key) slot = (slot + 1) & (num_slots_ - 1);
    }
    return slot;
  }

  std::int64_t num_slots_;
  std::int64_t copies_;
  int shift_;
  std::vector<std::int64_t> keys_;
  std::vector<double> sums_;
};

}  // namespace

template <class Row>
struct GroupSums<Row>::State {
  std::int64_t expected_keys;
  std::int64_t num_partitions = 1;
  std::vector<SmallTable> small_tables;
  Partitions<Row> partitions;
  PerThread<SumTable<Row>> tables;
  Column<Row> rows;
  std::atomic<std::int64_t> num_rows = 0;

  void take(SumTable<Row>& table) {
    std::int64_t place = num_rows.fetch_add(table.size(), std::memory_order_relaxed);
    table.drain([&](const Row& row) { rows[place++] = row; });
  }

  // A table a thread, put together in the end.
  template <class Key>
  void run_in_tables(std::int64_t length, const Key* keys, const double* values, int threads) {
    for (int thread = 0; thread < threads; ++thread) tables[thread].reset(2 * expected_keys, 0);
    for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
      SumTable<Row>& table = tables[thread];
      for (std::int64_t i = begin; i < end; ++i)
        table.add(make_row(keys[i], values, i, static_cast<Row*>(nullptr)));
    });
    for (int thread = 1; thread < threads; ++thread)
      tables[thread].drain([&](const Row& row) { tables[0].add(row); });
    take(tables[0]);
  }

  void run_in_small_tables(std::int64_t length, const std::int64_t* keys, const double* values, int threads)
    requires std::same_as<Row, NumberSum>
  {
    while (static_cast<int>(small_tables.size()) < threads) small_tables.emplace_back(expected_keys);
    for (int thread = 0; thread < threads; ++thread) small_tables[thread].clear();
    for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
      small_tables[thread].add_rows(keys, values, begin, end);
    });
    for (int thread = 1; thread < threads; ++thread)
      small_tables[thread].for_each([&](const NumberSum& row) { small_tables[0].add(row.key, row.sum); });
    small_tables[0].for_each([&](const NumberSum& row) { rows[num_rows++] = row; });
  }

  template <class Key>
  void run_in_partitions(std::int64_t length, const Key* keys, const double* values, int threads) {
    const int bits = std::countr_zero(static_cast<std::uint64_t>(num_partitions));
    const auto row_of = [&](std::int64_t i) {
      return make_row(keys[i], values, i, static_cast<Row*>(nullptr));
    };
    partitions.make(
        length, num_partitions, threads, [&](std::int64_t i) { return row_of(i).hash() >> (64 - bits); },
        row_of);
    for_each_part(num_partitions, 1, threads, [&](std::int64_t partition, std::int64_t /*end*/, int thread) {
      SumTable<Row>& table = tables[thread];
      table.reset(std::min(expected_keys / num_partitions, partitions.size(partition)), bits);
      for (int share = 0; share < partitions.num_shares(); ++share)
        for (const Row& row : partitions.rows(partition, share)) table.add(row);
      take(table);
    });
  }
};

template <class Row>
GroupSums<Row>::GroupSums(std::int64_t expected_keys) : state_(std::make_unique<State>()) {
  state_->expected_keys = expected_keys;
  state_->num_partitions = partitions_for(expected_keys, sizeof(Row));
}
template <class Row>
GroupSums<Row>::~GroupSums() = default;

template <class Row>
template <class Key>
void GroupSums<Row>::run(std::int64_t length, const Key* keys, const double* values, int threads) {
  State& state = *state_;
  if (state.rows.size() == 0) state.rows = Column<Row>(std::min(length, 2 * state.expected_keys));
  state.num_rows = 0;
  if (state.num_partitions > 1) return state.run_in_partitions(length, keys, values, threads);
  if constexpr (std::same_as<Row, NumberSum>) {
    state.run_in_small_tables(length, keys, values, threads);
  } else {
    state.run_in_tables(length, keys, values, threads);
  }
}

template <class Row>
std::span<const Row> GroupSums<Row>::rows() const {
  return {state_->rows.data(), static_cast<std::size_t>(state_->num_rows)};
}

template class GroupSums<Number>;
template class GroupSums<NumberSum>;
template class GroupSums<StringSum>;
template void GroupSums<Number>::run(std::int64_t, const std::int64_t*, const double*, int);
template void GroupSums<NumberSum>::run(std::int64_t, const std::int64_t*, const double*, int);
template void GroupSums<StringSum>::run(std::int64_t, const String*, const double*, int);

// Partitions of rows in their order, then in each the numbers of the keys, their counts, and the values in
// their places.
struct ValueGroups::State {
  std::int64_t expected_keys;
  std::int64_t num_partitions;
  Partitions<NumberSum> partitions;
  struct Thread {
    std::vector<std::int64_t> keys;      // of the slots
    std::vector<std::uint32_t> numbers;  // of the slots' keys
    std::vector<std::uint32_t> of_rows;
    std::vector<Group> groups;
  };
  PerThread<Thread> threads;
  Column<double> values;
  Column<Group> groups;
  std::atomic<std::int64_t> num_groups = 0;
  std::vector<std::int64_t> first_values;  // of the partitions

  void group(std::int64_t partition, int bits, Thread& thread) {
    const std::int64_t num_rows = partitions.size(partition);
    const std::int64_t num_keys = std::min(num_rows, expected_keys);
    const auto num_slots = std::bit_ceil(static_cast<std::uint64_t>(
        std::max<std::int64_t>(16, 2 * std::min(num_keys, 2 * expected_keys / num_partitions + 1024))));
    const int shift = 64 - std::countr_zero(num_slots);
    thread.keys.assign(num_slots, NumberSum::kEmpty);
    thread.numbers.resize(num_slots);
    thread.of_rows.resize(static_cast<std::size_t>(num_rows));
    thread.groups.clear();
    std::size_t row = 0;
    for (int share = 0; share < partitions.num_shares(); ++share) {
      for (const NumberSum& entry : partitions.rows(partition, share)) {
        std::size_t slot = (entry.hash() << bits) >> shift;
        while (thread.keys[slot] != entry.key && thread.keys[slot] != NumberSum::kEmpty)
          slot = (slot + 1) & (num_slots - 1);
        if (thread.keys[slot] != entry.key) {
          thread.keys[slot] = entry.key;
          thread.numbers[slot] = static_cast<std::uint32_t>(thread.groups.size());
          thread.groups.push_back({entry.key, nullptr, 0});
        }
        ++thread.groups[thread.of_rows[row++] = thread.numbers[slot]].length;
      }
    }
    double* next = values.data() + first_values[static_cast<std::size_t>(partition)];
    for (Group& of_key : thread.groups) {
      of_key.values = next;
      next += of_key.length;
      of_key.length = 0;
    }
    row = 0;
    for (int share = 0; share < partitions.num_shares(); ++share) {
      for (const NumberSum& entry : partitions.rows(partition, share)) {
        Group& of_key = thread.groups[thread.of_rows[row++]];
        const_cast<double*>(of_key.values)[of_key.length++] = entry.sum;
      }
    }
    const std::int64_t place =
        num_groups.fetch_add(static_cast<std::int64_t>(thread.groups.size()), std::memory_order_relaxed);
    std::ranges::copy(thread.groups, groups.data() + place);
  }
};

ValueGroups::ValueGroups(std::int64_t expected_keys) : state_(std::make_unique<State>()) {
  state_->expected_keys = expected_keys;
  // Also of few keys: the values that a partition writes stay in the cache.
  state_->num_partitions = std::max<std::int64_t>(64, partitions_for(expected_keys, 2 * sizeof(NumberSum)));
}
ValueGroups::~ValueGroups() = default;

void ValueGroups::run(std::int64_t length, const std::int64_t* keys, const double* values, int threads) {
  State& state = *state_;
  if (state.values.size() < length) {
    state.values = Column<double>(length);
    state.groups = Column<Group>(std::min(length, 2 * state.expected_keys));
  }
  const int bits = std::countr_zero(static_cast<std::uint64_t>(state.num_partitions));
  state.partitions.make(
      length, state.num_partitions, threads,
      [&](std::int64_t i) { return hash_of(static_cast<std::uint64_t>(keys[i])) >> (64 - bits); },
      [&](std::int64_t i) { return NumberSum{keys[i], values[i]}; });
  state.num_groups = 0;
  state.first_values.assign(static_cast<std::size_t>(state.num_partitions) + 1, 0);
  for (std::int64_t p = 0; p < state.num_partitions; ++p)
    state.first_values[p + 1] = state.first_values[p] + state.partitions.size(p);
  for_each_part(state.num_partitions, 1, threads,
                [&](std::int64_t partition, std::int64_t /*end*/, int thread) {
                  state.group(partition, bits, state.threads[thread]);
                });
}

std::span<const ValueGroups::Group> ValueGroups::groups() const {
  return {state_->groups.data(), static_cast<std::size_t>(state_->num_groups)};
}

}  // namespace weld::bench::micro::native
