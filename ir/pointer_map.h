#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace weld::ir {

/// A map from non-null pointers to small values that only grows: what walks over programs keep per node. Open
/// addressing in one block of memory, several times faster than std::unordered_map. Pointers to values are
/// valid until the next insertion.
template <class K, class V>
class PointerMap {
 public:
  /// The value of the key; null when there is none.
  V* find(const K* key) {
    if (slots_.empty()) return nullptr;
    Slot& slot = slots_[place_of(key)];
    return slot.first ? &slot.second : nullptr;
  }
  const V* find(const K* key) const { return const_cast<PointerMap*>(this)->find(key); }
  bool contains(const K* key) const { return find(key) != nullptr; }

  /// Adds the value if the key is new. Says whether it was.
  bool emplace(const K* key, V value) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    Slot& slot = slots_[place_of(key)];
    if (slot.first) return false;
    slot = {key, std::move(value)};
    ++size_;
    return true;
  }

  std::size_t size() const { return size_; }

 private:
  using Slot = std::pair<const K*, V>;
  static constexpr std::size_t kFirstSlots = 64;

  // Where the key is, or would be: there is always a free slot.
  std::size_t place_of(const K* key) const {
    const std::size_t mask = slots_.size() - 1;
    const std::uint64_t mixed = reinterpret_cast<std::uintptr_t>(key) * 0x9e3779b97f4a7c15u;
    std::size_t place = static_cast<std::size_t>(mixed >> 32) & mask;
    while (slots_[place].first && slots_[place].first != key) place = (place + 1) & mask;
    return place;
  }

  void grow() {
    std::vector<Slot> old(slots_.empty() ? kFirstSlots : 2 * slots_.size());
    old.swap(slots_);
    for (Slot& slot : old) {
      if (slot.first) slots_[place_of(slot.first)] = std::move(slot);
    }
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

}  // namespace weld::ir
