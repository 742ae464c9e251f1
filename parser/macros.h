#pragma once

#include <string_view>

#include "parser/ast.h"

namespace weld::parser {

/// Macros that expand into macros more deeply than this are rejected.
inline constexpr std::uint32_t kMaxMacroDepth = 30;

/// One of the standard macros (LANGUAGE.md §1.7): `map filter flatten sum compare`. Null for other names.
const MacroAst* find_standard_macro(std::string_view name);

}  // namespace weld::parser
