#include "tests/passes/golden_cases.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace weld::tests {
namespace {

GoldenFile read_golden_file(const std::filesystem::path& path) {
  GoldenFile file{.path = path.string(), .comment = {}, .cases = {}};
  std::ifstream stream(path);
  std::string* text = &file.comment;
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("=== ")) {
      file.cases.push_back(
          {.pass = path.stem().string(), .title = line.substr(4), .input = {}, .expected = {}});
      text = &file.cases.back().input;
    } else if (line.starts_with("--- ") && !file.cases.empty()) {
      GoldenCase& golden = file.cases.back();
      golden.unchanged = line == "--- unchanged";
      if (!golden.unchanged && line != "--- becomes") throw std::runtime_error(file.path + ": " + line);
      text = &golden.expected;
    } else {
      *text += line + "\n";
    }
  }
  for (GoldenCase& golden : file.cases) {
    for (std::string* program : {&golden.input, &golden.expected}) {
      while (program->ends_with('\n')) program->pop_back();
    }
    if (golden.unchanged) golden.expected = golden.input;
    if (golden.expected.empty()) throw std::runtime_error(file.path + ": no result of " + golden.title);
  }
  return file;
}

}  // namespace

std::vector<GoldenFile> read_golden_files() {
  std::vector<GoldenFile> files;
  for (const auto& entry : std::filesystem::directory_iterator(WELD_SOURCE_DIR "/tests/golden")) {
    if (entry.path().extension() == ".weld") files.push_back(read_golden_file(entry.path()));
  }
  std::ranges::sort(files, {}, &GoldenFile::path);
  return files;
}

void write_golden_file(const GoldenFile& file) {
  std::ofstream stream(file.path);
  stream << file.comment;
  for (std::size_t i = 0; i < file.cases.size(); ++i) {
    const GoldenCase& golden = file.cases[i];
    stream << (i == 0 ? "" : "\n") << "=== " << golden.title << "\n" << golden.input << "\n";
    stream << (golden.unchanged ? "--- unchanged\n" : "--- becomes\n" + golden.expected + "\n");
  }
}

}  // namespace weld::tests
