#include "bindings/c/type_text.h"

#include <tuple>
#include <variant>
#include <vector>

#include "ir/arena.h"

namespace weld::bindings {
namespace {

// Copies of types without annotations. Types nest at most ir::kMaxTypeDepth deep, so recursion is bounded.
ir::Type without_annotations(ir::Type type, ir::Arena& arena);

void strip(ir::Type& field, ir::Arena& arena) {
  field = without_annotations(field, arena);
}
void strip(std::span<const ir::Type>& field, ir::Arena& arena) {
  std::vector<ir::Type> stripped;
  for (ir::Type type : field) stripped.push_back(without_annotations(type, arena));
  field = arena.keep(stripped);
}
template <class T>
void strip(T&, ir::Arena&) {}

ir::Type without_annotations(ir::Type type, ir::Arena& arena) {
  ir::TypeNode node = type.record().node;
  std::visit(
      [&](auto& n) {
        std::apply([&](auto&... field) { (strip(field, arena), ...); },
                   std::remove_cvref_t<decltype(n)>::fields(n));
      },
      node);
  return arena.add_type(node);
}

}  // namespace

std::string type_text(ir::Type type) {
  ir::Arena arena;
  return ir::to_string(without_annotations(type, arena));
}

std::string program_type_text(const codegen::Program& program) {
  const std::span<const ir::Type> parameters = program.parameter_types();
  if (parameters.empty()) return type_text(program.result_type());
  std::string text;
  for (ir::Type type : parameters) text += (text.empty() ? "|" : ",") + type_text(type);
  return text + "| " + type_text(program.result_type());
}

}  // namespace weld::bindings
