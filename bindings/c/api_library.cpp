#include "bindings/c/handles.h"
#include "bindings/c/log.h"
#include "runtime/foreign.h"

using namespace weld;
using namespace weld::bindings;

void weld_load_library(const char* filename, weld_error_t err) {
  guarded(err, [&] {
    if (!filename) throw ir::UserError("the file name is NULL", {}, ErrorCode::kLoadLibraryError);
    const auto loaded = runtime::load_foreign_library(filename);
    if (!loaded) throw ir::UserError(loaded.error(), {}, ErrorCode::kLoadLibraryError);
  });
}

void weld_set_log_level(WeldLogLevel level) {
  const auto number = static_cast<unsigned>(level);
  set_log_level(number <= WeldLogLevelTrace ? static_cast<LogLevel>(number) : LogLevel::kTrace);
}

const char* weld_version(void) {
  return WELD_VERSION;
}
