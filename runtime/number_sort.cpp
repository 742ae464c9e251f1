#include "runtime/number_sort.h"

#include <hwy/contrib/sort/vqsort.h>

#include <algorithm>

namespace weld::runtime {
namespace {

constexpr std::int64_t kFewElements = 32;

template <class Number>
void sort(Number* numbers, std::int64_t length) {
  if (length <= kFewElements) return std::sort(numbers, numbers + length);
  // Numbers in order and in reverse are common, and cheap to see.
  if (std::is_sorted(numbers, numbers + length)) return;
  const hwy::Sorter sorter;
  sorter(numbers, static_cast<std::size_t>(length), hwy::SortAscending());
}

}  // namespace

void sort_numbers(std::uint32_t* numbers, std::int64_t length) noexcept {
  sort(numbers, length);
}

void sort_numbers(std::uint64_t* numbers, std::int64_t length) noexcept {
  sort(numbers, length);
}

}  // namespace weld::runtime
