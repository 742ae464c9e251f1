#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace weld::codegen {

/// Keeps the most recently used values by key, as many as fit in a number of bytes. What falls out lives on
/// while others hold it.
///
/// Threads  safe from all
template <class Value>
class CompileCache {
 public:
  std::shared_ptr<const Value> find(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second.position);
    return found->second.value;
  }

  /// Adds or replaces a value of `bytes`, and drops the oldest until at most `capacity_bytes` are kept.
  void insert(const std::string& key, std::shared_ptr<const Value> value, std::int64_t bytes,
              std::int64_t capacity_bytes) {
    std::list<std::shared_ptr<const Value>> dropped;  // destroyed without the lock
    const std::lock_guard lock(mutex_);
    if (const auto found = entries_.find(key); found != entries_.end()) dropped.push_back(remove(found));
    order_.push_front(key);
    entries_.emplace(key, Entry{std::move(value), bytes, order_.begin()});
    bytes_ += bytes;
    while (bytes_ > capacity_bytes) dropped.push_back(remove(entries_.find(order_.back())));
  }

  void clear() {
    std::unordered_map<std::string, Entry> dropped;
    const std::lock_guard lock(mutex_);
    dropped.swap(entries_);
    order_.clear();
    bytes_ = 0;
  }

 private:
  struct Entry {
    std::shared_ptr<const Value> value;
    std::int64_t bytes;
    std::list<std::string>::iterator position;
  };

  std::shared_ptr<const Value> remove(std::unordered_map<std::string, Entry>::iterator entry) {
    std::shared_ptr<const Value> value = std::move(entry->second.value);
    bytes_ -= entry->second.bytes;
    order_.erase(entry->second.position);
    entries_.erase(entry);
    return value;
  }

  std::mutex mutex_;
  std::int64_t bytes_ = 0;
  std::list<std::string> order_;  // the latest first
  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace weld::codegen
