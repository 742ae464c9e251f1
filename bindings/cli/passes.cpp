#include <fmt/format.h>

#include "bindings/cli/commands.h"
#include "passes/pipeline.h"

namespace weld::cli {

Status list_passes() {
  for (std::string_view name : passes::default_order()) {
    const passes::Pass& pass = *passes::find_pass(name);
    fmt::print("{:<16}  {}{}\n", pass.name, pass.summary, pass.mandatory ? " (always runs)" : "");
  }
  return kOk;
}

}  // namespace weld::cli
