#include "bindings/c/handles.h"
#include "bindings/c/log.h"

using namespace weld;
using namespace weld::bindings;

namespace {

weld_context_t new_context(weld_conf_t conf) {
  const Settings settings = parse_conf(conf ? require<ConfHandle>(conf, "the conf").values : Conf());
  for (const std::string& warning : settings.warnings) log(LogLevel::kWarn, warning);
  auto memory = std::make_shared<runtime::Context>(
      runtime::ContextOptions{.memory_limit = settings.memory_limit_bytes});
  const codegen::RunOptions defaults{.num_threads = settings.num_threads,
                                     .deadline_ms = settings.deadline_ms,
                                     .adaptive = settings.adaptive,
                                     .vecmerger = settings.vecmerger,
                                     .dictmerger = settings.dictmerger};
  return new ContextHandle(std::move(memory), defaults);
}

}  // namespace

weld_context_t weld_context_new(weld_conf_t conf) {
  try {
    return new_context(conf);
  } catch (const std::exception& error) {
    log(LogLevel::kError, error.what());
    return nullptr;
  }
}

weld_context_t weld_context_new_checked(weld_conf_t conf, weld_error_t err) {
  return guarded(err, [&] { return new_context(conf); });
}

int64_t weld_context_memory_usage(weld_context_t context) {
  const auto* handle = open<ContextHandle>(context);
  return handle ? handle->context->bytes_in_use() : 0;
}

void weld_context_free(weld_context_t context) {
  if (auto* handle = open<ContextHandle>(context)) handle->release_by_caller();
}
