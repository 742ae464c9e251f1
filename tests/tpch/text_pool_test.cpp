#include "bench/tpch/text_pool.h"

#include <gtest/gtest.h>

#include "bench/tpch/morsels.h"
#include "tests/tpch/checksums.h"

namespace weld::bench::tpch {
namespace {

std::string md5_of(std::string_view bytes) {
  Md5 md5;
  md5.add(bytes);
  return md5.hex();
}

TEST(TextPool, EqualsTheOfficialText) {
  const TextPool& pool = TextPool::shared(default_num_threads());
  EXPECT_EQ(pool.slice(0, 64), "furiously special foxes haggle furiously blithely ironic deposit");
  EXPECT_EQ(md5_of(pool.slice(0, 1'000)), "31cf855313b5c05ae64a8bf17a64dcb6");
  EXPECT_EQ(md5_of(pool.slice(0, 1'000'000)), "209d5bbb257a9e0afb52822826561b59");
  EXPECT_EQ(md5_of(pool.slice(0, TextPool::kNumBytes)), "0f85e3af02482a7035e80b448c795a4c");
  constexpr std::string_view kEnd = "ruthlessly bold excuses are carefully against the busy, express s";
  EXPECT_EQ(pool.slice(TextPool::kNumBytes - std::ssize(kEnd), std::ssize(kEnd)), kEnd);
}

TEST(TextPool, DoesNotDependOnThreads) {
  const TextPool alone(1);
  const TextPool& shared = TextPool::shared(default_num_threads());
  EXPECT_TRUE(alone.slice(0, TextPool::kNumBytes) == shared.slice(0, TextPool::kNumBytes));
}

}  // namespace
}  // namespace weld::bench::tpch
