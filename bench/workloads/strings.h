#pragma once

#include <cstdint>
#include <string_view>

#include "bench/workloads/column.h"
#include "bench/workloads/native/strings.h"
#include "bench/workloads/workload.h"

namespace weld::bench::workloads {

/// A column of strings: places in one text, in order, which ends with as many bytes more as a vector has.
struct StringColumn {
  Column<native::String> strings;
  Column<std::uint8_t> text;
  Column<std::int64_t> ends;  ///< of the strings, in the text

  std::int64_t num_bytes() const { return strings.num_bytes() + text.num_bytes(); }
};

/// A column whose string i is `word(i)`, a view that is used at once.
template <class F>
StringColumn make_strings(std::int64_t length, F&& word) {
  StringColumn column;
  column.strings = Column<native::String>(length);
  column.ends = Column<std::int64_t>(length);
  std::int64_t num_bytes = 0;
  for (std::int64_t i = 0; i < length; ++i)
    column.ends[i] = num_bytes += static_cast<std::int64_t>(std::string_view(word(i)).size());
  column.text = Column<std::uint8_t>(num_bytes);
  std::int64_t begin = 0;
  for (std::int64_t i = 0; i < length; ++i) {
    const std::string_view text = word(i);
    std::ranges::copy(text, column.text.data() + begin);
    column.strings[i] = {column.text.data() + begin, static_cast<std::int64_t>(text.size())};
    begin = column.ends[i];
  }
  return column;
}

Array input_strings(const StringColumn& column, std::string_view name);
/// `<name>_text` and `<name>_ends`.
void add_inputs(Prepared& prepared, const std::string& name, const StringColumn& column);

}  // namespace weld::bench::workloads
