#pragma once

#include "runtime/run_context.h"

namespace weld::runtime {

/// Counted memory of a native routine, in no scope, freed at its end. Null when out of memory.
class Scratch {
 public:
  Scratch(Worker& worker, std::int64_t bytes) noexcept
      : heap_(state_of(worker).heap), block_(heap_.allocate(bytes)) {}
  ~Scratch() {
    if (block_) heap_.free(block_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  explicit operator bool() const { return block_ != nullptr; }
  template <class T = std::byte>
  T* as() const {
    return reinterpret_cast<T*>(block_->payload());
  }
  /// Makes it a block of the scope where `place` belongs.
  void keep_beside(Block& place) noexcept {
    link_beside(&place, block_);
    block_ = nullptr;
  }
  /// Makes it a block of the worker's scope.
  std::byte* keep(Worker& worker) noexcept {
    std::byte* payload = block_->payload();
    link_last(worker.scope->blocks, block_);
    block_ = nullptr;
    return payload;
  }

 private:
  WorkerHeap& heap_;
  Block* block_;
};

}  // namespace weld::runtime
