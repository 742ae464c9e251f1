#pragma once

#include <string>

#include "ir/nodes.h"

namespace weld::ir {

/// The program as text, over several lines, with the names of its author; a name is changed where it would
/// hide another one or a function. The parser reads it back (internal forms, and floats that are not finite,
/// with its internal option) to an alpha-equal program, annotations included.
///
/// Memory  nothing recurses over the depth of expressions; an expression that is shared is printed each time.
std::string print(Expr expr);

/// The program on one line, bound symbols renamed in the order of their binding: alpha-equal programs, and
/// only these, print equally. Free symbols keep their names.
std::string print_canonical(Expr expr);

}  // namespace weld::ir
