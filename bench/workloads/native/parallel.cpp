#include "bench/workloads/native/parallel.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace weld::bench::workloads::native {
namespace {

// Threads that sleep between calls.
class Workers {
 public:
  ~Workers() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    start_.notify_all();
  }

  void run(int threads, void (*work)(void* data, int thread), void* data) {
    {
      const std::lock_guard lock(mutex_);
      while (static_cast<int>(threads_.size()) < threads - 1) {
        const int thread = static_cast<int>(threads_.size()) + 1;
        threads_.emplace_back([this, thread, seen = call_] { serve(thread, seen); });
      }
      work_ = work;
      data_ = data;
      num_threads_ = threads;
      num_working_ = threads - 1;
      ++call_;
    }
    start_.notify_all();
    work(data, 0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return num_working_ == 0; });
  }

 private:
  void serve(int thread, std::int64_t seen) {
    std::unique_lock lock(mutex_);
    while (true) {
      start_.wait(lock, [&] { return ending_ || call_ != seen; });
      if (ending_) return;
      seen = call_;
      if (thread >= num_threads_) continue;
      const auto work = work_;
      void* const data = data_;
      lock.unlock();
      work(data, thread);
      lock.lock();
      if (--num_working_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
  void (*work_)(void*, int) = nullptr;
  void* data_ = nullptr;
  int num_threads_ = 0;
  int num_working_ = 0;
  std::int64_t call_ = 0;
  bool ending_ = false;
  std::vector<std::jthread> threads_;  // last, so that they end first
};

}  // namespace

void run_on_threads(int threads, void (*work)(void* data, int thread), void* data) {
  if (threads <= 1) return work(data, 0);
  static Workers workers;
  workers.run(std::min(threads, kMaxThreads), work, data);
}

}  // namespace weld::bench::workloads::native
