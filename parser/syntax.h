#pragma once

#include "ir/arena.h"
#include "parser/ast.h"
#include "parser/diagnostics.h"

namespace weld::parser {

struct SyntaxOptions {
  bool internal = false;         ///< accept internal forms
  bool standard_macros = false;  ///< the text is that of the standard macros
};

/// Reads a text by the grammar of LANGUAGE.md §1.2, replaces type aliases and resolves names.
///
/// \param source  borrowed by the trees
/// \param pool    owns the trees
/// \param arena   owns the annotations
///
/// Errors  UserError at the first syntax error; names that mean nothing or too much are added to
///         `diagnostics`.
ProgramAst parse_syntax(const ir::Source& source, Pool& pool, ir::Arena& arena, Diagnostics& diagnostics,
                        const SyntaxOptions& options);

}  // namespace weld::parser
