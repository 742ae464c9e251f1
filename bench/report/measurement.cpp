#include "bench/report/measurement.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

namespace weld::bench {
namespace {

// Bytes outside of ASCII stay as they are: JSON is UTF-8.
std::string json_string(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      json += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      json += c;
    }
  }
  return json + '"';
}

// Characters of UTF-8 text.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

std::string to_json(const Measurement& measurement) {
  return fmt::format(
      R"({{"bench":{},"workload":{},"system":{},"threads":{},"ms":{:.6g},"runs":{},"rows":{},"bytes":{}}})",
      json_string(measurement.bench), json_string(measurement.workload), json_string(measurement.system),
      measurement.threads, measurement.ms, measurement.runs, measurement.rows, measurement.bytes);
}

void write_json(const std::filesystem::path& file, std::span<const Measurement> measurements) {
  std::ofstream stream(file);
  for (const Measurement& measurement : measurements) stream << to_json(measurement) << '\n';
  stream.close();
  if (!stream) throw std::runtime_error(fmt::format("cannot write {}", file.string()));
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string render_table(std::span<const std::vector<std::string>> rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string text;
  bool is_first = true;
  for (const auto& row : rows) {
    std::string line;
    std::string rule;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - width(row[i]), ' ');
      if (i > 0) line += "  ";
      line += i == 0 ? row[i] + padding : padding + row[i];
      rule += (i > 0 ? "  " : "") + std::string(widths[i], '-');
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
    if (is_first) text += rule + '\n';
    is_first = false;
  }
  return text;
}

std::string three_digits(double value) {
  const int decimals = value < 0.01 ? 4 : value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0;
  return fmt::format("{:.{}f}", value, decimals);
}

}  // namespace weld::bench
