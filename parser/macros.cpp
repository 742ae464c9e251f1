#include "parser/macros.h"

#include "ir/arena.h"
#include "parser/syntax.h"

namespace weld::parser {
namespace {

constexpr std::string_view kStandardMacros = R"(
macro map(vector, function) =
  result(for(vector, appender, |builder, index, element| merge(builder, function(element))));
macro filter(vector, condition) =
  result(for(vector, appender,
    |builder, index, element| if(condition(element), merge(builder, element), builder)));
macro flatten(vectors) =
  result(for(vectors, appender,
    |outer, index, vector| for(vector, outer, |builder, inner_index, element| merge(builder, element))));
macro sum(vector) = result(for(vector, merger[?,+], |builder, index, element| merge(builder, element)));
macro compare(left, right) = if(left < right, -1, if(left > right, 1, 0));
{}
)";

struct StandardMacros {
  ir::Source source{.name = "<standard macros>", .text = std::string(kStandardMacros)};
  Pool pool;
  ir::Arena arena;
  ProgramAst program;

  StandardMacros() {
    Diagnostics diagnostics(1);
    program = parse_syntax(source, pool, arena, diagnostics, {.standard_macros = true});
  }
};

}  // namespace

const MacroAst* find_standard_macro(std::string_view name) {
  static const StandardMacros standard;
  for (const MacroAst* macro : standard.program.macros) {
    if (macro->name == name) return macro;
  }
  return nullptr;
}

}  // namespace weld::parser
