#pragma once

#include <string_view>

namespace weld::bindings {

/// As WeldLogLevel.
enum class LogLevel : int { kOff, kError, kWarn, kInfo, kDebug, kTrace };

/// Off at first. Safe from all threads.
void set_log_level(LogLevel level) noexcept;
bool is_logged(LogLevel level) noexcept;

/// Writes `weld: warning: message` and a line feed to standard error, in one piece, if the level is logged.
void log(LogLevel level, std::string_view message) noexcept;

}  // namespace weld::bindings
