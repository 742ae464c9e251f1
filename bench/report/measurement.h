#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace weld::bench {

/// One measured figure.
struct Measurement {
  std::string bench;     ///< e.g. `tpch`
  std::string workload;  ///< e.g. `q1 sf 1`
  std::string system;    ///< who did it: `weld`, `duckdb`, `c++`
  int threads = 1;
  double ms = 0;  ///< median of the runs
  int runs = 1;
  std::int64_t rows = 0;   ///< read by a run; 0 where there is no such number
  std::int64_t bytes = 0;  ///< likewise
};

/// One line of JSON without the line's end: `{"bench":…,"workload":…,"system":…,"threads":…,"ms":…,"runs":…,
/// "rows":…,"bytes":…}`.
std::string to_json(const Measurement& measurement);

/// Writes a line for each measurement. Throws std::runtime_error when the file cannot be written.
void write_json(const std::filesystem::path& file, std::span<const Measurement> measurements);

/// The middle one, or the mean of the two; of at least one value.
double median(std::vector<double> values);

/// The time that a call takes, in milliseconds.
double time_ms(std::invocable auto&& body);

/// The median of `runs` calls, after one more that is not counted.
double median_ms(int runs, std::invocable auto&& body);

/// A table for people: cells joined by two blanks, the first column to the left, the others to the right, a
/// rule below the first row.
std::string render_table(std::span<const std::vector<std::string>> rows);

/// `12.3`: three digits, more only before the point.
std::string three_digits(double value);

}  // namespace weld::bench

// Implementation.

#include <chrono>

namespace weld::bench {

double time_ms(std::invocable auto&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double median_ms(int runs, std::invocable auto&& body) {
  body();
  std::vector<double> times;
  for (int run = 0; run < runs; ++run) times.push_back(time_ms(body));
  return median(std::move(times));
}

}  // namespace weld::bench
