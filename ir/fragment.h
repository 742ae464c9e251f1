#pragma once

#include <concepts>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "ir/arena.h"

namespace weld::ir {

/// Data of the host that a program reads: a value of that type in the C layout, at `data`.
struct BoundInput {
  Type type;
  const void* data = nullptr;
  std::shared_ptr<const void> keep_alive;  ///< held as long as anything may read `data`
};

/// A lazy value, the currency between libraries: an expression over other fragments, or an input. A handle to
/// something immutable, cheap to copy; it keeps alive what it is made from.
///
/// Threads  as std::shared_ptr<const T>: different handles may be used at the same time.
/// Memory   about 1 KiB for a step of a few nodes. Freeing a chain of any length does not recurse.
class Fragment {
 public:
  /// A null handle.
  Fragment() = default;

  /// An input of the program. `type` may belong to any arena. `name` is what diagnostics call it.
  static Fragment input(Type type, const void* data, std::shared_ptr<const void> keep_alive,
                        std::string_view name = "input");

  /// What `build(arena, operands)` makes of the operands' values: a function of (Arena&, std::span<const
  /// Expr>) to Expr. Each operand is an expression of its fragment's type, to be used as often as wanted. The
  /// result is a value (no lambda), made in that arena, without other free symbols.
  ///
  /// Errors  whatever `build` throws, UserError of the typing rules among them.
  template <class F>
    requires std::invocable<F, Arena&, std::span<const Expr>>
  static Fragment make(std::span<const Fragment> operands, F&& build) {
    Draft draft(operands);
    const Expr expr = build(draft.arena(), draft.operands());
    return std::move(draft).finish(expr);
  }
  template <class F>
    requires std::invocable<F, Arena&, std::span<const Expr>>
  static Fragment make(std::initializer_list<Fragment> operands, F&& build) {
    return make(std::span<const Fragment>(operands.begin(), operands.size()), std::forward<F>(build));
  }

  explicit operator bool() const { return record_ != nullptr; }
  /// Same fragment, not same structure.
  bool operator==(const Fragment&) const = default;
  Type type() const;
  bool is_input() const;
  std::span<const Fragment> operands() const;

 private:
  struct Record;
  friend struct FragmentProgram assemble(const Fragment& root);

  // A fragment being made.
  class Draft {
   public:
    explicit Draft(std::span<const Fragment> operands);
    Arena& arena();
    std::span<const Expr> operands() const { return exprs_; }
    Fragment finish(Expr expr) &&;

   private:
    std::shared_ptr<Record> record_;
    std::vector<Expr> exprs_;
  };

  explicit Fragment(std::shared_ptr<const Record> record) : record_(std::move(record)) {}

  std::shared_ptr<const Record> record_;
};

/// A program made of fragments: a lambda over the inputs that the root depends on, whose body binds each
/// other fragment once, operands first.
struct FragmentProgram {
  std::shared_ptr<Arena> arena;    ///< owns the lambda; shares nothing with the fragments
  Expr lambda;                     ///< core form, not verified
  std::vector<BoundInput> inputs;  ///< one for each parameter, in order; their types belong to `arena`
};

/// \param root  not null
///
/// Errors  UserError BudgetExceeded when the program is too large for one arena.
/// Cost    linear in the fragments that the root depends on; not recursive.
FragmentProgram assemble(const Fragment& root);

}  // namespace weld::ir
