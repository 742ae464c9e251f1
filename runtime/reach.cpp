#include "runtime/reach.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "runtime/group.h"

namespace weld::runtime {
namespace {

enum Marks : std::uint32_t {
  kCandidate = 1,  // in the list that is split
  kReached = 2,
  kWalked = 4,  // of dictionaries and group builders: what is inside was walked
};

// A growing array that reports when memory is short. Not counted: it holds no data of the program, a few
// bytes for each 64 KiB of blocks or each large block.
template <class T>
class ScratchArray {
 public:
  ScratchArray() = default;
  ~ScratchArray() {
    if (data_ != inline_) std::free(data_);
  }
  ScratchArray(const ScratchArray&) = delete;
  ScratchArray& operator=(const ScratchArray&) = delete;

  bool push(const T& value) {
    return (size_ < capacity_ || reserve(capacity_ * 2)) && (data_[size_++] = value, true);
  }
  bool reserve(std::size_t capacity) {
    auto* data = static_cast<T*>(std::malloc(capacity * sizeof(T)));
    if (!data) return false;
    std::memcpy(static_cast<void*>(data), data_, size_ * sizeof(T));
    if (data_ != inline_) std::free(data_);
    data_ = data;
    capacity_ = capacity;
    return true;
  }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  std::size_t size() const { return size_; }

 private:
  T inline_[16];
  T* data_ = inline_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 16;
};

// A hash table from addresses to values, linear probing; address 0 is empty.
template <class T>
class AddressMap {
 public:
  struct Entry {
    std::uintptr_t address;
    T value;
  };

  AddressMap() { std::fill_n(inline_, kInline, Entry{}); }
  ~AddressMap() {
    if (entries_ != inline_) std::free(entries_);
  }
  AddressMap(const AddressMap&) = delete;
  AddressMap& operator=(const AddressMap&) = delete;

  // The value of an address, or null.
  T* find(std::uintptr_t address) {
    Entry* entry = place(address);
    return entry->address ? &entry->value : nullptr;
  }

  // The value of an address, made if it is not there; null when out of memory.
  T* insert(std::uintptr_t address) {
    Entry* entry = place(address);
    if (entry->address) return &entry->value;
    if ((num_entries_ + 1) * 2 > mask_ + 1) {
      if (!grow()) return nullptr;
      entry = place(address);
    }
    ++num_entries_;
    *entry = {address, T{}};
    return &entry->value;
  }

 private:
  static constexpr std::size_t kInline = 16;

  Entry* place(std::uintptr_t address) {
    std::size_t slot = (address * 0x9e3779b97f4a7c15ull >> 32) & mask_;
    while (entries_[slot].address != 0 && entries_[slot].address != address) slot = (slot + 1) & mask_;
    return entries_ + slot;
  }

  bool grow() {
    const std::size_t old_size = mask_ + 1;
    auto* entries = static_cast<Entry*>(std::calloc(old_size * 2, sizeof(Entry)));
    if (!entries) return false;
    Entry* old_entries = entries_;
    entries_ = entries;
    mask_ = old_size * 2 - 1;
    for (std::size_t i = 0; i < old_size; ++i)
      if (old_entries[i].address) *place(old_entries[i].address) = old_entries[i];
    if (old_entries != inline_) std::free(old_entries);
    return true;
  }

  Entry inline_[kInline];
  Entry* entries_ = inline_;
  std::size_t mask_ = kInline - 1;
  std::size_t num_entries_ = 0;
};

std::uintptr_t address_of(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

class Marker {
 public:
  // Makes the blocks of the list candidates. False when out of memory.
  bool add(BlockLink& list) {
    std::uintptr_t last_slab = 0;
    for (BlockLink* link = list.next; link != &list; link = link->next) {
      auto* block = static_cast<Block*>(link);
      block->marks.store(kCandidate, std::memory_order_relaxed);
      if (block->size_class >= kNumSmallClasses) {
        if (!large_.push(block)) return false;
        continue;
      }
      const std::uintptr_t slab = address_of(block) & ~(kSlabBytes - 1);
      if (slab == last_slab) continue;
      last_slab = slab;
      if (!slabs_.insert(slab)) return false;
    }
    std::sort(large_.begin(), large_.end());
    return true;
  }

  bool walk(const TypeLayout& layout, const std::byte* value) {
    if (!layout.contains_pointer) return true;
    switch (layout.kind) {
      case LayoutKind::kVec:
      case LayoutKind::kVecMerger: {
        const auto* vec = reinterpret_cast<const VecView*>(value);
        if (vec->length <= 0 || !vec->data) return true;
        Block* block = reach(vec->data);
        return !block || walk_elements(*layout.element, *block, vec->data, vec->length);
      }
      case LayoutKind::kAppender: {
        const auto* appender = reinterpret_cast<const AppenderState*>(value);
        Block* block = reach(appender->data);
        return !block || walk_elements(*layout.element, *block, appender->data, appender->length);
      }
      case LayoutKind::kDict:
      case LayoutKind::kDictMerger:
        return walk_dict(layout, *reinterpret_cast<Dict* const*>(value));
      case LayoutKind::kGroupMerger: {
        const auto* group = *reinterpret_cast<GroupBuilder* const*>(value);
        Block* block = reach(group);
        if (!block || !first_walk(*block)) return true;
        for_each_log_block(*group, [&](std::byte* payload) { reach(payload); });
        bool walked = walk_table(layout, group->keys);
        for_each_chunk(*group, [&](GroupChunk& chunk, std::int64_t num_values, const GroupSegment&) {
          Block* values = reach(&chunk);
          walked =
              walked && (!values || walk_elements(*layout.group_value, *values, chunk.values, num_values));
        });
        return walked;
      }
      case LayoutKind::kStruct:
        for (const TypeLayout::Member& member : layout.members)
          if (!walk(*member.layout, value + member.offset)) return false;
        return true;
      case LayoutKind::kScalar:
      case LayoutKind::kSimd:
      case LayoutKind::kMerger:
        return true;
    }
    return true;
  }

 private:
  struct Walked {
    const TypeLayout* layout;
    const std::byte* begin;
    const std::byte* end;
  };

  // Marks the candidate that a pointer leads into; null when there is none.
  Block* reach(const void* pointer) {
    Block* block = find(address_of(pointer));
    if (block) block->marks.fetch_or(kReached, std::memory_order_relaxed);
    return block;
  }

  Block* find(std::uintptr_t address) {
    const std::uintptr_t slab = address & ~(kSlabBytes - 1);
    if (slab != 0 && (slab == last_slab_ || slabs_.find(slab))) {
      last_slab_ = slab;
      const auto size_class = static_cast<int>(reinterpret_cast<const Slab*>(slab)->size_class);
      const auto bytes = static_cast<std::uintptr_t>(class_bytes(size_class));
      const std::uintptr_t offset = address - slab;
      if (offset < kSlabHeaderBytes + sizeof(Block)) return nullptr;
      const std::uintptr_t first = slab + kSlabHeaderBytes;
      auto* block = reinterpret_cast<Block*>(first + (address - first) / bytes * bytes);
      return block->marks.load(std::memory_order_relaxed) & kCandidate ? block : nullptr;
    }
    Block** after = std::upper_bound(
        large_.begin(), large_.end(), address,
        [](std::uintptr_t wanted, const Block* block) { return wanted < address_of(block); });
    if (after == large_.begin()) return nullptr;
    Block* block = after[-1];
    const auto end = address_of(block) + static_cast<std::uintptr_t>(class_bytes(block->size_class));
    return address < end ? block : nullptr;
  }

  static bool first_walk(Block& block) {
    return !(block.marks.fetch_or(kWalked, std::memory_order_relaxed) & kWalked);
  }

  bool walk_range(const TypeLayout& element, const std::byte* begin, const std::byte* end) {
    for (const std::byte* value = begin; value != end; value += element.size_bytes)
      if (!walk(element, value)) return false;
    return true;
  }

  // Walks the elements of a vector in `block` which no earlier call has walked. One range is remembered for
  // each block: what matters is that a million slices of one vector do not cost a million walks.
  bool walk_elements(const TypeLayout& element, Block& block, const std::byte* data, std::int64_t length) {
    if (!element.contains_pointer || length <= 0) return true;
    const std::byte* end = data + length * element.size_bytes;
    Walked* walked = walked_.insert(address_of(&block));
    if (!walked) return false;
    const Walked before = *walked;
    if (before.layout != &element || end < before.begin || data > before.end) {
      if (before.layout != &element || end - data > before.end - before.begin)
        *walked = {&element, data, end};
      return walk_range(element, data, end);
    }
    *walked = {&element, std::min(data, before.begin), std::max(end, before.end)};
    return (data >= before.begin || walk_range(element, data, before.begin)) &&
           (end <= before.end || walk_range(element, before.end, end));
  }

  bool walk_dict(const TypeLayout& layout, const Dict* dict) {
    Block* block = reach(dict);
    return !block || !first_walk(*block) || walk_table(layout, *dict);
  }

  bool walk_table(const TypeLayout& layout, const Dict& dict) {
    reach(dict.slots);
    Block* entries = reach(dict.entries);
    return !entries || walk_elements(*layout.element, *entries, dict.entries, dict.num_entries);
  }

  AddressMap<char> slabs_;
  AddressMap<Walked> walked_;
  ScratchArray<Block*> large_;
  std::uintptr_t last_slab_ = 0;
};

void move_block(void* payload, BlockLink& list) {
  if (!payload) return;
  Block* block = Block::of(static_cast<std::byte*>(payload));
  unlink(block);
  link_last(list, block);
}

}  // namespace

ErrorCode split_unreached(BlockLink& list, RootValue root, BlockLink& unreached) noexcept {
  Marker marker;
  if (!marker.add(list) || !marker.walk(*root.layout, static_cast<const std::byte*>(root.value)))
    return ErrorCode::kOutOfMemory;
  for (BlockLink* link = list.next; link != &list;) {
    auto* block = static_cast<Block*>(link);
    link = link->next;
    const bool is_reached = block->marks.load(std::memory_order_relaxed) & kReached;
    block->marks.store(0, std::memory_order_relaxed);
    if (is_reached) continue;
    unlink(block);
    link_last(unreached, block);
  }
  return ErrorCode::kSuccess;
}

void move_builder_blocks(RootValue root, BlockLink& list) noexcept {
  const TypeLayout& layout = *root.layout;
  if (!layout.contains_builder) return;
  const auto* value = static_cast<const std::byte*>(root.value);
  const auto move_dict = [&](const Dict& dict) {
    move_block(dict.slots, list);
    move_block(dict.entries, list);
  };
  switch (layout.kind) {
    case LayoutKind::kStruct:
      for (const TypeLayout::Member& member : layout.members)
        move_builder_blocks({member.layout, value + member.offset}, list);
      return;
    case LayoutKind::kAppender:
      return move_block(reinterpret_cast<const AppenderState*>(value)->data, list);
    case LayoutKind::kVecMerger:
      return move_block(reinterpret_cast<const VecView*>(value)->data, list);
    case LayoutKind::kDictMerger: {
      auto* dict = *reinterpret_cast<Dict* const*>(value);
      if (!dict) return;
      move_dict(*dict);
      return move_block(dict, list);
    }
    case LayoutKind::kGroupMerger: {
      auto* group = *reinterpret_cast<GroupBuilder* const*>(value);
      if (!group) return;
      move_dict(group->keys);
      for_each_log_block(*group, [&](std::byte* payload) { move_block(payload, list); });
      return move_block(group, list);
    }
    default:
      return;
  }
}

}  // namespace weld::runtime
