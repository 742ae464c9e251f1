#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace weld::codegen {

/// Keeps the `capacity` most recently used values by key. What falls out lives on while others hold it.
///
/// Threads  safe from all
template <class Value>
class CompileCache {
 public:
  explicit CompileCache(std::size_t capacity) : capacity_(capacity) {}

  std::shared_ptr<const Value> find(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second.position);
    return found->second.value;
  }

  void insert(const std::string& key, std::shared_ptr<const Value> value) {
    std::shared_ptr<const Value> dropped;  // destroyed without the lock
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found != entries_.end()) {
      std::swap(found->second.value, value);
      dropped = std::move(value);
      return;
    }
    order_.push_front(key);
    entries_.emplace(key, Entry{std::move(value), order_.begin()});
    if (entries_.size() <= capacity_) return;
    const auto oldest = entries_.find(order_.back());
    dropped = std::move(oldest->second.value);
    entries_.erase(oldest);
    order_.pop_back();
  }

  void clear() {
    std::unordered_map<std::string, Entry> dropped;
    const std::lock_guard lock(mutex_);
    dropped.swap(entries_);
    order_.clear();
  }

 private:
  struct Entry {
    std::shared_ptr<const Value> value;
    std::list<std::string>::iterator position;
  };

  std::mutex mutex_;
  std::size_t capacity_;
  std::list<std::string> order_;  // the latest first
  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace weld::codegen
