#include "runtime/parallel_copy.h"

#include <cstring>

#include "runtime/calls.h"
#include "runtime/morsel_loop.h"

namespace weld::runtime {
namespace {

constexpr std::int64_t kMorselBytes = 2 << 20;

struct Copy {
  std::byte* to;
  const std::byte* from;

  static ErrorCode run(Worker*, void* captures, std::int64_t begin, std::int64_t end, void*) {
    const auto& copy = *static_cast<const Copy*>(captures);
    std::memcpy(copy.to + begin, copy.from + begin, static_cast<std::size_t>(end - begin));
    return ErrorCode::kSuccess;
  }
};

}  // namespace

ErrorCode copy_bytes(Worker& worker, std::byte* to, const std::byte* from, std::int64_t num_bytes) noexcept {
  if (num_bytes <= 0) return ErrorCode::kSuccess;
  Copy copy{to, from};
  if (num_bytes <= kMorselBytes) return Copy::run(&worker, &copy, 0, num_bytes, nullptr);
  return for_each_morsel(worker, num_bytes, kMorselBytes, Copy::run, &copy);
}

extern "C" ErrorCode weld_rt_copy_vector(Worker* worker, const std::byte* data, std::int64_t length,
                                         std::int64_t element_bytes, VecView* result) noexcept {
  const std::int64_t bytes = length * element_bytes;
  std::byte* copy = weld_rt_allocate(worker, bytes);
  if (!copy) return ErrorCode::kOutOfMemory;
  *result = {copy, length};
  return copy_bytes(*worker, copy, data, bytes);
}

}  // namespace weld::runtime
