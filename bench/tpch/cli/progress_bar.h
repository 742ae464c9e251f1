#pragma once

#include <chrono>
#include <string_view>

namespace weld::bench::tpch {

/// A line on standard error that is drawn over and over, when that is a terminal.
class ProgressBar {
 public:
  ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar() { erase(); }

  /// Draws, unless it was just drawn and this is not the end.
  void show(std::string_view what, double fraction, std::string_view note = {});
  void erase();

 private:
  bool visible_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point drawn_at_;
};

}  // namespace weld::bench::tpch
