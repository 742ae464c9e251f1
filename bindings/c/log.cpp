#include "bindings/c/log.h"

#include <array>
#include <atomic>
#include <cstdio>

namespace weld::bindings {
namespace {

std::atomic<int> log_level{static_cast<int>(LogLevel::kOff)};
constexpr std::array<const char*, 6> kNames{"", "error", "warning", "info", "debug", "trace"};

}  // namespace

void set_log_level(LogLevel level) noexcept {
  log_level.store(static_cast<int>(level), std::memory_order_relaxed);
}

bool is_logged(LogLevel level) noexcept {
  return level != LogLevel::kOff && static_cast<int>(level) <= log_level.load(std::memory_order_relaxed);
}

void log(LogLevel level, std::string_view message) noexcept {
  if (!is_logged(level)) return;
  std::fprintf(stderr, "weld: %s: %.*s\n", kNames[static_cast<std::size_t>(level)],
               static_cast<int>(message.size()), message.data());
}

}  // namespace weld::bindings
