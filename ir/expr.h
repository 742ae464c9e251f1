#pragma once

#include <cstdint>
#include <string_view>

#include "ir/annotations.h"
#include "ir/span.h"
#include "ir/types.h"

namespace weld::ir {

struct ExprRecord;

/// What an expression can do besides yielding a value: the union over its parts, computed once per node.
/// A lambda's effects are those of its body.
enum class Effects : std::uint8_t {
  kNone = 0,
  kMayFail = 1,     ///< may end the run with an error other than memory, deadline and cancellation
  kMayDiverge = 2,  ///< holds an `iterate`
  kAllocates = 4,   ///< makes a vector, a dictionary or a builder that owns memory
  kForeign = 8,     ///< calls a foreign function that did not promise `pure:true`
  kLoops = 16,      ///< holds a `for`, an `iterate` or a `sort`
  kMerges = 32,     ///< consumes a builder
};
constexpr Effects operator|(Effects a, Effects b) {
  return static_cast<Effects>(static_cast<std::uint8_t>(a) | static_cast<std::uint8_t>(b));
}
constexpr Effects operator&(Effects a, Effects b) {
  return static_cast<Effects>(static_cast<std::uint8_t>(a) & static_cast<std::uint8_t>(b));
}
constexpr bool any(Effects effects) {
  return effects != Effects::kNone;
}

/// The name of a value: unique in the process, so that substitution never captures.
class Symbol {
 public:
  struct Record {
    std::uint64_t id;
    std::string_view name;  ///< as the author wrote it; need not be unique
  };

  Symbol() = default;
  explicit Symbol(const Record* record) : record_(record) {}

  explicit operator bool() const { return record_ != nullptr; }
  std::uint64_t id() const { return record_->id; }
  std::string_view name() const { return record_->name; }
  bool operator==(const Symbol& other) const {
    return record_ == other.record_ || (record_ && other.record_ && record_->id == other.record_->id);
  }

 private:
  const Record* record_ = nullptr;
};

/// A handle to an immutable, typed expression, owned by an arena. Null when default-made.
class Expr {
 public:
  Expr() = default;
  explicit Expr(const ExprRecord* record) : record_(record) {}

  explicit operator bool() const { return record_ != nullptr; }
  const ExprRecord& record() const { return *record_; }
  const ExprRecord* get() const { return record_; }

  /// The node, if it is a `T`; null otherwise. Null on a null handle.
  template <class T>
  const T* as() const;
  template <class T>
  bool is() const {
    return as<T>() != nullptr;
  }
  Type type() const;
  Span span() const;
  Annotations annotations() const;
  Effects effects() const;

  /// The same node, or two uses of one symbol. Structure is compared by `alpha_equal` (equality.h).
  bool operator==(const Expr& other) const;

 private:
  const ExprRecord* record_ = nullptr;
};

}  // namespace weld::ir
