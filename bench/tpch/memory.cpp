#include "bench/tpch/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "bench/tpch/error.h"

namespace weld::bench::tpch {
namespace {

constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;
constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kSlackBytes = 64;
// Strides of 5 lines, since powers of two would meet again in the sets of smaller caches.
constexpr std::size_t kStaggerBytes = 5 * 64;
constexpr std::size_t kNumStaggers = 12;

std::size_t round_up(std::size_t num_bytes, std::size_t unit) {
  return (num_bytes + unit - 1) / unit * unit;
}

}  // namespace

ColumnMemory::ColumnMemory(std::size_t capacity_bytes) {
  static std::atomic<std::size_t> num_columns = 0;
  const std::size_t stagger = num_columns++ % kNumStaggers * kStaggerBytes;
  const bool huge = capacity_bytes >= kHugePageBytes;
  mapping_bytes_ = round_up(stagger + capacity_bytes + kSlackBytes + (huge ? kHugePageBytes : 0), kPageBytes);
  void* mapping = mmap(nullptr, mapping_bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) {
    const int reason = errno;
    throw DataError(
        fmt::format("cannot reserve {} bytes for a column: {}", mapping_bytes_, std::strerror(reason)));
  }
  mapping_ = static_cast<std::byte*>(mapping);
  std::size_t skipped = 0;
  if (huge) {
    skipped = round_up(reinterpret_cast<std::size_t>(mapping_), kHugePageBytes) -
              reinterpret_cast<std::size_t>(mapping_);
    // Only a wish: small pages work as well.
    madvise(mapping_ + skipped, mapping_bytes_ - skipped, MADV_HUGEPAGE);
  }
  base_ = mapping_ + skipped + stagger;
}

ColumnMemory::ColumnMemory(ColumnMemory&& other) noexcept
    : mapping_(std::exchange(other.mapping_, nullptr)),
      mapping_bytes_(std::exchange(other.mapping_bytes_, 0)),
      base_(std::exchange(other.base_, nullptr)) {}

ColumnMemory& ColumnMemory::operator=(ColumnMemory&& other) noexcept {
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_bytes_, other.mapping_bytes_);
  std::swap(base_, other.base_);
  return *this;
}

ColumnMemory::~ColumnMemory() {
  if (mapping_) munmap(mapping_, mapping_bytes_);
}

void ColumnMemory::trim(std::size_t num_bytes) {
  const std::size_t kept =
      round_up(static_cast<std::size_t>(base_ - mapping_) + num_bytes + kSlackBytes, kPageBytes);
  if (kept >= mapping_bytes_) return;
  munmap(mapping_ + kept, mapping_bytes_ - kept);
  mapping_bytes_ = kept;
}

}  // namespace weld::bench::tpch
