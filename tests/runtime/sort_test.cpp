#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <thread>

#include "run_fixture.h"

namespace weld::runtime {
namespace {

class SortTest : public RunTest, public testing::WithParamInterface<int> {
 protected:
  SortTest() {
    settings.threads = GetParam();
    settings.executor = ExecutorKind::kThreads;
  }

  static constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();

  // Sorts elements of N words by the first, by a comparator; the last word says where they were.
  template <std::size_t N>
  void check_stable(std::int64_t length, std::int64_t num_keys, std::int64_t limit = kAll) {
    using Element = std::array<std::int64_t, N>;
    std::mt19937_64 random(static_cast<std::uint64_t>(length));
    std::vector<Element> elements(static_cast<std::size_t>(length));
    for (std::size_t i = 0; i < elements.size(); ++i) {
      elements[i].fill(static_cast<std::int64_t>(i));
      elements[i][0] = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(num_keys));
    }
    const RunResult result = run(layout(arena.vec(i64())), [&](Worker* worker, std::byte* out) {
      return weld_rt_sort(worker, reinterpret_cast<const std::byte*>(elements.data()), length,
                          sizeof(Element), compare, nullptr, limit, reinterpret_cast<VecView*>(out));
    });
    ASSERT_EQ(result.code, ErrorCode::kSuccess);
    std::ranges::sort(elements, {}, [](const Element& e) { return std::pair(e[0], e[N - 1]); });
    elements.resize(static_cast<std::size_t>(std::min(limit, length)));
    const auto& vec = *reinterpret_cast<const VecView*>(result.data);
    ASSERT_EQ(vec.length, static_cast<std::int64_t>(elements.size()));
    if (vec.length > 0)
      ASSERT_EQ(std::memcmp(vec.data, elements.data(), elements.size() * sizeof(Element)), 0);
  }

  static std::int32_t compare(Worker*, void*, const void* left, const void* right, ErrorCode*) {
    const std::int64_t a = *static_cast<const std::int64_t*>(left);
    const std::int64_t b = *static_cast<const std::int64_t*>(right);
    return a < b ? -1 : a > b ? 1 : 0;
  }

  // Says nothing of keys of two words each: they are to be compared.
  static void words(const std::byte*, std::int64_t begin, std::int64_t end, std::uint64_t* words) {
    std::fill_n(words, end - begin, 0);
  }

  template <class T>
  void check_scalars(std::vector<T> keys, ir::ScalarKind kind, std::int64_t limit) {
    const auto length = static_cast<std::int64_t>(keys.size());
    std::vector<std::int64_t> positions(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) positions[i] = static_cast<std::int64_t>(i);
    const RunResult result = run(layout(arena.vec(i64())), [&](Worker* worker, std::byte* out) {
      return weld_rt_sort_by_scalar(worker, reinterpret_cast<const std::byte*>(positions.data()), length, 8,
                                    reinterpret_cast<const std::byte*>(keys.data()), sizeof(T),
                                    static_cast<std::uint32_t>(kind), limit, reinterpret_cast<VecView*>(out));
    });
    ASSERT_EQ(result.code, ErrorCode::kSuccess);
    const auto is_less = [&](T a, T b) {
      if constexpr (std::is_floating_point_v<T>) return std::isnan(b) ? !std::isnan(a) : a < b;
      if (kind == ir::ScalarKind::kBool) return (a != 0) < (b != 0);
      return a < b;
    };
    std::ranges::sort(positions, [&](std::int64_t left, std::int64_t right) {
      const T a = keys[static_cast<std::size_t>(left)];
      const T b = keys[static_cast<std::size_t>(right)];
      return is_less(a, b) || (!is_less(b, a) && left < right);
    });
    const auto& vec = *reinterpret_cast<const VecView*>(result.data);
    ASSERT_EQ(vec.length, std::min(limit, length));
    for (std::size_t i = 0; i < static_cast<std::size_t>(vec.length); ++i)
      ASSERT_EQ(reinterpret_cast<const std::int64_t*>(vec.data)[i], positions[i]) << i;
  }

  template <class T>
  void check_kind(ir::ScalarKind kind) {
    std::mt19937_64 random(5);
    for (const std::size_t length : {0u, 1u, 2u, 100u, 256u, 257u, 5000u, 200'000u}) {
      std::vector<T> keys(length);
      for (T& key : keys) {
        if constexpr (std::is_floating_point_v<T>) {
          constexpr T kInfinity = std::numeric_limits<T>::infinity();
          constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
          constexpr T kSpecial[] = {T{0},
                                    T{-0.0},
                                    kInfinity,
                                    -kInfinity,
                                    kNan,
                                    -kNan,
                                    std::numeric_limits<T>::denorm_min(),
                                    std::numeric_limits<T>::max(),
                                    std::numeric_limits<T>::lowest()};
          const std::uint64_t bits = random();
          key = bits % 4 == 0 ? kSpecial[bits / 4 % std::size(kSpecial)]
                              : static_cast<T>(static_cast<std::int64_t>(bits) >> bits % 60);
        } else {
          key = static_cast<T>(random() >> random() % 60);
        }
      }
      for (const std::int64_t limit : {kAll, std::int64_t{3}, std::int64_t{1000}})
        check_scalars(keys, kind, limit);
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Threads, SortTest, testing::Values(1, 2, 5));

TEST_P(SortTest, IsStableForEverySize) {
  for (std::int64_t length = 0; length < 70; ++length) check_stable<2>(length, 5);
  check_stable<1>(40'000, 1000);
  check_stable<2>(32'768, 10);
  check_stable<2>(32'769, 10);
  check_stable<2>(200'001, 3);
  check_stable<3>(131'072, 1000);
  check_stable<5>(100'000, 100'000);
  check_stable<9>(70'000, 100);
}

TEST_P(SortTest, GivesTheFirstFew) {
  for (std::int64_t limit = 0; limit < 70; ++limit) check_stable<2>(400, 20, limit);
  for (const std::int64_t limit : {1, 10, 1000, 24'999, 25'001, 100'000}) {
    check_stable<1>(100'000, 1'000'000, limit);
    check_stable<2>(100'000, 2, limit);
    check_stable<5>(100'000, 100, limit);
    check_stable<9>(100'000, 5000, limit);
  }
}

TEST_P(SortTest, ScalarKeysOfEveryKind) {
  check_kind<std::int8_t>(ir::ScalarKind::kI8);
  check_kind<std::int16_t>(ir::ScalarKind::kI16);
  check_kind<std::int32_t>(ir::ScalarKind::kI32);
  check_kind<std::int64_t>(ir::ScalarKind::kI64);
  check_kind<std::uint8_t>(ir::ScalarKind::kU8);
  check_kind<std::uint16_t>(ir::ScalarKind::kU16);
  check_kind<std::uint32_t>(ir::ScalarKind::kU32);
  check_kind<std::uint64_t>(ir::ScalarKind::kU64);
  check_kind<float>(ir::ScalarKind::kF32);
  check_kind<double>(ir::ScalarKind::kF64);
  check_kind<std::uint8_t>(ir::ScalarKind::kBool);
}

// Keys of few and of many values, spread evenly and not, of elements that say where they were.
TEST_P(SortTest, ManyElementsOfEveryDistribution) {
  constexpr std::int64_t kLength = 1'500'000;
  struct Element {
    std::int64_t key;
    std::int64_t position;
  };
  const std::function<std::int64_t(std::uint64_t, std::int64_t)> distributions[] = {
      [](std::uint64_t random, std::int64_t) { return static_cast<std::int64_t>(random); },
      [](std::uint64_t random, std::int64_t) { return static_cast<std::int64_t>(random % 3); },
      [](std::uint64_t random, std::int64_t i) {
        return i == 99 ? INT64_MIN : static_cast<std::int64_t>(random % 1000);
      },
      [](std::uint64_t random, std::int64_t) { return static_cast<std::int64_t>(random >> random % 60); },
      [](std::uint64_t random, std::int64_t i) {
        return i % 1000 == 0 ? static_cast<std::int64_t>(random)
                             : static_cast<std::int64_t>(random % (1 << 22));
      },
      [](std::uint64_t, std::int64_t) { return std::int64_t{5}; },
      [](std::uint64_t, std::int64_t i) { return i; },
      [](std::uint64_t, std::int64_t i) { return -i; },
  };
  for (const auto& distribution : distributions) {
    std::mt19937_64 random(3);
    std::vector<Element> elements(kLength);
    std::vector<std::int64_t> keys(kLength);
    for (std::int64_t i = 0; i < kLength; ++i) {
      keys[static_cast<std::size_t>(i)] = distribution(random(), i);
      elements[static_cast<std::size_t>(i)] = {keys[static_cast<std::size_t>(i)], i};
    }
    const auto sort = [&](const void* data, std::int64_t bytes, std::int64_t limit) {
      const auto* first = static_cast<const std::byte*>(data);
      return run(layout(arena.vec(i64())), [=](Worker* worker, std::byte* out) {
        return weld_rt_sort_by_scalar(worker, first, kLength, bytes, first, bytes,
                                      static_cast<std::uint32_t>(ir::ScalarKind::kI64), limit,
                                      reinterpret_cast<VecView*>(out));
      });
    };
    const RunResult pairs = sort(elements.data(), sizeof(Element), kLength - 1);
    const RunResult alone = sort(keys.data(), 8, kAll);
    const RunResult first = sort(elements.data(), sizeof(Element), 1000);
    std::ranges::sort(elements, {}, [](const Element& e) { return std::pair(e.key, e.position); });
    std::ranges::sort(keys);
    ASSERT_EQ(pairs.code, ErrorCode::kSuccess);
    ASSERT_EQ(alone.code, ErrorCode::kSuccess);
    ASSERT_EQ(first.code, ErrorCode::kSuccess);
    const auto equal = [](const RunResult& result, const auto& expected, std::int64_t length) {
      const auto& vec = *reinterpret_cast<const VecView*>(result.data);
      return vec.length == length && std::memcmp(vec.data, expected.data(),
                                                 static_cast<std::size_t>(length) * sizeof(expected[0])) == 0;
    };
    EXPECT_TRUE(equal(pairs, elements, kLength - 1));
    EXPECT_TRUE(equal(alone, keys, kLength));
    EXPECT_TRUE(equal(first, elements, 1000));
  }
}

TEST_P(SortTest, ZerosOfBothSignsKeepTheirOrder) {
  constexpr std::int64_t kLength = 300'000;
  std::mt19937_64 random(9);
  std::vector<double> values(kLength);
  for (double& value : values) {
    const std::uint64_t bits = random();
    value = bits % 3 == 0 ? 0.0 : bits % 3 == 1 ? -0.0 : static_cast<double>(static_cast<std::int64_t>(bits));
  }
  for (const std::int64_t limit : {kAll, kLength / 2}) {
    const RunResult result = run(layout(arena.vec(f64())), [&](Worker* worker, std::byte* out) {
      const auto* data = reinterpret_cast<const std::byte*>(values.data());
      return weld_rt_sort_by_scalar(worker, data, kLength, 8, data, 8,
                                    static_cast<std::uint32_t>(ir::ScalarKind::kF64), limit,
                                    reinterpret_cast<VecView*>(out));
    });
    ASSERT_EQ(result.code, ErrorCode::kSuccess);
    std::vector<std::pair<double, std::int64_t>> pairs;
    for (std::int64_t i = 0; i < kLength; ++i) pairs.emplace_back(values[static_cast<std::size_t>(i)], i);
    std::ranges::sort(pairs);  // by position where the values are equal, which −0 and +0 are
    std::vector<double> expected;
    for (const auto& pair : pairs) expected.push_back(pair.first);
    const auto& vec = *reinterpret_cast<const VecView*>(result.data);
    ASSERT_EQ(vec.length, std::min(limit, kLength));
    EXPECT_EQ(std::memcmp(vec.data, expected.data(), static_cast<std::size_t>(vec.length) * 8), 0);
  }
}

TEST_P(SortTest, KeysOfOtherTypes) {
  const std::int64_t length = 50'000;
  std::vector<std::int64_t> keys(static_cast<std::size_t>(length) * 2);
  std::vector<char> elements(static_cast<std::size_t>(length));
  for (std::int64_t i = 0; i < length; ++i) {
    keys[static_cast<std::size_t>(2 * i)] = i * 7919 % 1000;
    elements[static_cast<std::size_t>(i)] = static_cast<char>(i * 7919 % 1000 % 100);
  }
  const RunResult result = run(layout(arena.vec(i8())), [&](Worker* worker, std::byte* out) {
    return weld_rt_sort_by_key(worker, reinterpret_cast<const std::byte*>(elements.data()), length, 1,
                               reinterpret_cast<const std::byte*>(keys.data()), 16, words, 1, 0, compare,
                               nullptr, length, reinterpret_cast<VecView*>(out));
  });
  ASSERT_EQ(result.code, ErrorCode::kSuccess);
  const auto& vec = *reinterpret_cast<const VecView*>(result.data);
  for (std::int64_t i = 0; i < length; ++i) ASSERT_EQ(static_cast<char>(vec.data[i]), i / 50 % 100);
}

TEST_P(SortTest, InconsistentComparatorsGiveAPermutation) {
  const SortComparator comparators[] = {
      [](Worker*, void*, const void*, const void*, ErrorCode*) { return 1; },
      [](Worker*, void*, const void*, const void*, ErrorCode*) { return -1; },
      [](Worker*, void*, const void* left, const void* right, ErrorCode*) {
        const std::int64_t a = *static_cast<const std::int64_t*>(left);
        const std::int64_t b = *static_cast<const std::int64_t*>(right);
        return static_cast<std::int32_t>((a * 31 + b * 17) % 7 - 3);
      }};
  for (const SortComparator comparator : comparators) {
    for (const std::int64_t length : {3, 100, 40'000, 300'000}) {
      std::vector<std::int64_t> elements(static_cast<std::size_t>(length));
      for (std::size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<std::int64_t>(i);
      const RunResult result = run(layout(arena.vec(i64())), [&](Worker* worker, std::byte* out) {
        return weld_rt_sort(worker, reinterpret_cast<const std::byte*>(elements.data()), length, 8,
                            comparator, nullptr, length, reinterpret_cast<VecView*>(out));
      });
      ASSERT_EQ(result.code, ErrorCode::kSuccess);
      const auto& vec = *reinterpret_cast<const VecView*>(result.data);
      const auto* sorted = reinterpret_cast<std::int64_t*>(vec.data);
      EXPECT_TRUE(std::is_permutation(sorted, sorted, elements.begin(), elements.begin()));
      std::vector<bool> seen(elements.size());
      for (std::int64_t i = 0; i < length; ++i) seen[static_cast<std::size_t>(sorted[i])] = true;
      EXPECT_EQ(std::ranges::count(seen, true), length);
    }
  }
}

TEST_P(SortTest, ErrorsOfComparatorsComeThrough) {
  const SortComparator comparator = [](Worker* worker, void*, const void* left, const void* right,
                                       ErrorCode* error) {
    const std::int64_t a = *static_cast<const std::int64_t*>(left);
    if (a == 777) *error = weld_rt_fail(worker, ErrorCode::kArithmeticError, 12);
    return compare(worker, nullptr, left, right, error);
  };
  for (const auto& [length, limit] : {std::pair{1000, kAll}, {100'000, kAll}, {100'000, 5}}) {
    std::vector<std::int64_t> elements(static_cast<std::size_t>(length));
    for (std::size_t i = 0; i < elements.size(); ++i) elements[i] = length - static_cast<std::int64_t>(i);
    const RunResult result = run(nothing(), [&](Worker* worker, std::byte*) {
      VecView sorted;
      return weld_rt_sort(worker, reinterpret_cast<const std::byte*>(elements.data()), length, 8, comparator,
                          nullptr, limit, &sorted);
    });
    EXPECT_EQ(result.code, ErrorCode::kArithmeticError);
    EXPECT_EQ(result.span, 12u);
  }
}

TEST_P(SortTest, CanBeCancelled) {
  CancelToken token;
  settings.cancel = &token;
  const SortComparator slow = [](Worker*, void* captures, const void*, const void*, ErrorCode*) {
    static_cast<CancelToken*>(captures)->cancel();
    std::this_thread::sleep_for(std::chrono::microseconds(1));
    return -1;
  };
  for (const std::int64_t length : {20'000, 1'000'000}) {
    const std::vector<std::int64_t> elements(static_cast<std::size_t>(length));
    const ErrorCode code = run([&](Worker* worker, std::byte*) {
      VecView sorted;
      return weld_rt_sort(worker, reinterpret_cast<const std::byte*>(elements.data()), length, 8, slow,
                          &token, length / 2, &sorted);
    });
    EXPECT_EQ(code, ErrorCode::kCancelled);
  }
}

TEST_P(SortTest, EveryAllocationMayFail) {
  const std::vector<std::int64_t> elements(100'000, 3);
  const auto* data = reinterpret_cast<const std::byte*>(elements.data());
  fail_every_allocation([&](Context& failing) {
    return runtime::run(
               failing, settings, nothing(),
               [&](Worker* worker, std::byte*) {
                 VecView sorted;
                 ErrorCode code = weld_rt_sort(worker, data, 100'000, 8, compare, nullptr, 100'000, &sorted);
                 if (code == ErrorCode::kSuccess)
                   code = weld_rt_sort_by_key(worker, data, 1000, 8, data, 8, words, 1, 0, compare, nullptr,
                                              1000, &sorted);
                 if (code == ErrorCode::kSuccess)
                   code = weld_rt_sort(worker, data, 100'000, 8, compare, nullptr, 5, &sorted);
                 if (code == ErrorCode::kSuccess)
                   code = weld_rt_sort_by_key(worker, data, 1000, 8, data, 8, words, 1, 0, compare, nullptr,
                                              5, &sorted);
                 if (code == ErrorCode::kSuccess)
                   code = weld_rt_sort_by_scalar(worker, data, 100'000, 8, data, 8, 3, 100'000, &sorted);
                 if (code == ErrorCode::kSuccess)
                   code = weld_rt_sort_by_scalar(worker, data, 100'000, 8, data, 8, 3, 5, &sorted);
                 return code;
               })
        .code;
  });
}

}  // namespace
}  // namespace weld::runtime
