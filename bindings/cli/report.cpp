#include <fmt/format.h>

#include <cstdio>
#include <new>

#include "bindings/cli/commands.h"
#include "ir/error.h"

namespace weld::cli {

Status report_current_exception() {
  try {
    throw;
  } catch (const UsageError& error) {
    fmt::print(stderr, "weld: {}\n", error.what());
    return kUsage;
  } catch (const ir::UserError& error) {
    fmt::print(stderr, "{}\n", error.what());
    const bool is_call =
        error.code() == ErrorCode::kConfigurationError || error.code() == ErrorCode::kLoadLibraryError;
    return is_call ? kUsage : kRejected;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "weld: out of memory\n");
    return kFailedRun;
  } catch (const std::exception& error) {
    fmt::print(stderr, "weld: internal error: {}\n", error.what());
    return kFailedRun;
  }
}

}  // namespace weld::cli
