#pragma once

#include <concepts>
#include <cstdint>

namespace weld::bench::workloads::native {

/// Calls `body(begin, end, thread)` for parts of [0, length), each of `part` elements but the last, on that
/// many threads, which live from call to call. Threads take the next part when they have done one.
void for_each_part(std::int64_t length, std::int64_t part, int threads,
                   std::invocable<std::int64_t, std::int64_t, int> auto&& body);

inline constexpr int kMaxThreads = 64;

/// A value a thread, on cache lines of its own.
template <class T>
class PerThread {
 public:
  T& operator[](int thread) { return values_[thread].value; }

 private:
  struct alignas(128) Slot {
    T value{};
  };
  Slot values_[kMaxThreads];
};

// Implementation.

/// Calls `work(data, thread)` on that many threads, the calling one among them.
void run_on_threads(int threads, void (*work)(void* data, int thread), void* data);

}  // namespace weld::bench::workloads::native

#include <algorithm>
#include <atomic>
#include <type_traits>

namespace weld::bench::workloads::native {

void for_each_part(std::int64_t length, std::int64_t part, int threads,
                   std::invocable<std::int64_t, std::int64_t, int> auto&& body) {
  struct Shared {
    std::int64_t length;
    std::int64_t part;
    std::remove_reference_t<decltype(body)>* body;
    alignas(128) std::atomic<std::int64_t> next = 0;
  } shared{length, part, &body};
  run_on_threads(
      threads,
      [](void* data, int thread) {
        Shared& all = *static_cast<Shared*>(data);
        while (true) {
          const std::int64_t begin = all.next.fetch_add(all.part, std::memory_order_relaxed);
          if (begin >= all.length) return;
          (*all.body)(begin, std::min(begin + all.part, all.length), thread);
        }
      },
      &shared);
}

}  // namespace weld::bench::workloads::native
