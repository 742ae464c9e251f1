#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "runtime/dict.h"
#include "runtime/hash.h"
#include "tests/codegen/engine_fixture.h"

namespace weld::codegen {
namespace {

// A dictmerger's result does not depend on how it was made: as one table, in parts that are emptied into
// records, or as records alone, by any number of threads. The interpreter says what it is, to the bit and in
// order.

constexpr std::int64_t kRows = 160'000;

// x with x * factor = 1, for odd factors.
std::uint64_t inverse(std::uint64_t factor) {
  std::uint64_t x = factor;
  for (int i = 0; i < 6; ++i) x *= 2 - factor * x;
  return x;
}

// The key whose hash (runtime/hash.h: hash_word) is that one, in this process.
std::int64_t key_of_hash(std::uint64_t hash) {
  std::uint64_t product = hash * inverse(runtime::kHashMultiplier);
  product ^= product >> 32;
  return static_cast<std::int64_t>(product * inverse(runtime::process_hash_seed()));
}

TEST(DictStrategies, KeysOfHashesAreFound) {
  for (const std::uint64_t hash : {1ull, 0x123456789abcdefull, ~0ull}) {
    const auto key = static_cast<std::uint64_t>(key_of_hash(hash));
    EXPECT_EQ(runtime::hash_word(key, 0, runtime::process_hash_seed()), hash);
  }
}

struct Distribution {
  const char* name;
  std::int64_t (*key)(std::int64_t row, std::mt19937_64& random);
};

const Distribution kDistributions[] = {
    {"one_key", [](std::int64_t, std::mt19937_64&) { return std::int64_t{7}; }},
    {"few_keys",
     [](std::int64_t, std::mt19937_64& random) { return static_cast<std::int64_t>(random() % 10); }},
    {"many_keys",
     [](std::int64_t, std::mt19937_64& random) { return static_cast<std::int64_t>(random() % 100'000) * 8; }},
    {"all_distinct", [](std::int64_t row, std::mt19937_64&) { return row * 0x10001 - 77; }},
    {"sorted", [](std::int64_t row, std::mt19937_64&) { return row / 3; }},
    {"skewed",
     [](std::int64_t, std::mt19937_64& random) {
       const double uniform = static_cast<double>(random() >> 11) * 0x1p-53;
       return static_cast<std::int64_t>(std::pow(uniform + 1e-9, -1.0));
     }},
    {"first_few_then_many",
     [](std::int64_t row, std::mt19937_64& random) {
       return static_cast<std::int64_t>(random() % (row < 100'000 ? 100 : 200'000));
     }},
    {"equal_hashes",
     [](std::int64_t, std::mt19937_64& random) {
       return key_of_hash(std::uint64_t{0xabcdef01} << 32 | random() % 100);
     }},
    {"close_hashes",
     [](std::int64_t, std::mt19937_64& random) {
       return key_of_hash(std::uint64_t{0xfff} << 52 | (random() % 1'000) << 38);
     }},
};

struct Case {
  const char* name;
  const char* program;
};

// Parameters: keys, values of 0 to 999, and the same as floats whose sums depend on the order.
#define PARAMETERS "|k: vec[i64], v: vec[i64], f: vec[f64]| "
const Case kCases[] = {
    {"sum", PARAMETERS "serialize(tovec(result(@(ranges:4)for(zip(k, v), dictmerger[i64,i64,+], |b, i, e| "
                       "merge(b, {e.$0, e.$1})))))"},
    {"sum_in_many_ranges",
     PARAMETERS "serialize(tovec(result(for(zip(k, v), dictmerger[i64,i64,+], |b, i, e| "
                "merge(b, {e.$0, e.$1})))))"},
    {"local",
     PARAMETERS "serialize(tovec(result(@(ranges:4)for(zip(k, v), @(impl:local)dictmerger[i64,i64,+], "
                "|b, i, e| merge(b, {e.$0, e.$1})))))"},
    {"global", PARAMETERS "serialize(tovec(result(for(zip(k, v), @(impl:global)dictmerger[i64,i64,+], "
                          "|b, i, e| merge(b, {e.$0, e.$1})))))"},
    {"partitioned",
     PARAMETERS "serialize(tovec(result(for(zip(k, v), @(impl:partitioned)dictmerger[i64,i64,+], "
                "|b, i, e| merge(b, {e.$0, e.$1})))))"},
    {"partitioned_strings",
     PARAMETERS "serialize(tovec(result(for(zip(k, v), @(impl:partitioned)dictmerger[vec[u8],i64,+], "
                "|b, i, e| merge(b, {serialize(e.$0), e.$1})))))"},
    {"filtered", PARAMETERS "serialize(tovec(result(@(ranges:3)for(zip(k, v), dictmerger[i64,{i64,i64},max], "
                            "|b, i, e| if(e.$1 < 700L, merge(b, {e.$0, {e.$1, -i}}), b)))))"},
    {"float_sum", PARAMETERS "serialize(tovec(result(for(zip(k, f), dictmerger[i64,f64,+], |b, i, e| "
                             "merge(b, {e.$0, e.$1})))))"},
    {"float_sums_and_counts",
     PARAMETERS "serialize(tovec(result(for(zip(k, f), dictmerger[i64,{f64,f64},+], |b, i, e| "
                "merge(b, {e.$0, {e.$1, 1.0}})))))"},
    {"float_sum_in_few_ranges",
     PARAMETERS "serialize(tovec(result(@(ranges:5)for(zip(k, f), dictmerger[i64,f64,+], |b, i, e| "
                "if(e.$1 < 200.0, merge(b, {e.$0, e.$1}), b)))))"},
    {"held",
     PARAMETERS "let first = for(zip(k, f), dictmerger[i64,f64,+], |b, i, e| merge(b, {e.$0, e.$1 * 0.3}));"
                "serialize(tovec(result(for(zip(k, f), first, |b, i, e| merge(b, {e.$0 / 2L, e.$1})))))"},
    {"small_keys", PARAMETERS "serialize(tovec(result(@(ranges:4)for(zip(k, v), dictmerger[{i8,i32},i64,+], "
                              "|b, i, e| merge(b, {{i8(e.$0), i32(e.$0)}, e.$1})))))"},
    {"wide_keys",
     PARAMETERS "serialize(tovec(result(@(ranges:4)for(zip(k, v), dictmerger[{i64,i64,bool},i64,+], "
                "|b, i, e| merge(b, {{e.$0, e.$0 / 2L, e.$0 > 9L}, e.$1})))))"},
    {"float_keys", PARAMETERS "serialize(tovec(result(@(ranges:4)for(zip(k, v), dictmerger[f64,i64,min], "
                              "|b, i, e| merge(b, {f64(e.$0) * 0.5, e.$1})))))"},
    {"string_keys",
     PARAMETERS "serialize(tovec(result(@(ranges:4)for(zip(k, v), dictmerger[vec[u8],i64,+], |b, i, e| "
                "merge(b, {slice(serialize(e.$0), 0L, 3L + e.$0 % 5L * (e.$0 % 5L) / 4L), e.$1})))))"},
    {"vector_keys_and_float_sums",
     PARAMETERS "serialize(tovec(result(for(zip(k, f), dictmerger[{vec[i64],i64},f64,+], |b, i, e| "
                "merge(b, {{[e.$0, 1L, 2L], e.$0}, e.$1})))))"},
    {"beside_others", PARAMETERS
     "let r = for(zip(k, f), {dictmerger[i64,f64,+], appender[i64], merger[f64,+], dictmerger[i64,i64,+]}, "
     "|b, i, e| {merge(b.$0, {e.$0, e.$1}), if(e.$1 < 10.0, merge(b.$1, i), b.$1), merge(b.$2, e.$1), "
     "merge(b.$3, {e.$0, 1L})});"
     "serialize({tovec(result(r.$0)), result(r.$1), result(r.$2), tovec(result(r.$3))})"},
    {"in_slices",
     PARAMETERS "serialize(tovec(result(for(rangeiter(0L, 700000L, 1L), dictmerger[i64,f64,+], |b, i, x| "
                "if(x % 7L != 3L, merge(b, {lookup(k, x * 3L % len(k)), f64(x) * 0.37}), b)))))"},
    {"order_free",
     PARAMETERS "serialize(sort(tovec(result(for(zip(k, f), @(order:any)dictmerger[i64,f64,+], |b, i, e| "
                "merge(b, {e.$0, e.$1})))), |e| e.$0))"},
    {"only_looked_up",
     PARAMETERS "let d = result(for(zip(k, f), dictmerger[i64,f64,+], |b, i, e| merge(b, {e.$0, e.$1})));"
                "serialize({len(d), result(for(k, appender[f64], |b, i, x| merge(b, lookup(d, x)))),"
                "result(for(k, merger[i64,+], |b, i, x| merge(b, if(keyexists(d, x + 1L), 1L, 0L))))})"},
    {"looked_up", PARAMETERS
     "let d = result(@(ranges:4)for(zip(k, v), dictmerger[i64,i64,+], |b, i, e| merge(b, {e.$0, e.$1})));"
     "serialize({len(d), result(for(k, merger[i64,+], |b, i, x| merge(b, lookup(d, x)))),"
     "result(for(k, merger[i64,+], |b, i, x| merge(b, if(keyexists(d, x + 1L), 1L, 0L))))})"},
};
#undef PARAMETERS

struct Arguments {
  I64Vector keys;
  I64Vector values;
  const double* floats;
  std::int64_t num_floats;
};

struct Rows {
  std::vector<std::int64_t> keys;
  std::vector<std::int64_t> values;
  std::vector<double> floats;

  explicit Rows(const Distribution& distribution) {
    std::mt19937_64 random(5);
    for (std::int64_t row = 0; row < kRows; ++row) {
      keys.push_back(distribution.key(row, random));
      values.push_back(static_cast<std::int64_t>(random() % 1000));
      floats.push_back(static_cast<double>(values.back()) * 0.37);
    }
  }
  Arguments arguments() const { return {I64Vector(keys), I64Vector(values), floats.data(), kRows}; }
};

std::vector<std::byte> bytes_of(const std::expected<Result, ir::Diagnostic>& result) {
  if (!result) {
    ADD_FAILURE() << result.error().render();
    return {};
  }
  const auto& view = *static_cast<const runtime::VecView*>(result->data());
  return {view.data, view.data + view.length};
}

class DictStrategies : public testing::TestWithParam<Distribution> {};

TEST_P(DictStrategies, AgreeWithTheInterpreter) {
  const Rows rows(GetParam());
  const Arguments arguments = rows.arguments();
  for (const Case& each : kCases) {
    SCOPED_TRACE(each.name);
    CompileOptions interpreted;
    interpreted.interpret = true;
    const auto oracle = make_context();
    const std::vector<std::byte> expected =
        bytes_of(compile(each.program, interpreted)->run(oracle, &arguments, {}));
    const auto program = compile(each.program);
    for (const int threads : {1, 2, 4, 8}) {
      for (const auto executor : {runtime::ExecutorKind::kThreads, runtime::ExecutorKind::kTbb}) {
        const auto context = make_context();
        const auto result = program->run(context, &arguments, {.num_threads = threads, .executor = executor});
        EXPECT_TRUE(bytes_of(result) == expected) << threads << " threads";
      }
    }
    using enum runtime::DictForced;
    for (const runtime::DictForced forced : {kLocal, kGlobal, kPartitioned}) {
      const auto context = make_context();
      const auto result = program->run(context, &arguments, {.num_threads = 2, .dictmerger = forced});
      EXPECT_TRUE(bytes_of(result) == expected) << "forced " << static_cast<int>(forced);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Keys, DictStrategies, testing::ValuesIn(kDistributions),
                         [](const auto& info) { return info.param.name; });

// An allocation that fails leaves nothing behind, wherever it is.
TEST(DictStrategies, FailingAllocationsAreClean) {
  const Rows rows(kDistributions[3]);
  const Arguments arguments = rows.arguments();
  for (const char* name : {"sum", "float_sum", "string_keys"}) {
    const auto* each =
        std::ranges::find_if(kCases, [&](const Case& c) { return !std::strcmp(c.name, name); });
    const auto program = compile(each->program);
    std::int64_t at = 1;
    for (bool failed = true; failed; at += 1 + at / 4) {
      const auto context = make_context({.fail_allocation_at = at});
      const auto result = program->run(context, &arguments, {.num_threads = 2});
      failed = !result;
      if (failed) {
        EXPECT_EQ(result.error().code, ErrorCode::kOutOfMemory);
        EXPECT_EQ(context->bytes_in_use(), 0);
      }
    }
    EXPECT_GT(at, 10);
  }
}

}  // namespace
}  // namespace weld::codegen
