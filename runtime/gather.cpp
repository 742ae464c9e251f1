#include "runtime/gather.h"

#include <cstring>

#include "runtime/morsel_loop.h"

namespace weld::runtime {
namespace {

constexpr std::int64_t kMorselElements = 64 * 1024;

template <class Index>
struct Gather {
  std::byte* to;
  const std::byte* from;
  std::int64_t element_bytes;
  const Index* indices;
  std::int64_t stride;

  template <std::int64_t kBytes>
  void run(std::int64_t begin, std::int64_t end) const {
    const std::int64_t bytes = kBytes ? kBytes : element_bytes;
    std::int64_t i = begin;
    // Loads overlap further ahead than the processor looks.
    constexpr std::int64_t kAhead = 24;
    for (; i + kAhead < end; ++i) {
      __builtin_prefetch(from + static_cast<std::int64_t>(indices[(i + kAhead) * stride]) * bytes);
      std::memcpy(to + i * bytes, from + static_cast<std::int64_t>(indices[i * stride]) * bytes,
                  static_cast<std::size_t>(bytes));
    }
    for (; i < end; ++i)
      std::memcpy(to + i * bytes, from + static_cast<std::int64_t>(indices[i * stride]) * bytes,
                  static_cast<std::size_t>(bytes));
  }

  static ErrorCode run_morsel(Worker*, void* captures, std::int64_t begin, std::int64_t end, void*) {
    const auto& gather = *static_cast<const Gather*>(captures);
    switch (gather.element_bytes) {
      case 0:
        break;
      case 1:
        gather.template run<1>(begin, end);
        break;
      case 4:
        gather.template run<4>(begin, end);
        break;
      case 8:
        gather.template run<8>(begin, end);
        break;
      case 16:
        gather.template run<16>(begin, end);
        break;
      case 24:
        gather.template run<24>(begin, end);
        break;
      case 32:
        gather.template run<32>(begin, end);
        break;
      default:
        gather.template run<0>(begin, end);
    }
    return ErrorCode::kSuccess;
  }
};

template <class Index>
ErrorCode gather(Worker& worker, std::byte* to, const std::byte* from, std::int64_t element_bytes,
                 const Index* indices, std::int64_t stride, std::int64_t length) noexcept {
  Gather<Index> gather{to, from, element_bytes, indices, stride};
  if (length <= kMorselElements) return Gather<Index>::run_morsel(&worker, &gather, 0, length, nullptr);
  return for_each_morsel(worker, length, kMorselElements, Gather<Index>::run_morsel, &gather);
}

}  // namespace

ErrorCode gather_elements(Worker& worker, std::byte* to, const std::byte* from, std::int64_t element_bytes,
                          const std::uint32_t* indices, std::int64_t index_stride,
                          std::int64_t length) noexcept {
  return gather(worker, to, from, element_bytes, indices, index_stride, length);
}

ErrorCode gather_elements(Worker& worker, std::byte* to, const std::byte* from, std::int64_t element_bytes,
                          const std::uint64_t* indices, std::int64_t index_stride,
                          std::int64_t length) noexcept {
  return gather(worker, to, from, element_bytes, indices, index_stride, length);
}

}  // namespace weld::runtime
