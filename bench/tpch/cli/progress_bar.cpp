#include "bench/tpch/cli/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace weld::bench::tpch {

using namespace std::chrono_literals;

ProgressBar::ProgressBar() : visible_(isatty(STDERR_FILENO) != 0) {}

void ProgressBar::show(std::string_view what, double fraction, std::string_view note) {
  const auto now = std::chrono::steady_clock::now();
  if (!visible_ || (fraction < 1 && now - drawn_at_ < 100ms)) return;
  drawn_at_ = now;
  drawn_ = true;
  constexpr int kWidth = 40;
  const int num_done = static_cast<int>(fraction * kWidth);
  fmt::print(stderr, "\r{:8} [{:#<{}}{:{}}] {:3.0f} %  {}", what, "", num_done, "", kWidth - num_done,
             100 * fraction, note);
}

void ProgressBar::erase() {
  if (drawn_) fmt::print(stderr, "\r\033[K");
  drawn_ = false;
}

}  // namespace weld::bench::tpch
