#include "bindings/c/handles.h"

#ifdef WELD_CHECK_HANDLES
#include <mutex>
#include <unordered_set>
#endif

namespace weld::bindings {

#ifdef WELD_CHECK_HANDLES
namespace {

struct Alive {
  std::mutex mutex;
  std::unordered_set<const void*> handles;
};
Alive& alive() {
  static Alive& all = *new Alive;  // handles may be freed by destructors of other libraries
  return all;
}

}  // namespace

bool is_alive(const void* handle) noexcept {
  const std::scoped_lock lock(alive().mutex);
  return alive().handles.contains(handle);
}

HandleTag::HandleTag(std::uint64_t handle_kind) : kind(handle_kind) {
  const std::scoped_lock lock(alive().mutex);
  alive().handles.insert(this);
}

HandleTag::~HandleTag() {
  const std::scoped_lock lock(alive().mutex);
  alive().handles.erase(this);
  kind = 0;
}
#else
HandleTag::HandleTag(std::uint64_t handle_kind) : kind(handle_kind) {}

// Through a volatile: the write is meant for those who look at the handle afterwards.
HandleTag::~HandleTag() {
  static_cast<volatile std::uint64_t&>(kind) = 0;
}
#endif

void ContextHandle::release_by_caller() noexcept {
  std::uint64_t held = references.load(std::memory_order_relaxed);
  do {
    if ((held & (kValue - 1)) == 0) return;
  } while (!references.compare_exchange_weak(held, held - kCaller, std::memory_order_acq_rel));
  if (held == kCaller) delete this;
}

void ErrorHandle::clear() noexcept {
  code = ErrorCode::kSuccess;
  message = "success";  // fits without allocation
  diagnostic.clear();
  location = {};
}

void ErrorHandle::fail(const std::vector<ir::Diagnostic>& diagnostics) {
  const ir::Diagnostic& first = diagnostics.front();
  code = first.code;
  message = first.message;
  location = first.location;
  diagnostic = ir::UserError(diagnostics).what();
}

void ErrorHandle::fail(ErrorCode failed_code, const char* text) noexcept {
  clear();
  code = failed_code;
  try {
    message = text;
    diagnostic = ir::Diagnostic{failed_code, text, {}}.render();
  } catch (...) {  // the code must do
  }
}

}  // namespace weld::bindings
