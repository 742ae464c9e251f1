#include "bench/workloads/strings.h"

namespace weld::bench::workloads {

Array input_strings(const StringColumn& column, std::string_view name) {
  struct View {
    const native::String* data;
    std::int64_t length;
  };
  ir::Arena arena;
  const auto view = std::make_shared<View>(View{column.strings.data(), column.strings.size()});
  const ir::Type string = arena.vec(ir::Type::scalar(ir::ScalarKind::kI8));
  return Array(ir::Fragment::input(arena.vec(string), view.get(), view, name));
}

void add_inputs(Prepared& prepared, const std::string& name, const StringColumn& column) {
  prepared.inputs.push_back(plain_input(name + "_text", column.text));
  prepared.inputs.push_back(plain_input(name + "_ends", column.ends));
}

}  // namespace weld::bench::workloads
