#pragma once

#include <cstdint>
#include <exception>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "ir/span.h"

namespace weld {

/// Codes of LANGUAGE.md §2, shared by the C API, generated code, the interpreter and the command line.
enum class ErrorCode : std::uint32_t {
  kSuccess = 0,
  kConfigurationError = 1,
  kLoadLibraryError = 2,
  kCompileError = 3,
  kArrayOutOfBounds = 4,
  kBadIteratorLength = 5,
  kMismatchedZipSize = 6,
  kOutOfMemory = 7,
  kRunNotFound = 8,
  kUnknown = 9,
  kDeserializationError = 10,
  kKeyNotFoundError = 11,
  kAssertionError = 12,
  kArithmeticError = 13,
  kCancelled = 14,
  kDeadlineExceeded = 15,
  kBudgetExceeded = 16,
};

/// `ArrayOutOfBounds` and so on; `Unknown` for a value that is no code.
std::string_view error_name(ErrorCode code);

/// The meaning of a run-time code in one lower-case clause, e.g. `index or slice out of range`.
std::string_view error_summary(ErrorCode code);

namespace ir {

/// One message at one place.
struct Diagnostic {
  ErrorCode code = ErrorCode::kCompileError;
  std::string message;  ///< lower case, no full stop, found and expected
  Location location;

  /// `file:line:col: error[Code]: message`, the source line and a caret, joined by line feeds,
  /// without a final one. Only the first line, without a position, where none is known.
  std::string render() const;
};

/// The program or the call is wrong, and its author can fix it. Carries at least one diagnostic.
class UserError : public std::exception {
 public:
  UserError(std::string message, Span span, ErrorCode code = ErrorCode::kCompileError);
  explicit UserError(std::vector<Diagnostic> diagnostics);

  ErrorCode code() const { return diagnostics_.front().code; }
  const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }
  /// All diagnostics, rendered, an empty line between two.
  const char* what() const noexcept override { return rendered_.c_str(); }

 private:
  std::vector<Diagnostic> diagnostics_;
  std::string rendered_;
};

/// We are wrong.
class InternalError : public std::exception {
 public:
  InternalError(std::string_view message, std::source_location where);
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

/// Throws InternalError, with the caller's place, unless `holds`. `invariant` reads as a claim.
inline void internal_check(bool holds, std::string_view invariant,
                           std::source_location where = std::source_location::current()) {
  if (!holds) [[unlikely]]
    throw InternalError(invariant, where);
}

}  // namespace ir
}  // namespace weld
