#pragma once

#include <string>
#include <vector>

namespace weld::language {

/// One run of a case: what stands after `>>>`.
struct Check {
  std::string text;
  int line = 0;
};

/// A program and what it must give.
struct Case {
  std::string file;  ///< without folder and ending
  std::string name;
  std::string program;
  int line = 0;
  std::vector<Check> checks;

  std::string place() const { return file + ".weld:" + std::to_string(line); }
};

/// All cases of the folder `tests/language/cases`, whose files hold
///
///     # comments, before the first case
///     === what the case shows
///     |a: i32, b: i32| a / b
///     >>> 7, 2 => 3
///     >>> 1, 0 !! ArithmeticError 1:18
///
/// After `>>>` come the arguments as text (value_text.h) and the value, or `*` for whatever the interpreter
/// gives, or an error with its position in the program (which may be left out). A program that the compiler
/// rejects has one line
/// `>>> rejected 1:18 a part of the message`. A line that begins with blanks goes on with the one before.
std::vector<Case> read_cases(const std::string& folder);

}  // namespace weld::language
