#include "bench/peers/read_bandwidth.h"

#include <sys/mman.h>

#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "bench/report/measurement.h"

namespace weld::bench::peers {
namespace {

// Adds all words, so that every line is read. Eight sums hide the latency of addition.
std::uint64_t sum_words(const std::byte* begin, std::size_t num_bytes) {
  using Vector = std::uint64_t __attribute__((vector_size(64), aligned(64)));
  Vector sums[8] = {};
  const auto* vectors = reinterpret_cast<const Vector*>(begin);
  for (std::size_t i = 0; i + 8 <= num_bytes / sizeof(Vector); i += 8) {
    for (std::size_t k = 0; k < 8; ++k) sums[k] += vectors[i + k];
  }
  std::uint64_t total = 0;
  for (const Vector& sum : sums) {
    for (std::size_t lane = 0; lane < 8; ++lane) total += sum[lane];
  }
  return total;
}

class Mapping {
 public:
  explicit Mapping(std::size_t num_bytes) : num_bytes_(num_bytes) {
    address_ = mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address_ == MAP_FAILED) throw std::bad_alloc();
    madvise(address_, num_bytes, MADV_HUGEPAGE);  // only a wish
    std::memset(address_, 1, num_bytes);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { munmap(address_, num_bytes_); }

  const std::byte* data() const { return static_cast<const std::byte*>(address_); }

 private:
  void* address_;
  std::size_t num_bytes_;
};

}  // namespace

double read_bandwidth(int threads, std::size_t num_bytes, int runs) {
  const Mapping memory(num_bytes);
  const std::size_t part = num_bytes / static_cast<std::size_t>(threads) / 4096 * 4096;
  std::vector<double> times;
  std::vector<std::uint64_t> totals(static_cast<std::size_t>(threads) * 8);  // a cache line each
  std::barrier meeting(threads);
  const auto work = [&](int thread) {
    const auto index = static_cast<std::size_t>(thread);
    for (int run = 0; run < runs; ++run) {
      meeting.arrive_and_wait();
      const auto start = std::chrono::steady_clock::now();
      totals[index * 8] += sum_words(memory.data() + index * part, part);
      meeting.arrive_and_wait();
      if (thread != 0) continue;
      times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
  };
  std::vector<std::jthread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(work, thread);
  work(0);
  others.clear();
  volatile std::uint64_t keep = totals[0];
  (void)keep;
  return static_cast<double>(part) * threads / median(times) / 1e9;
}

}  // namespace weld::bench::peers
