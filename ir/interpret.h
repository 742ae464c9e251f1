#pragma once

#include <expected>
#include <span>
#include <string>

#include "ir/error.h"
#include "ir/value.h"

namespace weld::ir {

/// What the interpreter needs from outside.
class Host {
 public:
  virtual ~Host() = default;

  /// `delta` bytes more are held by vectors, dictionaries and builders, fewer if negative. False refuses an
  /// increase: the run ends with OutOfMemory. Not called after `interpret` has returned.
  virtual bool count_bytes(std::int64_t delta) noexcept { return true; }

  /// Asked about once in a thousand iterations: kSuccess to go on; Cancelled, DeadlineExceeded to end the
  /// run.
  virtual ErrorCode poll() noexcept { return ErrorCode::kSuccess; }

  /// Calls the foreign function. There are none by default: Unknown.
  virtual std::expected<Value, ErrorCode> call_foreign(const ForeignCall& call,
                                                       std::span<const Value> arguments);
};

/// How a run failed, and at which expression.
struct RunError {
  ErrorCode code = ErrorCode::kUnknown;
  Span span;
  std::string message;
};

/// Deeper recursion, through applied functions, ends the run with BudgetExceeded.
inline constexpr int kMaxInterpreterDepth = 3000;

/// Runs a verified program, core or internal, strictly and in program order: the meaning of the language,
/// slow and obviously right. Sums of floats are in the order of reduction_order.h.
///
/// \param arguments  one for each parameter of the program, of its type; none for a bare expression. Builders
///                   among them are consumed.
///
/// Loops    every part of the iterators is evaluated, then the builder; then the iterators are checked, one
/// after
///          another: BadIteratorLength (stride ≤ 0, end < start, end - start overflows, shapes; simditer,
///          fringeiter and nditer need stride 1), then ArrayOutOfBounds (start < 0 or end > length; of nditer
///          the whole walk); last MismatchedZipSize. simditer and fringeiter take groups of 4 from start on.
/// Errors   the first in program order. Code, span and text.
/// Memory   recursion is bounded by nesting and kMaxInterpreterDepth; 8 MiB of stack suffice. Dies with its
///          values, which may outlive host and program.
/// Threads  one; many runs of one program may go on at the same time.
std::expected<Value, RunError> interpret(Expr program, std::span<const Value> arguments, Host& host);

/// Without limits and foreign functions.
std::expected<Value, RunError> interpret(Expr program, std::span<const Value> arguments);

/// Packed little-endian bytes of a value of that type (LANGUAGE.md §1.4), NaN in its canonical form.
std::vector<std::byte> serialize_value(const Value& value);

/// Reads them back. Nothing when the bytes are too few or too many, a count is out of range, or a key occurs
/// twice; a bool is any byte. Vectors and dictionaries are charged to the account, if there is one.
std::optional<Value> deserialize_value(Type type, std::span<const std::byte> bytes,
                                       const std::shared_ptr<ByteAccount>& account = nullptr);

}  // namespace weld::ir
