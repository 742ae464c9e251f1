#include <cstring>
#include <map>
#include <random>

#include "run_fixture.h"
#include "runtime/dict.h"
#include "runtime/hash.h"

namespace weld::runtime {
namespace {

using BuildersTest = RunTest;

// Finds or adds a key, as generated code does; null when growth fails.
std::byte* find_or_add(Worker* worker, Dict& dict, std::int64_t key, ErrorCode& code,
                       std::uint32_t* index = nullptr) {
  const std::uint32_t hash = slot_hash(hash_word(static_cast<std::uint64_t>(key), 0, dict.seed));
  for (std::uint64_t slot = first_slot(dict, hash);; slot = (slot + 1) & dict.slot_mask) {
    const std::uint64_t filled = dict.slots[slot];
    if (filled == 0) break;
    const auto entry = static_cast<std::uint32_t>(filled) - 1;
    std::byte* found = dict.entries + entry * dict.entry_bytes;
    if (filled >> 32 == hash && *reinterpret_cast<std::int64_t*>(found) == key) {
      if (index) *index = entry;
      return found;
    }
  }
  if (dict.num_entries == dict.entry_capacity) {
    code = weld_rt_dict_grow(worker, &dict);
    if (code != ErrorCode::kSuccess) return nullptr;
  }
  std::uint64_t slot = first_slot(dict, hash);
  while (dict.slots[slot] != 0) slot = (slot + 1) & dict.slot_mask;
  const auto entry = static_cast<std::uint32_t>(dict.num_entries++);
  dict.slots[slot] = std::uint64_t{hash} << 32 | (entry + 1);
  std::byte* added = dict.entries + entry * dict.entry_bytes;
  std::memset(added, 0, static_cast<std::size_t>(dict.entry_bytes));
  std::memcpy(added, &key, 8);
  if (index) *index = entry;
  return added;
}

ErrorCode count_keys(Worker* worker, Dict& dict, std::int64_t num_keys, std::int64_t num_merges) {
  ErrorCode code = ErrorCode::kSuccess;
  for (std::int64_t i = 0; i < num_merges; ++i) {
    std::byte* entry = find_or_add(worker, dict, i * 7919 % num_keys, code);
    if (!entry) return code;
    ++*reinterpret_cast<std::int64_t*>(entry + 8);
  }
  return ErrorCode::kSuccess;
}

TEST_F(BuildersTest, DictionariesGrowAndKeepTheirOrder) {
  const RunResult result = run(layout(arena.dict(i64(), i64())), [&](Worker* worker, std::byte* out) {
    Dict* dict = weld_rt_dict_new(worker, 16, 0);
    *reinterpret_cast<Dict**>(out) = dict;
    return count_keys(worker, *dict, 100'003, 300'000);
  });
  ASSERT_EQ(result.code, ErrorCode::kSuccess);
  const Dict& dict = **reinterpret_cast<Dict* const*>(result.data);
  ASSERT_EQ(dict.num_entries, 100'003);
  EXPECT_LE(dict.num_entries, dict.entry_capacity);
  EXPECT_LE(dict.entry_capacity * 2, static_cast<std::int64_t>(dict.slot_mask + 1));
  EXPECT_EQ(dict.seed, process_hash_seed());
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < dict.num_entries; ++i) {
    const auto* entry = reinterpret_cast<const std::int64_t*>(dict.entries + i * 16);
    ASSERT_EQ(entry[0], i * 7919 % 100'003);
    total += entry[1];
  }
  EXPECT_EQ(total, 300'000);
}

TEST_F(BuildersTest, DictionariesAreReservedCopiedAndBounded) {
  EXPECT_EQ(run([&](Worker* worker, std::byte*) {
              Dict* dict = weld_rt_dict_new(worker, 16, std::int64_t{1} << 60);
              EXPECT_NE(dict, nullptr);
              EXPECT_LE(dict->entry_capacity, 65'536);
              EXPECT_EQ(count_keys(worker, *dict, 100, 100), ErrorCode::kSuccess);
              Dict* copy = weld_rt_dict_copy(worker, dict);
              EXPECT_EQ(count_keys(worker, *copy, 200, 200), ErrorCode::kSuccess);
              EXPECT_EQ(copy->num_entries, 200);
              EXPECT_EQ(dict->num_entries, 100);
              EXPECT_EQ(weld_rt_dict_reserve(worker, dict, 1'000'000), ErrorCode::kSuccess);
              EXPECT_GE(dict->entry_capacity, 1'000'000);
              ErrorCode code = ErrorCode::kSuccess;
              for (std::int64_t key = 0; key < 100; ++key) find_or_add(worker, *dict, key, code);
              EXPECT_EQ(dict->num_entries, 100);
              EXPECT_EQ(weld_rt_dict_reserve(worker, dict, kMaxDictEntries + 1), ErrorCode::kBudgetExceeded);
              EXPECT_EQ(weld_rt_dict_reserve(worker, dict, INT64_MAX), ErrorCode::kBudgetExceeded);
              return ErrorCode::kSuccess;
            }),
            ErrorCode::kSuccess);
}

TEST_F(BuildersTest, RehashingCanBeCancelled) {
  CancelToken token;
  settings.cancel = &token;
  EXPECT_EQ(run([&](Worker* worker, std::byte*) {
              Dict* dict = weld_rt_dict_new(worker, 16, 0);
              EXPECT_EQ(weld_rt_dict_reserve(worker, dict, 1 << 20), ErrorCode::kSuccess);
              EXPECT_EQ(count_keys(worker, *dict, 1000, 1000), ErrorCode::kSuccess);
              token.cancel();
              EXPECT_EQ(weld_rt_dict_grow(worker, dict), ErrorCode::kCancelled);
              EXPECT_EQ(count_keys(worker, *dict, 1000, 1000), ErrorCode::kSuccess);
              EXPECT_EQ(dict->num_entries, 1000);
              return weld_rt_poll(worker);
            }),
            ErrorCode::kCancelled);
}

template <class V>
ErrorCode group(Worker* worker, GroupBuilder& builder, std::int64_t num_keys, std::int64_t begin,
                std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    ErrorCode code = ErrorCode::kSuccess;
    std::uint32_t id;
    std::byte* entry = find_or_add(worker, builder.keys, i * i % num_keys, code, &id);
    if (!entry) return code;
    if (builder.num_values == builder.value_capacity) {
      code = weld_rt_group_grow(worker, &builder);
      if (code != ErrorCode::kSuccess) return code;
    }
    ++reinterpret_cast<VecView*>(entry + builder.vector_offset)->length;
    builder.ids[builder.num_values] = id;
    reinterpret_cast<V*>(builder.values)[builder.num_values++] = static_cast<V>(i);
  }
  return ErrorCode::kSuccess;
}

template <class V>
void check_groups(const Dict& dict, std::int64_t num_keys, std::int64_t n) {
  std::map<std::int64_t, std::vector<V>> expected;
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < n; ++i) {
    std::vector<V>& values = expected[i * i % num_keys];
    if (values.empty()) order.push_back(i * i % num_keys);
    values.push_back(static_cast<V>(i));
  }
  ASSERT_EQ(dict.num_entries, static_cast<std::int64_t>(order.size()));
  for (std::int64_t i = 0; i < dict.num_entries; ++i) {
    const std::byte* entry = dict.entries + i * dict.entry_bytes;
    ASSERT_EQ(*reinterpret_cast<const std::int64_t*>(entry), order[static_cast<std::size_t>(i)]);
    const auto& vec = *reinterpret_cast<const VecView*>(entry + 8);
    const std::vector<V>& values = expected[order[static_cast<std::size_t>(i)]];
    ASSERT_EQ(vec.length, static_cast<std::int64_t>(values.size()));
    ASSERT_EQ(std::memcmp(vec.data, values.data(), values.size() * sizeof(V)), 0);
  }
}

TEST_F(BuildersTest, GroupsKeepTheirValuesInOrder) {
  for (const int threads : {1, 3}) {
    for (const std::int64_t n : {0, 1, 1000, 400'000}) {
      settings.threads = threads;
      settings.executor = ExecutorKind::kThreads;
      const RunResult result =
          run(layout(arena.dict(i64(), arena.vec(i64()))), [&](Worker* worker, std::byte* out) {
            GroupBuilder* builder = weld_rt_group_new(worker, 24, 8, 8, 0);
            const ErrorCode code = group<std::int64_t>(worker, *builder, 1009, 0, n);
            if (code != ErrorCode::kSuccess) return code;
            return weld_rt_group_result(worker, builder, reinterpret_cast<Dict**>(out));
          });
      ASSERT_EQ(result.code, ErrorCode::kSuccess);
      check_groups<std::int64_t>(**reinterpret_cast<Dict* const*>(result.data), 1009, n);
    }
  }
}

// What generated code does with the keys of a partial: 24-byte entries, i64 keys.
ErrorCode find_keys(Worker* worker, void* captures, std::int64_t begin, std::int64_t end, void* insert) {
  const auto& keys = *static_cast<const GroupKeys*>(captures);
  for (std::int64_t entry = begin; entry < end; ++entry) {
    const std::int64_t key = *reinterpret_cast<const std::int64_t*>(keys.from->entries + entry * 24);
    if (insert) {
      ErrorCode code = ErrorCode::kSuccess;
      if (keys.id_map[entry] == kNoGroupId) find_or_add(worker, *keys.into, key, code, keys.id_map + entry);
      if (code != ErrorCode::kSuccess) return code;
      continue;
    }
    keys.id_map[entry] = kNoGroupId;
    for (std::int64_t known = 0; known < std::min<std::int64_t>(keys.into->num_entries, 50); ++known) {
      if (*reinterpret_cast<const std::int64_t*>(keys.into->entries + known * 24) == key)
        keys.id_map[entry] = static_cast<std::uint32_t>(known);
    }
  }
  return ErrorCode::kSuccess;
}

ErrorCode insert_keys(Worker* worker, void* captures, std::int64_t begin, std::int64_t end, void*) {
  return find_keys(worker, captures, begin, end, captures);
}

struct Wide {
  std::int64_t words[3];
  explicit Wide(std::int64_t i) : words{i, -i, 7} {}
};

// Parts of [0, n) that are combined in two steps, the second part being combined of two itself; some values
// are merged into the builder before, between and after.
TEST_F(BuildersTest, PartialGroupsCombineInOrder) {
  settings.threads = 2;
  settings.executor = ExecutorKind::kThreads;
  const std::int64_t n = 700'000;
  const ir::Type wide = arena.structure({i64(), i64(), i64()});
  const RunResult result =
      run(layout(arena.dict(i64(), arena.vec(wide))), [&](Worker* worker, std::byte* out) {
        const auto make = [&] { return weld_rt_group_new(worker, 24, 8, sizeof(Wide), 10); };
        const auto combine = [&](GroupBuilder* into, const std::vector<GroupBuilder*>& partials) {
          return weld_rt_group_combine(worker, into, partials.data(), sizeof partials[0],
                                       static_cast<std::int64_t>(partials.size()), find_keys, insert_keys);
        };
        GroupBuilder* builder = make();
        std::vector<GroupBuilder*> parts{make(), make(), make(), make(), make()};
        const std::int64_t ends[] = {0, n / 10, n / 5, n / 2, n / 2 + 100, n};
        for (std::size_t i = 0; i < parts.size(); ++i)
          EXPECT_EQ(group<Wide>(worker, *parts[i], 10'007, ends[i], ends[i + 1]), ErrorCode::kSuccess);
        EXPECT_EQ(combine(parts[2], {make(), parts[3]}), ErrorCode::kSuccess);
        EXPECT_EQ(combine(builder, {parts[0], parts[1], parts[2]}), ErrorCode::kSuccess);
        EXPECT_EQ(combine(builder, {make(), parts[4]}), ErrorCode::kSuccess);
        EXPECT_EQ(group<Wide>(worker, *builder, 10'007, n, n + 1000), ErrorCode::kSuccess);
        return weld_rt_group_result(worker, builder, reinterpret_cast<Dict**>(out));
      });
  ASSERT_EQ(result.code, ErrorCode::kSuccess);
  check_groups<Wide>(**reinterpret_cast<Dict* const*>(result.data), 10'007, n + 1000);
}

// Values that are made a second time: the log has only the entries, 4 bytes a value, beside the result.
TEST_F(BuildersTest, GroupsWithoutLoggedValuesStaySmall) {
  constexpr std::int64_t kValues = 2'000'000;
  constexpr std::int64_t kKeys = 1009;
  const auto place = [](Worker* worker, void*, std::int64_t begin, std::int64_t end, void* partial) {
    GroupPlacer& placer = **static_cast<GroupPlacer**>(partial);
    for (std::int64_t i = begin; i < end; ++i) {
      if (placer.position == placer.num_values) {
        const ErrorCode code = weld_rt_group_next_ids(worker, &placer);
        if (code != ErrorCode::kSuccess) return code;
      }
      std::byte*& cursor = placer.cursors[placer.ids[placer.position++]];
      std::memcpy(cursor, &i, sizeof i);
      cursor += sizeof i;
    }
    return ErrorCode::kSuccess;
  };
  for (const std::int64_t more : {0, 1}) {
    context.trim();
    context.reset_peak();
    const RunResult result =
        run(layout(arena.dict(i64(), arena.vec(i64()))), [&](Worker* worker, std::byte* out) {
          GroupBuilder* builder = weld_rt_group_new(worker, 24, 8, 8, 0);
          builder->logged_bytes = 0;
          builder->own.end = kValues + more;
          for (std::int64_t i = 0; i < kValues; ++i) {
            ErrorCode code = ErrorCode::kSuccess;
            std::uint32_t id;
            std::byte* entry = find_or_add(worker, builder->keys, i * i % kKeys, code, &id);
            if (builder->num_values == builder->value_capacity) code = weld_rt_group_grow(worker, builder);
            if (!entry || code != ErrorCode::kSuccess) return code;
            ++reinterpret_cast<VecView*>(entry + 8)->length;
            builder->ids[builder->num_values++] = id;
          }
          return weld_rt_group_place(worker, builder, place, nullptr, reinterpret_cast<Dict**>(out));
        });
    if (more > 0) {
      EXPECT_EQ(result.code, ErrorCode::kUnknown);
      EXPECT_EQ(context.bytes_in_use(), 0);
      continue;
    }
    ASSERT_EQ(result.code, ErrorCode::kSuccess);
    check_groups<std::int64_t>(**reinterpret_cast<Dict* const*>(result.data), kKeys, kValues);
    EXPECT_LE(result.statistics.peak_bytes, kValues * 12 + (4 << 20));
  }
}

TEST_F(BuildersTest, HintsAndOverflowsOfAppenders) {
  EXPECT_EQ(run([&](Worker* worker, std::byte*) {
              AppenderState appender;
              EXPECT_EQ(weld_rt_appender_new(worker, &appender, 8, INT64_MAX), ErrorCode::kSuccess);
              EXPECT_LE(appender.capacity, 1 << 17);
              EXPECT_EQ(weld_rt_appender_grow(worker, &appender, 8, INT64_MAX), ErrorCode::kOutOfMemory);
              EXPECT_EQ(weld_rt_appender_new(worker, &appender, 8, -5), ErrorCode::kSuccess);
              EXPECT_EQ(appender.capacity, 8);
              EXPECT_EQ(append<std::int64_t>(worker, appender, 1), ErrorCode::kSuccess);
              EXPECT_EQ(weld_rt_appender_grow(worker, &appender, 8, INT64_MAX), ErrorCode::kOutOfMemory);
              EXPECT_EQ(weld_rt_appender_new(worker, &appender, 0, 10), ErrorCode::kSuccess);
              appender.length = appender.capacity;
              EXPECT_EQ(weld_rt_appender_grow(worker, &appender, 0, 1), ErrorCode::kSuccess);
              EXPECT_GT(appender.capacity, appender.length);
              return ErrorCode::kSuccess;
            }),
            ErrorCode::kSuccess);
}

TEST_F(BuildersTest, LargeAppendersAreJoinedInParallel) {
  settings.threads = 2;
  settings.executor = ExecutorKind::kThreads;
  const RunResult result = run(layout(arena.vec(i64())), [&](Worker* worker, std::byte* out) {
    constexpr std::int64_t kPartials = 7;
    std::vector<AppenderState> partials(kPartials);
    std::vector<Scope> scopes(kPartials);
    AppenderState into;
    EXPECT_EQ(weld_rt_appender_new(worker, &into, 8, 0), ErrorCode::kSuccess);
    std::int64_t next = 0;
    for (; next < 5; ++next) EXPECT_EQ(append(worker, into, next), ErrorCode::kSuccess);
    for (std::size_t i = 0; i < kPartials; ++i) {
      Scope* const scope = worker->scope;
      weld_rt_scope_begin(worker, &scopes[i]);
      EXPECT_EQ(weld_rt_appender_new(worker, &partials[i], 8, 0), ErrorCode::kSuccess);
      for (std::size_t j = 0; j < i * 50'000; ++j, ++next)
        EXPECT_EQ(append(worker, partials[i], next), ErrorCode::kSuccess);
      worker->scope = scope;
    }
    EXPECT_EQ(weld_rt_appender_concat(worker, &into, partials.data(), 24, kPartials, 8), ErrorCode::kSuccess);
    for (std::size_t i = 0; i < kPartials; ++i) {
      EXPECT_TRUE(scopes[i].empty());
      EXPECT_EQ(partials[i].length, 0);
    }
    *reinterpret_cast<VecView*>(out) = {into.data, into.length};
    return ErrorCode::kSuccess;
  });
  const auto& vec = *reinterpret_cast<const VecView*>(result.data);
  ASSERT_EQ(vec.length, 21 * 50'000 + 5);
  for (std::int64_t i = 0; i < vec.length; ++i)
    ASSERT_EQ(reinterpret_cast<const std::int64_t*>(vec.data)[i], i);
}

TEST_F(BuildersTest, EveryAllocationMayFail) {
  const ir::Type type =
      arena.structure({arena.dict(i64(), i64()), arena.dict(i64(), arena.vec(i64())), arena.vec(i64())});
  fail_every_allocation([&](Context& failing) {
    return runtime::run(failing, settings, layout(type),
                        [&](Worker* worker, std::byte* out) {
                          Dict* dict = weld_rt_dict_new(worker, 16, 0);
                          if (!dict) return ErrorCode::kOutOfMemory;
                          ErrorCode code = count_keys(worker, *dict, 40, 100);
                          if (code != ErrorCode::kSuccess) return code;
                          dict = weld_rt_dict_copy(worker, dict);
                          if (!dict) return ErrorCode::kOutOfMemory;
                          *reinterpret_cast<Dict**>(out) = dict;
                          GroupBuilder* builder = weld_rt_group_new(worker, 24, 8, 8, 0);
                          if (!builder) return ErrorCode::kOutOfMemory;
                          code = group<std::int64_t>(worker, *builder, 40, 0, 100);
                          if (code == ErrorCode::kSuccess)
                            code = weld_rt_group_result(worker, builder, reinterpret_cast<Dict**>(out + 8));
                          if (code != ErrorCode::kSuccess) return code;
                          const std::vector<std::int64_t> data(100, 5);
                          return weld_rt_copy_vector(worker, reinterpret_cast<const std::byte*>(data.data()),
                                                     100, 8, reinterpret_cast<VecView*>(out + 16));
                        })
        .code;
  });
}

}  // namespace
}  // namespace weld::runtime
