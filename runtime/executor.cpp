#include "runtime/executor.h"

#include <pthread.h>
#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include <atomic>
#include <exception>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <vector>

namespace weld::runtime {
namespace {

std::atomic<int> forks{0};

void watch_forks() noexcept {
  static const int watching =
      pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
  static_cast<void>(watching);
}

class InlineExecutor final : public Executor {
 public:
  void run(int num_parts, Part part, void* data) noexcept override { part(data); }
};

class ThreadExecutor final : public Executor {
 public:
  explicit ThreadExecutor(int threads) : free_threads_(threads - 1) {}

  void run(int num_parts, Part part, void* data) noexcept override {
    std::vector<std::thread> started;
    try {
      started.reserve(static_cast<std::size_t>(num_parts));
      while (static_cast<int>(started.size()) + 1 < num_parts && take_thread()) {
        try {
          started.emplace_back(part, data);
        } catch (...) {
          free_threads_.fetch_add(1, std::memory_order_relaxed);
          throw;
        }
      }
    } catch (const std::exception&) {
      // Fewer threads than wanted, but enough.
    }
    part(data);
    for (std::thread& thread : started) {
      thread.join();
      free_threads_.fetch_add(1, std::memory_order_relaxed);
    }
  }

 private:
  bool take_thread() {
    int free_threads = free_threads_.load(std::memory_order_relaxed);
    while (free_threads > 0) {
      if (free_threads_.compare_exchange_weak(free_threads, free_threads - 1, std::memory_order_relaxed))
        return true;
    }
    return false;
  }

  std::atomic<int> free_threads_;  // nested loops share them
};

// TBB starts no more threads than there are processors unless it is told to. The lowest of all controls
// holds, so there is one, made again when it must be raised; it lives as long as the process.
void allow_threads(int threads) {
  static std::mutex mutex;
  static auto& control = *new std::optional<tbb::global_control>;
  static int allowed = tbb::info::default_concurrency();
  const std::lock_guard lock(mutex);
  if (threads <= allowed) return;
  control.reset();
  control.emplace(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads));
  allowed = threads;
}

class TbbExecutor final : public Executor {
 public:
  explicit TbbExecutor(int threads) : arena_(threads) {
    allow_threads(threads);
    arena_.initialize();
  }

  void run(int num_parts, Part part, void* data) noexcept override {
    arena_.execute([&] {
      // A thread that waits for this loop must not start on another morsel of an outer one.
      tbb::this_task_arena::isolate([&] {
        tbb::task_group group;
        try {
          for (int i = 1; i < num_parts; ++i) group.run([=] { part(data); });
        } catch (const std::exception&) {
          // Fewer parts than wanted, but enough.
        }
        part(data);
        group.wait();
      });
    });
  }

 private:
  tbb::task_arena arena_;
};

}  // namespace

std::unique_ptr<Executor> Executor::make(ExecutorKind kind, int threads) noexcept {
  watch_forks();
  try {
    if (threads <= 1 || kind == ExecutorKind::kInline) return std::make_unique<InlineExecutor>();
    if (kind == ExecutorKind::kThreads || num_forks() > 0) return std::make_unique<ThreadExecutor>(threads);
    return std::make_unique<TbbExecutor>(threads);
  } catch (const std::exception&) {
    return nullptr;
  }
}

int num_forks() noexcept {
  return forks.load(std::memory_order_relaxed);
}

}  // namespace weld::runtime
