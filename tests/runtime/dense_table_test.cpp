#include "runtime/dense_table.h"

#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "run_fixture.h"
#include "runtime/dict.h"

namespace weld::runtime {
namespace {

using DenseTableTest = RunTest;

// {i64, i64}: a key and how often it was merged.
constexpr std::uint64_t kI64Key = key_field(0, 8, true);
struct Entry {
  std::int64_t key;
  std::int64_t count;
};
Entry& entry_at(const Dict& dict, std::int64_t index) {
  return reinterpret_cast<Entry*>(dict.entries)[index];
}

// The place of an entry's index in a table that has room for another one, as generated code finds it.
std::int64_t find_dense(const Dict& dict, std::int64_t key, std::uint32_t*& place) {
  const std::uint64_t distance = static_cast<std::uint64_t>(key) - dict.fields[0].base;
  place = nullptr;
  if (distance >= dict.fields[0].span) return -1;
  place = reinterpret_cast<std::uint32_t*>(dict.slots) + distance;
  return std::int64_t{*place} - 1;
}
std::int64_t find_hashed(const Dict& dict, std::int64_t key, std::uint64_t& slot) {
  const Entry sought{key, 0};
  const std::uint64_t hash = entry_hash(dict, reinterpret_cast<const std::byte*>(&sought));
  for (slot = first_slot(dict, hash); dict.slots[slot] != 0; slot = (slot + 1) & dict.slot_mask) {
    const auto index = static_cast<std::uint32_t>(dict.slots[slot]) - 1;
    if (dict.slots[slot] >> 32 == hash && entry_at(dict, index).key == key) return index;
  }
  return -1;
}

std::int64_t find(const Dict& dict, std::int64_t key) {
  std::uint32_t* place;
  std::uint64_t slot;
  return is_dense(dict) ? find_dense(dict, key, place) : find_hashed(dict, key, slot);
}

ErrorCode merge(Worker* worker, Dict& dict, std::int64_t key) {
  while (true) {
    if (const std::int64_t index = find(dict, key); index >= 0) {
      ++entry_at(dict, index).count;
      return ErrorCode::kSuccess;
    }
    std::uint32_t* place = nullptr;
    ErrorCode code = ErrorCode::kSuccess;
    if (is_dense(dict)) find_dense(dict, key, place);
    if (is_dense(dict) && !place) {
      code = weld_rt_dict_reach(worker, &dict, reinterpret_cast<const std::byte*>(&key));
    } else if (dict.num_entries == dict.entry_capacity) {
      code = weld_rt_dict_grow(worker, &dict);
    } else {
      entry_at(dict, dict.num_entries) = {key, 1};
      const auto next = static_cast<std::uint32_t>(++dict.num_entries);
      if (place) {
        *place = next;
      } else {
        std::uint64_t slot;
        find_hashed(dict, key, slot);
        const std::uint64_t hash =
            entry_hash(dict, reinterpret_cast<const std::byte*>(&entry_at(dict, next - 1)));
        dict.slots[slot] = hash << 32 | next;
      }
      return ErrorCode::kSuccess;
    }
    if (code != ErrorCode::kSuccess) return code;
  }
}

void expect_same(const Dict& dict, const std::vector<std::int64_t>& keys) {
  std::map<std::int64_t, std::int64_t> counts;
  std::vector<std::int64_t> order;
  for (const std::int64_t key : keys) {
    if (counts[key]++ == 0) order.push_back(key);
  }
  ASSERT_EQ(dict.num_entries, std::ssize(order));
  for (std::int64_t i = 0; i < dict.num_entries; ++i) {
    ASSERT_EQ(entry_at(dict, i).key, order[static_cast<std::size_t>(i)]);
    ASSERT_EQ(entry_at(dict, i).count, counts[entry_at(dict, i).key]);
    ASSERT_EQ(find(dict, entry_at(dict, i).key), i);
  }
}

Dict* new_dict(Worker* worker, std::uint64_t shape = kI64Key) {
  Dict* dict = weld_rt_dict_new(worker, sizeof(Entry), 0);
  EXPECT_EQ(weld_rt_dict_shape(worker, dict, shape), ErrorCode::kSuccess);
  return dict;
}

std::vector<std::int64_t> keys_of(std::int64_t count, const std::function<std::int64_t(std::int64_t)>& key) {
  std::vector<std::int64_t> keys;
  for (std::int64_t i = 0; i < count; ++i) keys.push_back(key(i));
  return keys;
}

enum class Kind { kDense, kHashed };

void check(Worker* worker, Dict& dict, const std::vector<std::int64_t>& keys, Kind kind) {
  for (const std::int64_t key : keys) ASSERT_EQ(merge(worker, dict, key), ErrorCode::kSuccess);
  EXPECT_EQ(is_dense(dict), kind == Kind::kDense);
  expect_same(dict, keys);
}

TEST_F(DenseTableTest, SmallRangesAreDense) {
  EXPECT_EQ(run([](Worker* worker, std::byte*) {
              const auto check_new = [&](std::int64_t count, auto key, Kind kind) {
                check(worker, *new_dict(worker), keys_of(count, key), kind);
              };
              check_new(5, [](auto i) { return i; }, Kind::kHashed);  // too few to look at
              check_new(100'000, [](auto i) { return i; }, Kind::kDense);
              check_new(100'000, [](auto i) { return -i; }, Kind::kDense);
              check_new(100'000, [](auto i) { return i % 2 == 0 ? i : -i; }, Kind::kDense);
              check_new(100'000, [](auto i) { return i * 7919 % 10'007 - 5'000; }, Kind::kDense);
              check_new(100'000, [](auto i) { return i * 7919 % 10'007 * 3; }, Kind::kDense);
              check_new(10'000, [](auto i) { return INT64_MAX - i * 7919 % 2'000; }, Kind::kDense);
              check_new(10'000, [](auto i) { return INT64_MIN + i * 7919 % 2'000; }, Kind::kDense);
              check_new(10'000, [](auto i) { return i * 1'000'003; }, Kind::kHashed);
              check_new(
                  10'000, [](auto i) { return i % 2 == 0 ? INT64_MIN + i : INT64_MAX - i; },
                  Kind::kDense);  // neighbours, modulo 2^64
              return ErrorCode::kSuccess;
            }),
            ErrorCode::kSuccess);
}

TEST_F(DenseTableTest, KeysFarOutsideMakeThemHashedForAWhile) {
  EXPECT_EQ(run([](Worker* worker, std::byte*) {
              Dict& dict = *new_dict(worker);
              std::vector<std::int64_t> keys = keys_of(1'000, [](auto i) { return i; });
              check(worker, dict, keys, Kind::kDense);
              keys.push_back(std::int64_t{1} << 60);
              EXPECT_EQ(merge(worker, dict, keys.back()), ErrorCode::kSuccess);
              EXPECT_FALSE(is_dense(dict));
              expect_same(dict, keys);
              for (std::int64_t key = 0; key < 50'000; ++key) {
                keys.push_back(key);
                EXPECT_EQ(merge(worker, dict, key), ErrorCode::kSuccess);
              }
              EXPECT_FALSE(is_dense(dict));
              expect_same(dict, keys);
              return ErrorCode::kSuccess;
            }),
            ErrorCode::kSuccess);
}

TEST_F(DenseTableTest, CanBeForcedReservedAndCopied) {
  EXPECT_EQ(run([](Worker* worker, std::byte*) {
              Dict& dict = *new_dict(worker, kI64Key | kForcedDense);
              EXPECT_TRUE(is_dense(dict));
              EXPECT_EQ(find(dict, 0), -1);
              const std::vector<std::int64_t> keys = keys_of(100, [](auto i) { return i * 10'000; });
              check(worker, dict, keys, Kind::kDense);
              EXPECT_EQ(weld_rt_dict_reserve(worker, &dict, 100'000), ErrorCode::kSuccess);
              EXPECT_GE(dict.entry_capacity, 100'000);
              Dict& copy = *weld_rt_dict_copy(worker, &dict);
              expect_same(copy, keys);
              EXPECT_EQ(merge(worker, copy, -5), ErrorCode::kSuccess);
              EXPECT_EQ(copy.num_entries, 101);
              expect_same(dict, keys);
              EXPECT_EQ(make_hashed(worker, dict), ErrorCode::kSuccess);
              expect_same(dict, keys);
              return ErrorCode::kSuccess;
            }),
            ErrorCode::kSuccess);
}

TEST_F(DenseTableTest, AllKeysOfATypeHavePlaces) {
  EXPECT_EQ(run([](Worker* worker, std::byte*) {
              EXPECT_EQ(new_dict(worker, key_field(0, 1, true))->num_places, 256);
              EXPECT_EQ(new_dict(worker, key_field(0, 1, false))->fields[0].base, 0);
              EXPECT_FALSE(is_dense(*new_dict(worker, key_field(0, 2, false))));
              EXPECT_FALSE(is_dense(*new_dict(worker, 0)));
              return ErrorCode::kSuccess;
            }),
            ErrorCode::kSuccess);
}

TEST_F(DenseTableTest, FieldsArePacked) {
  struct Pair {
    std::int32_t day;
    std::int8_t kind;
  };
  EXPECT_EQ(run([](Worker* worker, std::byte*) {
              Dict& dict = *weld_rt_dict_new(worker, 8, 0);
              EXPECT_EQ(weld_rt_dict_shape(worker, &dict,
                                           key_field(0, 4, true) | key_field(4, 1, true) << kKeyFieldBits),
                        ErrorCode::kSuccess);
              for (std::int32_t i = 0; i < 8; ++i) {
                const Pair key{10'000 + i * 9, static_cast<std::int8_t>(i % 3 - 1)};
                std::memcpy(dict.entries + 8 * dict.num_entries++, &key, sizeof key);
              }
              DenseRange range;
              EXPECT_TRUE(find_range(dict, 16, range));
              EXPECT_GE(range.num_places, 64u * 3);
              EXPECT_EQ(range.fields[1].stride, 1);
              EXPECT_EQ(range.fields[0].stride, range.fields[1].span);
              EXPECT_EQ(make_dense(worker, dict, range), ErrorCode::kSuccess);
              const auto* table = reinterpret_cast<const std::uint32_t*>(dict.slots);
              for (std::int32_t i = 0; i < 8; ++i) {
                const auto day = static_cast<std::uint64_t>(10'000 + i * 9) - dict.fields[0].base;
                const auto kind = static_cast<std::uint64_t>(std::int64_t{i % 3 - 1}) - dict.fields[1].base;
                EXPECT_EQ(table[day * dict.fields[0].stride + kind * dict.fields[1].stride], i + 1);
              }
              return ErrorCode::kSuccess;
            }),
            ErrorCode::kSuccess);
}

ErrorCode fold_counts(Worker*, const std::byte* const* into, const std::byte* const* from,
                      std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    auto* entry = const_cast<Entry*>(reinterpret_cast<const Entry*>(into[i]));
    entry->count += reinterpret_cast<const Entry*>(from[i])->count;
  }
  return ErrorCode::kSuccess;
}

TEST_F(DenseTableTest, PartsAreCombinedInTheirOrder) {
  for (const int threads : {1, 2, 4}) {
    settings.threads = threads;
    EXPECT_EQ(run([](Worker* worker, std::byte*) {
                Dict* parts[3];
                std::vector<std::int64_t> keys;
                for (std::int64_t p = 0; p < 3; ++p) {
                  parts[p] = new_dict(worker);
                  const auto of_part = keys_of(
                      60'000, [&](auto i) { return i * 7919 % 40'009 - 20'000 * p + (i % 2 == 0 ? p : 0); });
                  check(worker, *parts[p], of_part, Kind::kDense);
                  keys.insert(keys.end(), of_part.begin(), of_part.end());
                }
                const DictMergeOps ops{nullptr, nullptr, fold_counts, 0, 1, 1};
                auto* first = reinterpret_cast<std::byte*>(parts);
                DenseRange range;
                EXPECT_TRUE(combine_densely(first, sizeof(Dict*), 3, range));
                EXPECT_EQ(combine_dense(worker, first, sizeof(Dict*), 3, range, ops), ErrorCode::kSuccess);
                expect_same(*parts[0], keys);
                return ErrorCode::kSuccess;
              }),
              ErrorCode::kSuccess);
  }
}

TEST_F(DenseTableTest, FailuresLeaveThemAsTheyWere) {
  for (std::int64_t failing = 1; failing < 40; ++failing) {
    Context small({.fail_allocation_at = failing});
    const ErrorCode code = runtime::run(small, settings, nothing(), [](Worker* worker, std::byte*) {
                             Dict* dict = weld_rt_dict_new(worker, sizeof(Entry), 0);
                             if (!dict) return ErrorCode::kOutOfMemory;
                             ErrorCode code = weld_rt_dict_shape(worker, dict, kI64Key);
                             std::vector<std::int64_t> keys;
                             for (std::int64_t i = 0; i < 30'000 && code == ErrorCode::kSuccess; ++i) {
                               const std::int64_t key = i % 5'000 == 4'999
                                                            ? i << 20
                                                            : i * 7919 % 10'007 * (i < 100 ? 1'000'003 : 1);
                               code = merge(worker, *dict, key);
                               if (code == ErrorCode::kSuccess) keys.push_back(key);
                             }
                             expect_same(*dict, keys);
                             return code;
                           }).code;
    EXPECT_TRUE(code == ErrorCode::kSuccess || code == ErrorCode::kOutOfMemory);
    EXPECT_EQ(small.bytes_in_use(), 0);
  }
}

}  // namespace
}  // namespace weld::runtime
