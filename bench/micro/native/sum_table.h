#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "bench/workloads/native/strings.h"

namespace weld::bench::micro::native {

using workloads::native::String;

inline std::uint64_t hash_of(std::uint64_t key) {
  return key * 0x9e3779b97f4a7c15u;
}

/// A number and the sum of its values. No key is the least number.
struct NumberSum {
  static constexpr std::int64_t kEmpty = std::numeric_limits<std::int64_t>::min();

  std::int64_t key = kEmpty;
  double sum = 0;

  bool is_empty() const { return key == kEmpty; }
  bool same_key(const NumberSum& other) const { return key == other.key; }
  std::uint64_t hash() const { return hash_of(static_cast<std::uint64_t>(key)); }
  void add(const NumberSum& other) { sum += other.sum; }
};

/// A number alone.
struct Number {
  std::int64_t key = NumberSum::kEmpty;

  bool is_empty() const { return key == NumberSum::kEmpty; }
  bool same_key(const Number& other) const { return key == other.key; }
  std::uint64_t hash() const { return hash_of(static_cast<std::uint64_t>(key)); }
  void add(const Number&) {}
};

/// A string and the sum of its values; strings of up to 16 bytes are compared without looking at the text.
struct StringSum {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  std::uint64_t place = 0;  // 48 bits of address, 16 of length; 0: empty
  double sum = 0;

  static StringSum of(String string, double sum) {
    StringSum row;
    row.first = workloads::native::first_bytes(string);
    if (string.length > 8) row.second = workloads::native::first_bytes({string.data + 8, string.length - 8});
    row.place =
        reinterpret_cast<std::uint64_t>(string.data) | (static_cast<std::uint64_t>(string.length) << 48);
    row.sum = sum;
    return row;
  }
  String string() const {
    return {reinterpret_cast<const std::uint8_t*>(place & 0xffff'ffff'ffff),
            static_cast<std::int64_t>(place >> 48)};
  }

  bool is_empty() const { return place == 0; }
  bool same_key(const StringSum& other) const {
    if (first != other.first || second != other.second || (place ^ other.place) >> 48 != 0) return false;
    return string().length <= 16 || std::memcmp(string().data, other.string().data, string().length) == 0;
  }
  std::uint64_t hash() const {
    const std::uint64_t mixed = (first ^ (place >> 48)) * 0x9e3779b97f4a7c15u + second;
    return (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93u;
  }
  void add(const StringSum& other) { sum += other.sum; }
};

/// Open addressing over rows like these, at most half full; uses the hash's bits below the first `skip`.
template <class Row>
class SumTable {
 public:
  void reset(std::int64_t expected_keys, int skip_bits) {
    const auto wanted =
        std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(8, 2 * expected_keys)));
    skip_bits_ = skip_bits;
    if (slots_.size() != wanted || size_ != 0) slots_.assign(wanted, Row{});
    shift_ = 64 - std::countr_zero(slots_.size());
    size_ = 0;
  }

  void add(const Row& row) {
    std::size_t place = place_of(row);
    while (true) {
      Row& slot = slots_[place];
      if (slot.same_key(row)) return slot.add(row);
      if (slot.is_empty()) break;
      place = (place + 1) & (slots_.size() - 1);
    }
    slots_[place] = row;
    if (static_cast<std::size_t>(++size_) * 2 > slots_.size()) grow();
  }

  std::int64_t size() const { return size_; }

  /// Gives the rows to `take` and is empty afterwards.
  void drain(auto&& take) {
    for (Row& slot : slots_) {
      if (slot.is_empty()) continue;
      take(slot);
      slot = Row{};
    }
    size_ = 0;
  }

 private:
  std::size_t place_of(const Row& row) const { return (row.hash() << skip_bits_) >> shift_; }

  void grow() {
    std::vector<Row> old = std::move(slots_);
    slots_.assign(4 * old.size(), Row{});
    shift_ -= 2;
    for (const Row& row : old) {
      if (row.is_empty()) continue;
      std::size_t place = place_of(row);
      while (!slots_[place].is_empty()) place = (place + 1) & (slots_.size() - 1);
      slots_[place] = row;
    }
  }

  std::vector<Row> slots_;
  std::int64_t size_ = 0;
  int skip_bits_ = 0;
  int shift_ = 0;
};

}  // namespace weld::bench::micro::native
