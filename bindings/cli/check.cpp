#include <fmt/format.h>

#include "bindings/cli/commands.h"

namespace weld::cli {

Status check(const CheckCommand& command) {
  return reporting([&] {
    const LoadedProgram loaded = load_program(command.source);
    fmt::print("{}\n", program_type(loaded.program));
    return kOk;
  });
}

}  // namespace weld::cli
