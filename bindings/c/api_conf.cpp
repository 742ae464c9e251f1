#include "bindings/c/handles.h"

using namespace weld::bindings;

weld_conf_t weld_conf_new(void) {
  return guarded([]() -> void* { return new ConfHandle; });
}

void weld_conf_free(weld_conf_t conf) {
  delete open<ConfHandle>(conf);
}

const char* weld_conf_get(weld_conf_t conf, const char* key) {
  return guarded([&]() -> const char* {
    const auto* handle = open<ConfHandle>(conf);
    if (!handle || !key) return nullptr;
    const auto found = handle->values.find(std::string_view(key));
    return found == handle->values.end() ? nullptr : found->second.c_str();
  });
}

void weld_conf_set(weld_conf_t conf, const char* key, const char* value) {
  guarded([&] {
    auto* handle = open<ConfHandle>(conf);
    if (handle && key && value) handle->values.insert_or_assign(key, value);
  });
}
