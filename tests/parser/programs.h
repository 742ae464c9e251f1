#pragma once

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <string_view>

#include "ir/arena.h"
#include "ir/equality.h"
#include "ir/error.h"
#include "ir/printer.h"
#include "parser/parser.h"

namespace weld::parser {

/// Valid programs: every form of the grammar at least once.
std::span<const std::string_view> valid_programs();
/// Valid with the internal option only.
std::span<const std::string_view> internal_programs();

/// The program in canonical form; the first error, as `line:column: message`, where it is rejected.
inline std::string canonical(std::string_view text, const ParseOptions& options = {}) {
  ir::Arena arena;
  try {
    return ir::print_canonical(parse(text, arena, options));
  } catch (const ir::UserError& error) {
    return error.what();
  }
}

inline std::string type_of(std::string_view text) {
  ir::Arena arena;
  return ir::to_string(parse(text, arena).type());
}

/// All errors, `line:column: message` each, joined by line feeds; `accepted` when there are none.
inline std::string errors_of(std::string_view text, const ParseOptions& options = {}) {
  ir::Arena arena;
  try {
    parse(text, arena, options);
    return "accepted";
  } catch (const ir::UserError& error) {
    std::string all;
    for (const ir::Diagnostic& diagnostic : error.diagnostics()) {
      if (!all.empty()) all += '\n';
      if (diagnostic.location.known()) {
        all += std::to_string(diagnostic.location.line) + ":" + std::to_string(diagnostic.location.column) +
               ": ";
      }
      all += diagnostic.message;
    }
    return all;
  }
}

inline ErrorCode error_code_of(std::string_view text, const ParseOptions& options = {}) {
  ir::Arena arena;
  try {
    parse(text, arena, options);
    return ErrorCode::kSuccess;
  } catch (const ir::UserError& error) {
    return error.code();
  }
}

/// Both texts mean the same program.
#define EXPECT_SAME(text, expected) EXPECT_EQ(canonical(text), canonical(expected)) << (text)

}  // namespace weld::parser
