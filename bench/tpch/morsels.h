#pragma once

#include <cstdint>
#include <functional>

namespace weld::bench::tpch {

class MorselQueue;

/// A morsel's place in the order of all morsels. What a worker does between `wait` and `pass` happens once
/// all earlier morsels have passed, and before any later one returns from `wait`.
class Turn {
 public:
  Turn(MorselQueue& queue, std::int64_t morsel) : queue_(queue), morsel_(morsel) {}

  std::int64_t morsel() const { return morsel_; }
  void wait();
  void pass();

 private:
  friend class MorselQueue;

  MorselQueue& queue_;
  std::int64_t morsel_;
  bool passed_ = false;
};

using MorselBody = std::function<void(int worker, Turn& turn)>;

/// Calls `body` once for each morsel in [0, num_morsels), on up to `num_threads` workers (0 … num_threads -
/// 1, the caller's thread among them).
///
/// Order    morsels start in ascending order; a body that does not pass its turn passes it by returning.
/// Errors   when bodies throw, the exception of the lowest morsel that had not passed its turn is thrown on
/// (of one
///          that had, any); later morsels are given up, in `wait` at the latest.
void for_each_morsel(std::int64_t num_morsels, int num_threads, const MorselBody& body);

/// The hardware's threads, at least 1.
int default_num_threads();

}  // namespace weld::bench::tpch
