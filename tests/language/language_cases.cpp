#include "tests/language/language_cases.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace weld::language {
namespace {

void read_file(const std::filesystem::path& path, std::vector<Case>& cases) {
  std::ifstream file(path);
  std::string line;
  bool in_checks = false;
  bool in_file_comment = true;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.starts_with("=== ")) {
      cases.push_back({.file = path.stem().string(), .name = line.substr(4), .line = number});
      in_checks = in_file_comment = false;
    } else if (in_file_comment) {
      if (!line.empty() && line.front() != '#')
        throw std::runtime_error(path.string() + ": text before the first case");
    } else if (line.starts_with(">>>")) {
      cases.back().checks.push_back({line.substr(3), number});
      in_checks = true;
    } else if (in_checks) {
      if (!line.empty()) cases.back().checks.back().text += "\n" + line;
    } else {
      cases.back().program += line + "\n";
    }
  }
}

}  // namespace

std::vector<Case> read_cases(const std::string& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  std::ranges::sort(files);
  std::vector<Case> cases;
  for (const auto& file : files) read_file(file, cases);
  return cases;
}

}  // namespace weld::language
