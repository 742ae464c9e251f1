#pragma once

#include <string>
#include <vector>

#include "ir/error.h"

namespace weld::parser {

/// Collects what is wrong with a program, so that several errors are reported at once.
class Diagnostics {
 public:
  explicit Diagnostics(std::size_t max_errors) : max_errors_(max_errors) {}

  /// Notes an error, unless the same is known already. Throws all of them when there are enough.
  void add(std::string message, ir::Span span);
  /// Notes the error of another part; throws it at once when it is about a budget.
  void add(const ir::UserError& error);

  bool empty() const { return found_.empty(); }
  /// Throws UserError with all that was found, in the order of the text, if anything was.
  void raise_if_any();

 private:
  void add(ir::Diagnostic diagnostic);

  std::size_t max_errors_;
  std::vector<ir::Diagnostic> found_;
};

}  // namespace weld::parser
