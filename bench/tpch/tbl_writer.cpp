#include "bench/tpch/tbl_writer.h"

#include <algorithm>

#include "bench/tpch/dates.h"

namespace weld::bench::tpch {

DateTexts::DateTexts() {
  for (std::int32_t day = 0; day < kNumDays; ++day) {
    const std::string text = format_date(kFirstDay + day) + '|';
    std::ranges::copy(text, entries_[static_cast<std::size_t>(day)].bytes.begin());
  }
}

const DateTexts& DateTexts::shared() {
  static const DateTexts texts;
  return texts;
}

void TblBuffer::grow() {
  const std::size_t capacity = std::max<std::size_t>(2 * capacity_, std::size_t{1} << 20);
  auto bytes = std::make_unique_for_overwrite<char[]>(capacity);
  std::copy_n(bytes_.get(), size_, bytes.get());
  bytes_ = std::move(bytes);
  capacity_ = capacity;
}

}  // namespace weld::bench::tpch
