#pragma once

#include <optional>
#include <string>

namespace weld::cli {

/// Lines of standard input: with editing and a history that is kept in ~/.weld_history at a terminal, plainly
/// and without prompts otherwise.
class LineReader {
 public:
  LineReader();
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// The next line without its end; nothing at the end of input.
  std::optional<std::string> read(const char* prompt);
  /// Adds an entry to the history, line feeds as blanks.
  void remember(std::string entry);

 private:
  bool is_terminal_;
  std::string history_file_;
};

}  // namespace weld::cli
