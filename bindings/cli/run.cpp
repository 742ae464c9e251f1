#include <fmt/format.h>

#include <cstdio>

#include "bindings/cli/commands.h"
#include "bindings/cli/execution.h"

namespace weld::cli {

std::vector<std::string> read_arguments(const RunCommand& command) {
  if (command.arguments_file.empty()) return command.arguments;
  if (!command.arguments.empty()) throw UsageError("--arg and --args-file exclude each other");
  return split_json_array(read_file(command.arguments_file), command.arguments_file);
}

Status run(const RunCommand& command) {
  return reporting([&] {
    const bindings::Settings settings = read_settings(command.flags);
    const LoadedProgram loaded = load_program(command.source);
    const Execution execution = execute(loaded.program, read_arguments(command), settings);
    if (!execution.result) {
      fmt::print(stderr, "{}\n", execution.result.error().render());
      return kFailedRun;
    }
    fmt::print("{}\n", to_json(execution.result->data(), execution.program->result_type(),
                               {.strings = command.strings}));
    return kOk;
  });
}

}  // namespace weld::cli
