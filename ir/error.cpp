#include "ir/error.h"

#include <fmt/format.h>

#include <algorithm>

#include "ir/source_message.h"

namespace weld {

std::string_view error_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kSuccess:
      return "Success";
    case ErrorCode::kConfigurationError:
      return "ConfigurationError";
    case ErrorCode::kLoadLibraryError:
      return "LoadLibraryError";
    case ErrorCode::kCompileError:
      return "CompileError";
    case ErrorCode::kArrayOutOfBounds:
      return "ArrayOutOfBounds";
    case ErrorCode::kBadIteratorLength:
      return "BadIteratorLength";
    case ErrorCode::kMismatchedZipSize:
      return "MismatchedZipSize";
    case ErrorCode::kOutOfMemory:
      return "OutOfMemory";
    case ErrorCode::kRunNotFound:
      return "RunNotFound";
    case ErrorCode::kUnknown:
      return "Unknown";
    case ErrorCode::kDeserializationError:
      return "DeserializationError";
    case ErrorCode::kKeyNotFoundError:
      return "KeyNotFoundError";
    case ErrorCode::kAssertionError:
      return "AssertionError";
    case ErrorCode::kArithmeticError:
      return "ArithmeticError";
    case ErrorCode::kCancelled:
      return "Cancelled";
    case ErrorCode::kDeadlineExceeded:
      return "DeadlineExceeded";
    case ErrorCode::kBudgetExceeded:
      return "BudgetExceeded";
  }
  return "Unknown";
}

std::string_view error_summary(ErrorCode code) {
  switch (code) {
    case ErrorCode::kSuccess:
      return "no error";
    case ErrorCode::kConfigurationError:
      return "bad configuration";
    case ErrorCode::kLoadLibraryError:
      return "the library could not be loaded";
    case ErrorCode::kCompileError:
      return "the program is rejected";
    case ErrorCode::kArrayOutOfBounds:
      return "index or slice out of range";
    case ErrorCode::kBadIteratorLength:
      return "iterator start, end, stride or shape is invalid";
    case ErrorCode::kMismatchedZipSize:
      return "zipped iterators differ in their number of iterations";
    case ErrorCode::kOutOfMemory:
      return "memory limit exceeded";
    case ErrorCode::kRunNotFound:
      return "the run does not exist";
    case ErrorCode::kUnknown:
      return "unknown error";
    case ErrorCode::kDeserializationError:
      return "buffer does not hold a serialized value of this type";
    case ErrorCode::kKeyNotFoundError:
      return "key not found in dictionary";
    case ErrorCode::kAssertionError:
      return "assertion failed";
    case ErrorCode::kArithmeticError:
      return "integer division or remainder by zero";
    case ErrorCode::kCancelled:
      return "the run was cancelled";
    case ErrorCode::kDeadlineExceeded:
      return "the run passed its deadline";
    case ErrorCode::kBudgetExceeded:
      return "a budget of the compiler was exceeded";
  }
  return "unknown error";
}

namespace ir {

namespace {

// Line and column, both from 1, of a byte of the source.
std::pair<std::uint32_t, std::uint32_t> line_and_column(const Source& source, std::uint32_t offset) {
  const std::string_view before = std::string_view(source.text).substr(0, offset);
  const auto lines = static_cast<std::uint32_t>(std::ranges::count(before, '\n'));
  const std::size_t start = before.rfind('\n');
  const std::size_t column = start == std::string_view::npos ? before.size() : before.size() - start - 1;
  return {source.first_line + lines, static_cast<std::uint32_t>(column) + 1};
}

}  // namespace

Location locate(Span span) {
  if (!span) return {};
  const Source& source = *span.source;
  Location location{.file = source.name};
  std::tie(location.line, location.column) = line_and_column(source, span.begin);
  std::tie(location.end_line, location.end_column) = line_and_column(source, std::max(span.begin, span.end));
  const std::size_t start = span.begin - (location.column - 1);
  if (start <= source.text.size()) {
    location.line_text = source.text.substr(start, source.text.find('\n', start) - start);
  }
  return location;
}

std::string Diagnostic::render() const {
  return render_message(location, fmt::format("error[{}]", error_name(code)), message);
}

std::string render_message(const Location& location, std::string_view label, std::string_view message) {
  if (!location.known()) return fmt::format("{}: {}", label, message);
  const std::string text =
      fmt::format("{}:{}:{}: {}: {}", location.file, location.line, location.column, label, message);
  if (location.line_text.empty()) return text;

  // A long line is shown around its caret; tabs are kept so that the caret stands under its byte.
  constexpr std::size_t kMaxWidth = 160;
  const std::size_t column = location.column - 1;
  const std::size_t first = column > kMaxWidth / 2 ? column - kMaxWidth / 2 : 0;
  const std::string shown = location.line_text.substr(first, kMaxWidth);
  std::string marks;
  for (std::size_t i = 0; i < column - first; ++i) marks += i < shown.size() && shown[i] == '\t' ? '\t' : ' ';
  const std::size_t line_end = first + shown.size();
  const std::size_t end = location.end_line == location.line ? location.end_column - 1 : line_end;
  marks += '^';
  if (end > column + 1)
    marks.append(std::min(end, line_end) > column + 1 ? std::min(end, line_end) - column - 1 : 0, '~');
  return fmt::format("{}\n{}\n{}", text, shown, marks);
}

UserError::UserError(std::string message, Span span, ErrorCode code)
    : UserError(std::vector{Diagnostic{code, std::move(message), locate(span)}}) {}

UserError::UserError(std::vector<Diagnostic> diagnostics) : diagnostics_(std::move(diagnostics)) {
  for (const Diagnostic& diagnostic : diagnostics_) {
    if (!rendered_.empty()) rendered_ += "\n\n";
    rendered_ += diagnostic.render();
  }
}

InternalError::InternalError(std::string_view message, std::source_location where)
    : message_(fmt::format("internal error: not so: {} ({}:{})", message, where.file_name(), where.line())) {}

}  // namespace ir
}  // namespace weld
