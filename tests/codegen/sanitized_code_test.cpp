#include <chrono>
#include <cstdlib>
#include <thread>

#include "codegen/sanitize.h"
#include "tests/codegen/engine_fixture.h"

// Builds with a sanitizer must see what generated code does: a check that sees nothing would pass all tests.

namespace weld::codegen {
namespace {

constexpr std::string_view kSum = "|v: vec[i64]| result(for(v, merger[i64,+], |b, i, x| merge(b, x * 3L)))";

TEST(SanitizedCode, ReadingPastTheHostsMemoryIsSeen) {
  if (host_sanitizer() != Sanitizer::kAddress) GTEST_SKIP() << "not built with -fsanitize=address";
  const auto program = compile(kSum, {.simd_width_bits = 1});
  const std::vector<std::int64_t> v(1000, 1);
  I64Vector args(v);
  args.length = 1001;
  EXPECT_DEATH(static_cast<void>(program->run(make_context(), &args, {})), "heap-buffer-overflow");
}

TEST(SanitizedCode, RacesWithTheHostAreSeen) {
  if (host_sanitizer() != Sanitizer::kThread) GTEST_SKIP() << "not built with -fsanitize=thread";
  const auto race = [] {
    const auto program = compile(kSum, {.simd_width_bits = 1});
    std::vector<std::int64_t> v = counting(1000);
    const I64Vector args(v);
    std::thread writer([&] { v[5] = 7; });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    static_cast<void>(program->run(make_context(), &args, {}));
    writer.join();
    std::exit(0);  // with another code after a report
  };
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(race(), "data race");
}

}  // namespace
}  // namespace weld::codegen
