#include "runtime/foreign.h"

#include <dlfcn.h>

#include <algorithm>
#include <mutex>
#include <vector>

namespace weld::runtime {
namespace {

struct Libraries {
  std::mutex mutex;
  std::vector<void*> handles;  // in the order of loading
};

// Never destroyed: programs may run while the process ends.
Libraries& libraries() {
  static auto& loaded = *new Libraries;
  return loaded;
}

}  // namespace

std::expected<void, std::string> load_foreign_library(const std::string& file) {
  Libraries& loaded = libraries();
  const std::lock_guard lock(loaded.mutex);
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* message = dlerror();
    return std::unexpected(message ? message : "cannot load " + file);
  }
  if (std::ranges::find(loaded.handles, handle) == loaded.handles.end()) loaded.handles.push_back(handle);
  return {};
}

void* find_foreign_symbol(const std::string& name) {
  Libraries& loaded = libraries();
  const std::lock_guard lock(loaded.mutex);
  for (auto handle = loaded.handles.rbegin(); handle != loaded.handles.rend(); ++handle)
    if (void* address = dlsym(*handle, name.c_str())) return address;
  return dlsym(RTLD_DEFAULT, name.c_str());
}

}  // namespace weld::runtime
