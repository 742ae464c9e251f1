#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "bench/workloads/native/strings.h"

namespace weld::bench::workloads::native {

/// Strings and a number each: open addressing, the first 16 bytes and the length of a string in its slot, so
/// that strings that are no longer are compared without looking at them.
class StringTable {
 public:
  StringTable() { resize(1 << 10); }

  /// The number of the string, 0 when it is new.
  std::int64_t& operator[](String string) {
    const Key key = key_of(string);
    while (true) {
      std::size_t place = key.hash >> shift_;
      for (;; place = (place + 1) & (slots_.size() - 1)) {
        Slot& slot = slots_[place];
        if (slot.string.data == nullptr) break;
        if (slot.first == key.first && slot.second == key.second && slot.string.length == string.length &&
            (string.length <= 16 || std::memcmp(slot.string.data, string.data, string.length) == 0))
          return slot.value;
      }
      if (4 * (size_ + 1) <= slots_.size()) {
        ++size_;
        slots_[place] = {key.first, key.second, string, 0};
        return slots_[place].value;
      }
      grow();
    }
  }

  void clear() {
    std::ranges::fill(slots_, Slot{});
    size_ = 0;
  }

  template <class F>
  void for_each(F&& body) const {
    for (const Slot& slot : slots_)
      if (slot.string.data != nullptr) body(slot.string, slot.value);
  }

 private:
  struct Key {
    std::uint64_t first;
    std::uint64_t second;
    std::uint64_t hash;
  };
  struct Slot {
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    String string = {};
    std::int64_t value = 0;
  };

  static Key key_of(String string) {
    Key key{first_bytes(string), 0, 0};
    if (string.length > 8) key.second = first_bytes({string.data + 8, string.length - 8});
    const std::uint64_t mixed =
        (key.first ^ static_cast<std::uint64_t>(string.length)) * 0x9e3779b97f4a7c15u + key.second;
    key.hash = (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93u;
    return key;
  }

  void resize(std::size_t num_slots) {
    slots_.assign(num_slots, Slot{});
    shift_ = 64 - std::countr_zero(num_slots);
  }

  void grow() {
    std::vector<Slot> old = std::move(slots_);
    resize(4 * old.size());
    for (const Slot& slot : old) {
      if (slot.string.data == nullptr) continue;
      std::size_t place = key_of(slot.string).hash >> shift_;
      while (slots_[place].string.data != nullptr) place = (place + 1) & (slots_.size() - 1);
      slots_[place] = slot;
    }
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
  int shift_ = 0;
};

}  // namespace weld::bench::workloads::native
