#pragma once

#include <string>
#include <string_view>

#include "ir/nodes.h"

namespace weld::ir {

/// The program as text, over several lines, with the names of its author; a name is changed where it would
/// hide another one or a function. The parser reads it back (internal forms, and floats that are not finite,
/// with its internal option) to an alpha-equal program, annotations included.
///
/// Memory  nothing recurses over the depth of expressions; an expression that is shared is printed each time.
std::string print(Expr expr);

/// The program on one line, bound symbols renamed in the order of their binding, free ones as they are:
/// programs without free symbols print equally exactly when they are alpha-equal. Reads back like `print`.
std::string print_canonical(Expr expr);

/// Whether the word is a keyword of the language, and so names no value.
bool is_keyword(std::string_view word);

/// Whether the word begins `variants` or a form of lanes functions. Such a word is no keyword, but internal
/// text binds none.
bool is_lane_form(std::string_view word);

}  // namespace weld::ir
