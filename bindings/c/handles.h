#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "bindings/c/conf.h"
#include "bindings/c/weld.h"
#include "codegen/engine.h"
#include "ir/error.h"
#include "runtime/run_context.h"

namespace weld::bindings {

/// In front of every handle: what kind of handle it is, so that another one is told apart. Cleared when it is
/// freed, and in builds with WELD_CHECK_HANDLES freed handles are always recognised.
struct HandleTag {
  explicit HandleTag(std::uint64_t kind);
  ~HandleTag();
  HandleTag(const HandleTag&) = delete;
  HandleTag& operator=(const HandleTag&) = delete;

  std::uint64_t kind;
};

/// The object behind a handle; null when it is NULL, of another kind, or known to be freed.
template <class T>
T* open(void* handle) noexcept;

struct ConfHandle : HandleTag {
  static constexpr std::uint64_t kKind = 0x666e6f6320646c77;
  ConfHandle() : HandleTag(kKind) {}

  Conf values;
};

/// Counted: references that callers hold, and values.
struct ContextHandle : HandleTag {
  static constexpr std::uint64_t kKind = 0x7478657420646c77;
  ContextHandle(std::shared_ptr<runtime::Context> memory, const codegen::RunOptions& defaults)
      : HandleTag(kKind), context(std::move(memory)), run_defaults(defaults) {}

  void retain_by_value() noexcept { references.fetch_add(kValue, std::memory_order_relaxed); }
  void release_by_value() noexcept { drop(kValue); }
  void retain_by_caller() noexcept { references.fetch_add(kCaller, std::memory_order_relaxed); }
  /// Does nothing when no caller holds a reference.
  void release_by_caller() noexcept;

  std::shared_ptr<runtime::Context> context;
  codegen::RunOptions run_defaults;

 private:
  static constexpr std::uint64_t kCaller = 1;
  static constexpr std::uint64_t kValue = std::uint64_t{1} << 32;

  void drop(std::uint64_t reference) noexcept {
    if (references.fetch_sub(reference, std::memory_order_acq_rel) == reference) delete this;
  }

  std::atomic<std::uint64_t> references{kCaller};
};

/// What a module and its values share. Immutable.
struct CompiledModule {
  std::shared_ptr<const codegen::Program> program;
  std::string type;
  std::string result_type;
  std::vector<std::string> parameter_types;
  double parse_ms = 0;
};

struct ModuleHandle : HandleTag {
  static constexpr std::uint64_t kKind = 0x65646f6d20646c77;
  explicit ModuleHandle(std::shared_ptr<const CompiledModule> module)
      : HandleTag(kKind), compiled(std::move(module)) {}

  std::shared_ptr<const CompiledModule> compiled;
};

struct ValueHandle : HandleTag {
  static constexpr std::uint64_t kKind = 0x756c617620646c77;
  explicit ValueHandle(const void* host_data) : HandleTag(kKind), data(host_data) {}
  ValueHandle(std::shared_ptr<const CompiledModule> module, ContextHandle* run_in, codegen::Result run_result)
      : HandleTag(kKind),
        data(run_result.data()),
        compiled(std::move(module)),
        context(run_in),
        result(std::move(run_result)) {
    context->retain_by_value();
  }
  ~ValueHandle() {
    result = codegen::Result();  // its memory goes back to the context
    if (context) context->release_by_value();
  }

  const void* data;
  std::shared_ptr<const CompiledModule> compiled;  ///< of a result: constants in its code may be part of it
  ContextHandle* context = nullptr;                ///< null for host data
  codegen::Result result;
  std::int64_t run_id = -1;
};

struct CancelHandle : HandleTag {
  static constexpr std::uint64_t kKind = 0x636e616320646c77;
  CancelHandle() : HandleTag(kKind) {}

  runtime::CancelToken token;
};

struct ErrorHandle : HandleTag {
  static constexpr std::uint64_t kKind = 0x6f72726520646c77;
  ErrorHandle() : HandleTag(kKind) {}

  void succeed() noexcept {
    if (code != ErrorCode::kSuccess) clear();
  }
  void fail(const std::vector<ir::Diagnostic>& diagnostics);
  void fail(ErrorCode failed_code, const char* text) noexcept;

  ErrorCode code = ErrorCode::kSuccess;
  std::string message = "success";
  std::string diagnostic;
  ir::Location location;

 private:
  void clear() noexcept;
};

bool is_alive(const void* handle) noexcept;

template <class T>
T* open(void* handle) noexcept {
#ifdef WELD_CHECK_HANDLES
  if (!is_alive(handle)) return nullptr;
#endif
  auto* tag = static_cast<HandleTag*>(handle);
  return tag && tag->kind == T::kKind ? static_cast<T*>(tag) : nullptr;
}

/// The object behind a handle; throws UserError (Unknown) when there is none. `what` names the argument.
template <class T>
T& require(void* handle, const char* what) {
  T* object = open<T>(handle);
  if (!object) {
    throw ir::UserError(std::string(what) + (handle ? " is no such handle" : " is NULL"), {},
                        ErrorCode::kUnknown);
  }
  return *object;
}

/// Calls `body()` and reports to `err` (may be NULL) how that went. No exception leaves; after one the result
/// is value-initialised.
template <class F>
auto guarded(weld_error_t err, F&& body) noexcept -> decltype(body()) {
  ErrorHandle* error = open<ErrorHandle>(err);
  try {
    if (error) error->succeed();
    return body();
  } catch (const ir::UserError& thrown) {
    try {
      if (error) error->fail(thrown.diagnostics());
    } catch (...) {
      error->fail(thrown.code(), "");
    }
  } catch (const std::bad_alloc&) {
    if (error) error->fail(ErrorCode::kOutOfMemory, "out of memory");
  } catch (const std::exception& thrown) {
    if (error) error->fail(ErrorCode::kUnknown, thrown.what());
  } catch (...) {
    if (error) error->fail(ErrorCode::kUnknown, "an exception of an unknown kind");
  }
  return decltype(body())();
}

/// For functions without an error object: the result of `body()`, value-initialised after an exception.
template <class F>
auto guarded(F&& body) noexcept -> decltype(body()) {
  return guarded(nullptr, std::forward<F>(body));
}

}  // namespace weld::bindings
