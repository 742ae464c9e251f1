#include <algorithm>
#include <cstdint>
#include <span>

#include "runtime/calls.h"

namespace weld::runtime {
namespace {

// The product of the extents; false when one is negative or the product is out of range.
bool product_of(std::span<const std::int64_t> shape, std::int64_t& product) {
  product = 1;
  if (std::ranges::any_of(shape, [](std::int64_t extent) { return extent < 0; })) return false;
  if (std::ranges::count(shape, 0) > 0) {
    product = 0;
    return true;
  }
  return std::ranges::none_of(
      shape, [&](std::int64_t extent) { return __builtin_mul_overflow(product, extent, &product); });
}

// Whether the walk from `start` stays inside: it visits places between the sums of the negative and of the
// positive strides.
bool stays_inside(std::int64_t start, std::span<const std::int64_t> shape, const std::int64_t* strides,
                  std::int64_t length) {
  __int128 lowest = start;
  __int128 highest = start;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    const __int128 reach = static_cast<__int128>(shape[axis] - 1) * strides[axis];
    (reach < 0 ? lowest : highest) += reach;
    if (lowest < 0 || highest >= length) return false;
  }
  return lowest >= 0 && highest < length;
}

}  // namespace

extern "C" ErrorCode weld_rt_check_nditer(std::int64_t start, std::int64_t end, std::int64_t stride,
                                          const std::int64_t* shape, std::int64_t num_extents,
                                          const std::int64_t* strides, std::int64_t num_strides,
                                          std::int64_t length) noexcept {
  std::int64_t distance = 0;
  if (stride != 1 || end < start || __builtin_sub_overflow(end, start, &distance))
    return ErrorCode::kBadIteratorLength;
  if (num_extents != num_strides) return ErrorCode::kBadIteratorLength;
  const std::span extents(shape, static_cast<std::size_t>(num_extents));
  std::int64_t product = 0;
  if (!product_of(extents, product) || product != distance) return ErrorCode::kBadIteratorLength;
  if (product > 0 && !stays_inside(start, extents, strides, length)) return ErrorCode::kArrayOutOfBounds;
  return ErrorCode::kSuccess;
}

}  // namespace weld::runtime
