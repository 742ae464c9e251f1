#include <fmt/format.h>

#include <algorithm>

#include "bindings/cli/commands.h"
#include "passes/pipeline.h"

namespace weld::cli {

Status list_passes() {
  std::size_t width = 0;
  for (const passes::Pass& pass : passes::all_passes()) width = std::max(width, pass.name.size());
  for (std::string_view name : passes::default_order()) {
    const passes::Pass& pass = *passes::find_pass(name);
    fmt::print("{:<{}}  {}{}\n", pass.name, width, pass.summary, pass.mandatory ? " (always runs)" : "");
  }
  return kOk;
}

}  // namespace weld::cli
