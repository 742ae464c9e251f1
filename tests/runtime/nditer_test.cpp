#include <limits>

#include "run_fixture.h"

namespace weld::runtime {
namespace {

ErrorCode check(std::int64_t start, std::int64_t end, std::vector<std::int64_t> shape,
                std::vector<std::int64_t> strides, std::int64_t length, std::int64_t stride = 1) {
  return weld_rt_check_nditer(start, end, stride, shape.data(), static_cast<std::int64_t>(shape.size()),
                              strides.data(), static_cast<std::int64_t>(strides.size()), length);
}

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();

TEST(NdIter, WalksThatStayInside) {
  EXPECT_EQ(check(0, 6, {2, 3}, {3, 1}, 6), ErrorCode::kSuccess);
  EXPECT_EQ(check(5, 11, {2, 3}, {-3, -1}, 6), ErrorCode::kSuccess);
  EXPECT_EQ(check(0, 0, {2, 0}, {kMax, kMin}, 0), ErrorCode::kSuccess);
  EXPECT_EQ(check(3, 4, {}, {}, 4), ErrorCode::kSuccess);
  EXPECT_EQ(check(1, 7, {2, 3}, {0, 0}, 2), ErrorCode::kSuccess);
}

TEST(NdIter, WalksThatLeave) {
  EXPECT_EQ(check(0, 6, {2, 3}, {3, 1}, 5), ErrorCode::kArrayOutOfBounds);
  EXPECT_EQ(check(-1, 5, {2, 3}, {3, 1}, 6), ErrorCode::kArrayOutOfBounds);
  EXPECT_EQ(check(4, 10, {2, 3}, {-3, -1}, 6), ErrorCode::kArrayOutOfBounds);
  EXPECT_EQ(check(0, 4, {2, 2}, {kMax, kMin}, 100), ErrorCode::kArrayOutOfBounds);
}

TEST(NdIter, CountsThatDoNotFit) {
  EXPECT_EQ(check(0, 5, {2, 3}, {3, 1}, 6), ErrorCode::kBadIteratorLength);
  EXPECT_EQ(check(0, 6, {2, 3}, {3, 1}, 6, 2), ErrorCode::kBadIteratorLength);
  EXPECT_EQ(check(0, 6, {2, 3}, {3}, 6), ErrorCode::kBadIteratorLength);
  EXPECT_EQ(check(6, 0, {2, 3}, {3, 1}, 6), ErrorCode::kBadIteratorLength);
  EXPECT_EQ(check(0, 6, {-2, -3}, {3, 1}, 6), ErrorCode::kBadIteratorLength);
  EXPECT_EQ(check(kMin, kMax, {1}, {1}, 6), ErrorCode::kBadIteratorLength);
  EXPECT_EQ(check(0, 0, {std::int64_t{1} << 32, std::int64_t{1} << 32}, {1, 1}, 6),
            ErrorCode::kBadIteratorLength);
}

using FailureTest = RunTest;

TEST_F(FailureTest, TheFirstPlaceCountsAndAnUnknownOneIsFilledIn) {
  RunResult result = run(nothing(), [](Worker* worker, std::byte*) {
    EXPECT_EQ(weld_rt_foreign_failure(worker), ErrorCode::kSuccess);
    weld_rt_fail(worker, ErrorCode::kAssertionError, kNoSpan);
    EXPECT_EQ(weld_rt_foreign_failure(worker), ErrorCode::kAssertionError);
    weld_rt_fail(worker, ErrorCode::kAssertionError, 4);
    return weld_rt_fail(worker, ErrorCode::kAssertionError, 5);
  });
  EXPECT_EQ(result.span, 4u);
  result = run(nothing(), [](Worker* worker, std::byte*) {
    weld_rt_fail(worker, ErrorCode::kAssertionError, 4);
    weld_rt_forget_failure(worker);
    return weld_rt_fail(worker, ErrorCode::kKeyNotFoundError, 6);
  });
  EXPECT_EQ(result.span, 6u);
}

}  // namespace
}  // namespace weld::runtime
