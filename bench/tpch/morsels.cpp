#include "bench/tpch/morsels.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace weld::bench::tpch {
namespace {

// Unwinds a body whose morsel is no longer wanted.
struct GivenUp {};

}  // namespace

class MorselQueue {
 public:
  MorselQueue(std::int64_t num_morsels, const MorselBody& body) : num_morsels_(num_morsels), body_(body) {}

  void work(int worker) {
    while (!stopped_) {
      const std::int64_t morsel = next_morsel_++;
      if (morsel >= num_morsels_) return;
      Turn turn(*this, morsel);
      try {
        body_(worker, turn);
        if (!turn.passed_) {
          turn.wait();
          turn.pass();
        }
      } catch (GivenUp) {
        return;
      } catch (...) {
        fail(turn, std::current_exception());
        return;
      }
    }
  }

  void wait(std::int64_t morsel) {
    std::unique_lock lock(mutex_);
    moved_.wait(lock, [&] { return stopped_ || num_passed_ == morsel; });
    if (stopped_) throw GivenUp();
  }

  void pass() {
    {
      const std::lock_guard lock(mutex_);
      ++num_passed_;
    }
    moved_.notify_all();
  }

  void rethrow() {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  // Waits for the earlier morsels, which may have failed too: theirs is then the error to report.
  void fail(Turn& turn, std::exception_ptr error) {
    std::unique_lock lock(mutex_);
    if (!turn.passed_) {
      moved_.wait(lock, [&] { return stopped_ || num_passed_ == turn.morsel_; });
    }
    if (!stopped_) error_ = std::move(error);
    stopped_ = true;
    lock.unlock();
    moved_.notify_all();
  }

  const std::int64_t num_morsels_;
  const MorselBody& body_;
  std::atomic<std::int64_t> next_morsel_ = 0;
  std::atomic<bool> stopped_ = false;  // written under the mutex
  std::mutex mutex_;
  std::condition_variable moved_;
  std::int64_t num_passed_ = 0;
  std::exception_ptr error_;
};

void Turn::wait() {
  queue_.wait(morsel_);
}

void Turn::pass() {
  passed_ = true;
  queue_.pass();
}

void for_each_morsel(std::int64_t num_morsels, int num_threads, const MorselBody& body) {
  MorselQueue queue(num_morsels, body);
  {
    std::vector<std::jthread> threads;
    const std::int64_t num_workers = std::min<std::int64_t>(num_threads, num_morsels);
    for (int worker = 1; worker < num_workers; ++worker) {
      try {
        threads.emplace_back([&queue, worker] { queue.work(worker); });
      } catch (const std::system_error&) {
        break;  // no more threads to be had: those that run do the work
      }
    }
    queue.work(0);
  }
  queue.rethrow();
}

int default_num_threads() {
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

}  // namespace weld::bench::tpch
