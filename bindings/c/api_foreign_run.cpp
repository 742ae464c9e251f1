#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_map>

#include "bindings/c/handles.h"
#include "runtime/calls.h"
#include "runtime/memory.h"

using namespace weld;
using namespace weld::bindings;

namespace {

// A run that a client made by hand: the original's, for tests and for functions called outside of programs.
struct ForeignRun : HandleTag {
  static constexpr std::uint64_t kKind = 0x6e75727220646c77;
  explicit ForeignRun(std::int64_t memory_limit) : HandleTag(kKind), limit_bytes(memory_limit) {}
  ~ForeignRun() {
    for (const auto& [pointer, bytes] : allocations) std::free(pointer);
  }

  void* allocate(void* old, std::int64_t bytes) {
    const auto found = allocations.find(old);
    const std::int64_t old_bytes = found == allocations.end() ? 0 : found->second;
    if (old && found == allocations.end()) return nullptr;
    if (bytes > limit_bytes - used_bytes + old_bytes) {
      code = ErrorCode::kOutOfMemory;
      return nullptr;
    }
    void* pointer = std::realloc(old, static_cast<std::size_t>(bytes));
    if (!pointer) {
      code = ErrorCode::kOutOfMemory;
      return nullptr;
    }
    if (old) allocations.erase(found);
    allocations.emplace(pointer, bytes);
    used_bytes += bytes - old_bytes;
    return pointer;
  }

  void free(void* pointer) {
    const auto found = allocations.find(pointer);
    if (found == allocations.end()) return;
    used_bytes -= found->second;
    allocations.erase(found);
    std::free(pointer);
  }

  std::int64_t limit_bytes;
  std::int64_t used_bytes = 0;
  std::unordered_map<void*, std::int64_t> allocations;
  void* result = nullptr;
  ErrorCode code = ErrorCode::kSuccess;
};

// The worker that called the function; null when `run` is a handle, or no program runs on this thread.
runtime::Worker* calling_worker(weld_run_t run) noexcept {
  return run ? nullptr : runtime::current_worker();
}

void fail(runtime::Worker* worker, ErrorCode code) noexcept {
  runtime::weld_rt_fail(worker, code, runtime::kNoSpan);
}

thread_local void* thread_result = nullptr;

}  // namespace

void weld_init(void) {}

weld_run_t weld_runst_init(int32_t, int64_t memlimit) {
  return guarded([&]() -> void* { return new ForeignRun(memlimit); });
}

void weld_runst_release(weld_run_t run) {
  delete open<ForeignRun>(run);
}

void* weld_runst_malloc(weld_run_t run, int64_t size) {
  return weld_runst_realloc(run, nullptr, size);
}

void* weld_runst_realloc(weld_run_t run, void* pointer, int64_t size) {
  if (size < 0 || (size == 0 && !pointer)) return nullptr;
  if (runtime::Worker* worker = calling_worker(run)) {
    auto* block = static_cast<std::byte*>(pointer);
    const std::int64_t used =
        block ? std::min(size, runtime::Block::of(block)->requested_bytes) : std::int64_t{0};
    std::byte* grown = runtime::weld_rt_grow(worker, block, used, size);
    if (!grown) fail(worker, ErrorCode::kOutOfMemory);
    return grown;
  }
  return guarded([&]() -> void* {
    auto* handle = open<ForeignRun>(run);
    return handle ? handle->allocate(pointer, size) : nullptr;
  });
}

void weld_runst_free(weld_run_t run, void* pointer) {
  if (runtime::Worker* worker = calling_worker(run)) {
    runtime::weld_rt_free(worker, static_cast<std::byte*>(pointer));
  } else if (auto* handle = open<ForeignRun>(run)) {
    handle->free(pointer);
  }
}

void weld_runst_set_result(weld_run_t run, void* pointer) {
  if (auto* handle = open<ForeignRun>(run)) handle->result = pointer;
  if (!run) thread_result = pointer;
}

void* weld_runst_get_result(weld_run_t run) {
  const auto* handle = open<ForeignRun>(run);
  return handle ? handle->result : run ? nullptr : thread_result;
}

void weld_runst_set_errno(weld_run_t run, uint64_t code) {
  const ErrorCode known = code < ErrnoMax ? static_cast<ErrorCode>(code) : ErrorCode::kUnknown;
  if (runtime::Worker* worker = calling_worker(run)) {
    if (known != ErrorCode::kSuccess) fail(worker, known);
  } else if (auto* handle = open<ForeignRun>(run)) {
    handle->code = known;
  }
}

uint64_t weld_runst_get_errno(weld_run_t run) {
  if (runtime::Worker* worker = calling_worker(run)) {
    return static_cast<uint64_t>(runtime::state_of(worker).failed_code);
  }
  const auto* handle = open<ForeignRun>(run);
  return static_cast<uint64_t>(handle ? handle->code : ErrorCode::kRunNotFound);
}

uint8_t weld_runst_assert(weld_run_t run, uint8_t condition) {
  if (condition == 0) weld_runst_set_errno(run, AssertionError);
  return condition != 0;
}

void weld_runst_print(weld_run_t, const char* text) {
  if (text) std::printf("%s\n", text);
}
