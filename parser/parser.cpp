#include "parser/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "ir/error.h"
#include "parser/elaboration.h"
#include "parser/expansion.h"
#include "parser/syntax.h"

namespace weld::parser {

ir::Expr parse(std::string_view text, ir::Arena& arena, const ParseOptions& options) {
  if (text.size() > kMaxSourceBytes) {
    throw ir::UserError(fmt::format("the program has {} bytes, more than {}", text.size(), kMaxSourceBytes),
                        {}, ErrorCode::kBudgetExceeded);
  }
  const ir::Source& source = *arena.keep_source(
      std::make_shared<const ir::Source>(ir::Source{.name = options.name, .text = std::string(text)}));

  Diagnostics diagnostics(std::max<std::size_t>(options.max_errors, 1));
  Pool pool;
  const ProgramAst program = parse_syntax(source, pool, arena, diagnostics, {.internal = options.internal});
  Unifier types(pool, arena);
  const Expanded expanded =
      expand_program(program, source, pool, arena, types, diagnostics, {.keep_functions = options.internal});
  types.settle();
  const ir::Expr root = elaborate(expanded, arena, types, diagnostics);
  diagnostics.raise_if_any();
  if (root.record().num_nodes > ir::Arena::kMaxNodes) {
    throw ir::UserError(
        fmt::format("the program has more than {} nodes once macros and functions are expanded",
                    ir::Arena::kMaxNodes),
        root.span(), ErrorCode::kBudgetExceeded);
  }
  return root;
}

}  // namespace weld::parser
