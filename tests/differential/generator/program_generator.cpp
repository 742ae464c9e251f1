#include "tests/differential/generator/program_generator.h"

#include <algorithm>

#include "ir/fields.h"
#include "tests/differential/generator/expression_generator.h"
#include "tests/differential/generator/library_generator.h"
#include "tests/differential/generator/random_values.h"

namespace weld::differential {

using ir::Expr;
using ir::MergeOp;
using ir::Type;
using ir::Value;

namespace {

int depth_of_loops(Expr program) {
  int depth = 0;
  int deepest = 0;
  const auto is_loop = [](Expr expr) {
    return expr.is<ir::For>() || expr.is<ir::Iterate>() || expr.is<ir::Sort>();
  };
  ir::walk(
      program,
      [&](Expr expr) {
        if (is_loop(expr)) deepest = std::max(deepest, ++depth);
        return true;
      },
      [&](Expr expr) {
        if (is_loop(expr)) --depth;
      });
  return deepest;
}

}  // namespace

Expr random_program(Random& random, ir::Arena& arena, Sums sums) {
  return ExpressionGenerator(random, arena, sums).program();
}

Expr random_library_program(Random& random, ir::Arena& arena, Sums sums) {
  return LibraryGenerator(random, arena, sums).program();
}

std::vector<Value> random_arguments(Random& random, Expr program, Lengths lengths) {
  const int depth = depth_of_loops(program);
  std::int64_t max_length = depth <= 1 ? 8193 : depth == 2 ? 129 : depth == 3 ? 17 : 5;
  if (lengths == Lengths::kSmall && max_length > 200 && !random.chance(4)) max_length = 200;
  std::optional<std::int64_t> length;
  if (lengths != Lengths::kAdversarial && random.chance(93)) length = random_length(random, max_length);
  std::vector<Value> arguments;
  for (const ir::Parameter& parameter : program.as<ir::Lambda>()->parameters) {
    arguments.push_back(random_value(random, parameter.type, max_length, length));
  }
  return arguments;
}

Expr zero_expression(ir::Arena& arena, Type type) {
  if (const auto* scalar = type.as<ir::ScalarType>()) return arena.literal(ir::ScalarValue{scalar->kind, 0});
  if (const auto* vec = type.as<ir::VecType>())
    return arena.make<ir::MakeVector>({}, std::vector<Expr>(), vec->element);
  if (const auto* dict = type.as<ir::DictType>()) {
    const auto* values = dict->value.as<ir::VecType>();
    const Type builder = values ? arena.groupmerger(dict->key, values->element)
                                : arena.dictmerger(dict->key, dict->value, MergeOp::kAdd);
    return arena.make<ir::Result>({}, arena.make<ir::NewBuilder>({}, builder, Expr()));
  }
  std::vector<Expr> members;
  for (const Type member : type.as<ir::StructType>()->members)
    members.push_back(zero_expression(arena, member));
  return arena.make<ir::MakeStruct>({}, members);
}

}  // namespace weld::differential
