#include "runtime/executor.h"

#include <pthread.h>
#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <vector>

namespace weld::runtime {
namespace {

#if __has_feature(thread_sanitizer)
constexpr bool kSanitizesThreads = true;
#else
constexpr bool kSanitizesThreads = false;
#endif

std::atomic<int> forks{0};

void watch_forks() noexcept {
  static const int watching =
      pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
  static_cast<void>(watching);
}

class InlineExecutor final : public Executor {
 public:
  int call(int, Part, void*) noexcept override { return 0; }
};

// Threads are started when there are more calls than threads free, and stay.
class ThreadExecutor final : public Executor {
 public:
  explicit ThreadExecutor(int threads) : max_threads_(threads - 1) {}

  ~ThreadExecutor() override {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    for (const Call& call : waiting_) call.part(call.data);
  }

  int call(int count, Part part, void* data) noexcept override {
    const std::lock_guard lock(mutex_);
    int made = 0;
    try {
      for (; made < count; ++made) {
        waiting_.push_back({part, data});
        changed_.notify_one();
      }
      while (static_cast<int>(threads_.size()) < max_threads_ && std::ssize(waiting_) > num_idle_) {
        threads_.emplace_back([this] { work(); });
        ++num_idle_;
      }
    } catch (const std::exception&) {
      // Fewer calls or threads than wanted, but enough.
    }
    return made;
  }

 private:
  struct Call {
    Part part;
    void* data;
  };

  void work() noexcept {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ended_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      const Call call = waiting_.back();
      waiting_.pop_back();
      --num_idle_;
      lock.unlock();
      call.part(call.data);
      lock.lock();
      ++num_idle_;
    }
  }

  const int max_threads_;
  std::mutex mutex_;  // everything below
  std::condition_variable changed_;
  std::vector<Call> waiting_;
  std::vector<std::thread> threads_;
  int num_idle_ = 0;
  bool ended_ = false;
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

  ~TbbExecutor() noexcept override {
    arena_.execute([&] { group_.wait(); });
  }

  int call(int count, Part part, void* data) noexcept override {
    int made = 0;
    try {
      arena_.execute([&] {
        for (; made < count; ++made) group_.run([part, data] { part(data); });
      });
    } catch (const std::exception&) {
      // Fewer calls than wanted, but enough.
    }
    return made;
  }

 private:
  tbb::task_arena arena_;
  // Not a part of what the host may be running in TBB, and cancel.
  tbb::task_group_context context_{tbb::task_group_context::isolated};
  tbb::task_group group_{context_};
};

}  // namespace

std::unique_ptr<Executor> Executor::make(ExecutorKind kind, int threads) noexcept {
  watch_forks();
  try {
    if (threads <= 1 || kind == ExecutorKind::kInline) return std::make_unique<InlineExecutor>();
    if (kind == ExecutorKind::kThreads || num_forks() > 0 || kSanitizesThreads)
      return std::make_unique<ThreadExecutor>(threads);
    return std::make_unique<TbbExecutor>(threads);
  } catch (const std::exception&) {
    return nullptr;
  }
}

int num_forks() noexcept {
  return forks.load(std::memory_order_relaxed);
}

}  // namespace weld::runtime
