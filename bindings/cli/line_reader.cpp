#include "bindings/cli/line_reader.h"

#include <editline/readline.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>

namespace weld::cli {

LineReader::LineReader() : is_terminal_(isatty(STDIN_FILENO) != 0) {
  if (!is_terminal_) return;
  using_history();
  if (const char* home = std::getenv("HOME")) {
    history_file_ = std::string(home) + "/.weld_history";
    read_history(history_file_.c_str());
  }
}

LineReader::~LineReader() {
  if (is_terminal_ && !history_file_.empty()) write_history(history_file_.c_str());
}

std::optional<std::string> LineReader::read(const char* prompt) {
  if (!is_terminal_) {
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    return line;
  }
  const std::unique_ptr<char, void (*)(void*)> line(readline(prompt), std::free);
  if (!line) return std::nullopt;
  return std::string(line.get());
}

void LineReader::remember(std::string entry) {
  if (!is_terminal_) return;
  std::ranges::replace(entry, '\n', ' ');
  add_history(entry.c_str());
}

}  // namespace weld::cli
