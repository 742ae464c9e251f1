#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace weld::ir {

/// Where expressions come from: a program text, or a call site in a library that builds expressions.
struct Source {
  std::string name;              ///< file name, or `<program>`
  std::string text;              ///< the whole text; of a call site its one line, or empty
  std::uint32_t first_line = 1;  ///< line number of the first line of `text`
};

/// The bytes [begin, end) of a source. The null span belongs to no source.
struct Span {
  const Source* source = nullptr;  ///< kept alive by the arena whose nodes carry the span
  std::uint32_t begin = 0;
  std::uint32_t end = 0;

  explicit operator bool() const { return source != nullptr; }
  bool operator==(const Span&) const = default;
};

/// A span in the terms of an editor. Lines and columns count from 1, columns in bytes.
struct Location {
  std::string file;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::uint32_t end_line = 0;
  std::uint32_t end_column = 0;
  std::string line_text;  ///< the source line without its end, empty where no text is known

  bool known() const { return line != 0; }
};

Location locate(Span span);

}  // namespace weld::ir
