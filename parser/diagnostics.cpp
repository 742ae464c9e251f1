#include "parser/diagnostics.h"

#include <algorithm>
#include <tuple>

namespace weld::parser {

void Diagnostics::add(std::string message, ir::Span span) {
  add(ir::Diagnostic{ErrorCode::kCompileError, std::move(message), ir::locate(span)});
}

void Diagnostics::add(const ir::UserError& error) {
  if (error.code() == ErrorCode::kBudgetExceeded) throw error;
  for (const ir::Diagnostic& diagnostic : error.diagnostics()) add(diagnostic);
}

void Diagnostics::add(ir::Diagnostic diagnostic) {
  // What is expanded several times is wrong several times.
  const bool known = std::ranges::any_of(found_, [&](const ir::Diagnostic& other) {
    return other.message == diagnostic.message && other.location.line == diagnostic.location.line &&
           other.location.column == diagnostic.location.column;
  });
  if (known) return;
  found_.push_back(std::move(diagnostic));
  if (found_.size() >= max_errors_) raise_if_any();
}

void Diagnostics::raise_if_any() {
  if (found_.empty()) return;
  std::ranges::sort(found_, {}, [](const ir::Diagnostic& diagnostic) {
    return std::tie(diagnostic.location.line, diagnostic.location.column, diagnostic.message);
  });
  throw ir::UserError(std::move(found_));
}

}  // namespace weld::parser
