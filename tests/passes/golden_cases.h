#pragma once

#include <string>
#include <vector>

namespace weld::tests {

/// One case of `tests/golden/<pass>.weld`:
///
///   === title
///   program
///   --- becomes
///   program
///
/// or `--- unchanged` without a second program. Lines in front of the first case are a comment.
struct GoldenCase {
  std::string pass;
  std::string title;
  std::string input;
  std::string expected;  ///< the input where it stays unchanged
  bool unchanged = false;
};

struct GoldenFile {
  std::string path;
  std::string comment;
  std::vector<GoldenCase> cases;
};

/// All files of tests/golden. Throws std::runtime_error on a malformed one.
std::vector<GoldenFile> read_golden_files();

/// Writes the file back, as read_golden_files reads it.
void write_golden_file(const GoldenFile& file);

}  // namespace weld::tests
