#pragma once

#include "ir/arena.h"

namespace weld::ir {

/// What a program may hold: from kInternal on also the internal forms of LANGUAGE.md §1.9 (masked merges,
/// simd types of any number of lanes).
enum class Stage : std::uint8_t { kCore, kInternal };

/// Checks what the typing rules of single nodes (typing.h) cannot see:
///
/// Scopes    every symbol is bound once in the program, used inside its scope only and with its binder's
///           type. Lambdas stand only as the program, as the value of a let, where they are applied, and as
///           functions of for, iterate and sort.
/// Builders  used linearly (LANGUAGE.md §1.5): consumed (merged into, filled by a for, turned into a result,
///           made part of the value of a loop's body, of an iterate's state, of a branch or of the program)
///           at most once on each path, field by field. A loop's function consumes no builder from outside of
///           it, its value's fields derive from the same fields of its builder parameter, and those are not
///           turned into results inside. Building a struct, naming and projecting consume nothing.
/// Budgets   at most Arena::kMaxNodes nodes, counted as a tree.
///
/// Errors  UserError at the offending use, the first in the order of evaluation; BudgetExceeded for budgets.
/// Cost    linear; does not recurse over chains of lets. Functions that take, return or use builders of
/// others
///         are followed at each application.
void verify(Expr program, Stage stage);

}  // namespace weld::ir
