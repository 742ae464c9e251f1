#include "tests/differential/generator/reduction.h"

#include <algorithm>

#include "ir/fields.h"
#include "tests/differential/generator/program_generator.h"

namespace weld::differential {
namespace {

using ir::Expr;
using ir::Value;

constexpr int kMaxAttempts = 3000;

class Reducer {
 public:
  Reducer(const Case& shown, ir::Stage stage, const Shows& shows, ir::Arena& arena)
      : best_(shown), stage_(stage), shows_(shows), arena_(arena) {}

  Case reduce() {
    bool progress = true;
    while (progress && attempts_ < kMaxAttempts) {
      progress = reduce_program();
      progress = drop_parameters() || progress;
      progress = reduce_arguments() || progress;
    }
    return best_;
  }

 private:
  bool accept(const Case& candidate) {
    ++attempts_;
    arena_.allow_more_nodes(ir::Arena::kMaxNodes);
    if (!shows_(candidate)) return false;
    best_ = candidate;
    return true;
  }

  // Something simpler of the same type in place of a node: one of its parts, or zero.
  std::vector<Expr> simpler(Expr expr) {
    std::vector<Expr> found;
    const bool plain =
        !ir::contains_builder(expr.type()) && !expr.type().as<ir::FunctionType>() && !holds_simd(expr.type());
    const auto* literal = expr.as<ir::Literal>();
    const auto* vector = expr.as<ir::MakeVector>();
    const bool is_zero = (literal && literal->value.bits == 0) || (vector && vector->elements.empty());
    if (plain && !is_zero && !expr.is<ir::NewBuilder>())
      found.push_back(zero_expression(arena_, expr.type()));
    ir::for_each_child(expr, [&](Expr child) {
      if (child.type() == expr.type()) found.push_back(child);
      ir::for_each_child(child, [&](Expr grandchild) {
        if (grandchild.type() == expr.type()) found.push_back(grandchild);
      });
    });
    if (const auto* lookup = expr.as<ir::GetField>()) {
      if (const auto* structure = lookup->value.as<ir::MakeStruct>())
        found.push_back(structure->members[lookup->index]);
    }
    if (!expr.annotations().empty()) found.push_back(arena_.with_annotations(expr, {}));
    return found;
  }

  static bool holds_simd(ir::Type type) {
    if (type.as<ir::SimdType>()) return true;
    if (const auto* vec = type.as<ir::VecType>()) return holds_simd(vec->element);
    const auto* structure = type.as<ir::StructType>();
    return structure && std::ranges::any_of(structure->members, holds_simd);
  }

  // A replacement is used only where the verifier accepts the program: names may not leave their scope.
  bool is_valid(Expr program) {
    try {
      ir::verify(program, stage_);
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }

  bool reduce_program() {
    bool progress = reduce_result();
    std::vector<Expr> nodes;
    ir::for_each_node(best_.program, [&](Expr expr) { nodes.push_back(expr); });
    for (std::size_t i = 1; i < nodes.size() && attempts_ < kMaxAttempts; ++i) {
      for (const Expr replacement : simpler(nodes[i])) {
        const Expr program = ir::rewrite_bottom_up(best_.program, arena_, [&](Expr expr) {
          return expr.get() == nodes[i].get() ? replacement : expr;
        });
        if (program.get() == best_.program.get() || !is_valid(program)) continue;
        Case candidate = best_;
        candidate.program = program;
        if (accept(candidate)) {
          progress = true;
          break;
        }
      }
    }
    return progress;
  }

  // The program gives one of its parts.
  bool reduce_result() {
    const auto& lambda = *best_.program.as<ir::Lambda>();
    std::vector<Expr> parts;
    ir::for_each_child(lambda.body, [&](Expr part) {
      parts.push_back(part);
      ir::for_each_child(part, [&](Expr inner) { parts.push_back(inner); });
    });
    for (const Expr part : parts) {
      if (ir::contains_builder(part.type()) || part.type().as<ir::FunctionType>()) continue;
      Case candidate = best_;
      candidate.program = arena_.make<ir::Lambda>({}, lambda.parameters, part);
      if (is_valid(candidate.program) && accept(candidate)) return true;
    }
    return false;
  }

  bool drop_parameters() {
    bool progress = false;
    for (std::size_t i = best_.arguments.size(); i-- > 0;) {
      const auto& lambda = *best_.program.as<ir::Lambda>();
      std::vector<ir::Parameter> parameters(lambda.parameters.begin(), lambda.parameters.end());
      parameters.erase(parameters.begin() + static_cast<std::ptrdiff_t>(i));
      Case candidate{arena_.make<ir::Lambda>({}, parameters, lambda.body), best_.arguments};
      candidate.arguments.erase(candidate.arguments.begin() + static_cast<std::ptrdiff_t>(i));
      progress = (is_valid(candidate.program) && accept(candidate)) || progress;
    }
    return progress;
  }

  bool reduce_arguments() {
    bool progress = false;
    for (std::size_t i = 0; i < best_.arguments.size(); ++i) {
      const ir::Type type = best_.program.as<ir::Lambda>()->parameters[i].type;
      bool again = true;
      while (again && attempts_ < kMaxAttempts) {
        again = false;
        for (const Value& smaller : smaller_values(type, best_.arguments[i])) {
          Case candidate = best_;
          candidate.arguments[i] = smaller;
          if (!accept(candidate)) continue;
          again = progress = true;
          break;
        }
      }
    }
    return progress;
  }

  static std::vector<Value> smaller_values(ir::Type type, const Value& value) {
    std::vector<Value> found;
    if (const auto* scalar = type.as<ir::ScalarType>()) {
      if (value.scalar().bits != 0) found.push_back(ir::ScalarValue{scalar->kind, 0});
      return found;
    }
    if (const auto* structure = type.as<ir::StructType>()) {
      for (std::size_t i = 0; i < structure->members.size(); ++i) {
        for (const Value& smaller : smaller_values(structure->members[i], value.members()[i])) {
          std::vector<Value> members(value.members().begin(), value.members().end());
          members[i] = smaller;
          found.push_back(Value::structure(std::move(members)));
        }
      }
      return found;
    }
    const auto* vec = type.as<ir::VecType>();
    if (!vec) return found;
    const ir::VectorValue& vector = value.vector();
    std::vector<Value> elements;
    for (std::int64_t i = 0; i < vector.length; ++i) elements.push_back(vector[i]);
    const auto without = [&](std::size_t begin, std::size_t end) {
      std::vector<Value> rest(elements.begin(), elements.begin() + static_cast<std::ptrdiff_t>(begin));
      rest.insert(rest.end(), elements.begin() + static_cast<std::ptrdiff_t>(end), elements.end());
      found.push_back(Value::vector(vec->element, rest));
    };
    const std::size_t size = elements.size();
    for (std::size_t part = size; part > 0; part /= 2) {
      for (std::size_t begin = 0; begin + part <= size && begin < 4 * part; begin += part)
        without(begin, begin + part);
      if (part > 1 && size > part) without(size - part, size);
    }
    if (size <= 8) {
      for (std::size_t i = 0; i < size; ++i) {
        for (const Value& smaller : smaller_values(vec->element, elements[i])) {
          std::vector<Value> changed = elements;
          changed[i] = smaller;
          found.push_back(Value::vector(vec->element, changed));
        }
      }
    }
    return found;
  }

  Case best_;
  const ir::Stage stage_;
  const Shows& shows_;
  ir::Arena& arena_;
  int attempts_ = 0;
};

}  // namespace

Case reduced(const Case& shown, ir::Stage stage, const Shows& shows, ir::Arena& arena) {
  return Reducer(shown, stage, shows, arena).reduce();
}

}  // namespace weld::differential
