#include <algorithm>
#include <set>
#include <string>

#include "run_fixture.h"
#include "runtime/bitcode.h"
#include "runtime/dict.h"
#include "runtime/foreign.h"
#include "runtime/hash.h"
#include "runtime/limits.h"

extern "C" __attribute__((visibility("default"))) int weld_symbols_test_function() {
  return 1;
}

namespace weld::runtime {
namespace {

TEST(Symbols, AreAllInTheBitcode) {
  const std::string_view bitcode(bitcode_module().data(), bitcode_module().size());
  EXPECT_EQ(bitcode.substr(0, 4), "BC\xc0\xde");
  std::set<std::string_view> names;
  for (const RuntimeSymbol& symbol : runtime_symbols()) {
    EXPECT_NE(symbol.address, nullptr);
    EXPECT_TRUE(names.insert(symbol.name).second);
    EXPECT_NE(bitcode.find(symbol.name), std::string_view::npos) << symbol.name;
  }
  EXPECT_NE(bitcode.find("weld_bc_hash_short"), std::string_view::npos);
}

TEST(Foreign, FindsLibrariesAndProcess) {
  EXPECT_EQ(find_foreign_symbol("weld_there_is_no_such_function"), nullptr);
  EXPECT_NE(find_foreign_symbol("malloc"), nullptr);
  const auto missing = load_foreign_library("/no/such/library.so");
  ASSERT_FALSE(missing.has_value());
  EXPECT_NE(missing.error().find("/no/such/library.so"), std::string::npos);
  EXPECT_TRUE(load_foreign_library("libm.so.6").has_value());
  EXPECT_TRUE(load_foreign_library("libm.so.6").has_value());
  EXPECT_NE(find_foreign_symbol("cbrt"), nullptr);
}

TEST(Hashes, AreWellMixed) {
  // Of sequential keys, and of keys that differ in upper bits: each bit that slots keep is set about half of
  // the time.
  const auto check = [](auto key_of) {
    int counts[32] = {};
    for (int i = 0; i < 4096; ++i) {
      const std::uint64_t hash = hash_word(key_of(i), 0, 0x9e3779b97f4a7c15ull) >> 32;
      for (int bit = 0; bit < 32; ++bit) counts[bit] += static_cast<int>(hash >> bit & 1);
    }
    for (const int count : counts) EXPECT_NEAR(count, 2048, 200);
  };
  check([](int i) { return static_cast<std::uint64_t>(i); });
  check([](int i) { return static_cast<std::uint64_t>(i) << 52; });
  check([](int i) { return static_cast<std::uint64_t>(i) << 20; });
  std::set<std::uint64_t> used;
  for (std::uint64_t i = 0; i < 4096; ++i) used.insert(slot_hash(hash_word(i, 0, process_hash_seed())));
  EXPECT_GT(used.size(), 4080u);
  // Of strings: equal beginnings, ends and lengths are told apart.
  std::set<std::uint64_t> of_strings;
  std::uint8_t bytes[16] = {};
  for (std::int64_t length = 0; length <= kShortBytes; ++length) {
    for (std::int64_t i = 0; i < length; ++i) {
      bytes[i] = 1;
      of_strings.insert(hash_short(bytes, length, 0, process_hash_seed()));
      bytes[i] = 0;
    }
    of_strings.insert(hash_short(bytes, length, 0, process_hash_seed()));
  }
  EXPECT_EQ(of_strings.size(), 17u * 18 / 2);
  const auto* text = reinterpret_cast<const std::byte*>("weld");
  EXPECT_EQ(weld_rt_hash_bytes(text, 4, 1), weld_rt_hash_bytes(text, 4, 1));
  EXPECT_NE(weld_rt_hash_bytes(text, 4, 1), weld_rt_hash_bytes(text, 4, 2));
  EXPECT_NE(weld_rt_hash_bytes(text, 4, 1), weld_rt_hash_bytes(text, 3, 1));
}

TEST(Limits, AreSensible) {
  EXPECT_GT(default_memory_limit(), 100 << 20);
  EXPECT_GE(default_threads(), 1);
  EXPECT_LE(default_threads(), 4096);
}

}  // namespace
}  // namespace weld::runtime
