#pragma once

#include <charconv>
#include <cstring>
#include <memory>
#include <string_view>

#include "bench/tpch/make_rows.h"
#include "bench/tpch/rows.h"
#include "bench/tpch/words.h"

namespace weld::bench::tpch {

/// Text of all dates that the generator makes, each with its bar.
class DateTexts {
 public:
  static constexpr int kNumDays = 2'557;
  struct Entry {
    std::array<char, 16> bytes;
  };

  static const DateTexts& shared();

  const Entry& of(std::int32_t day) const { return entries_[static_cast<std::size_t>(day - kFirstDay)]; }

 private:
  DateTexts();

  std::array<Entry, kNumDays> entries_;
};

/// Rows as lines of a `.tbl` file, in memory.
class TblBuffer {
 public:
  explicit TblBuffer(const Vocabulary& words) : words_(words), dates_(DateTexts::shared()) {}

  template <typename Row>
  void append(const Row& row) {
    if (capacity_ - size_ < kMaxRowBytes) grow();
    char* out = bytes_.get() + size_;
    for_each_field(row, [&](const auto& field, std::size_t) { out = write(out, field); });
    *out++ = '\n';
    size_ = static_cast<std::size_t>(out - bytes_.get());
  }

  std::string_view text() const { return {bytes_.get(), size_}; }
  void clear() { size_ = 0; }

 private:
  static constexpr std::size_t kMaxRowBytes = 512;  // partsupp comes to 240

  template <typename T>
  char* write(char* out, const Whole<T>& field) {
    out = std::to_chars(out, out + 20, field.value).ptr;
    *out++ = '|';
    return out;
  }

  template <typename T>
  char* write(char* out, const Hundredths<T>& field) {
    if (field.value < 0) *out++ = '-';
    const std::int64_t hundredths = field.value < 0 ? -field.value : field.value;
    out = std::to_chars(out, out + 20, hundredths / 100).ptr;
    *out++ = '.';
    *out++ = static_cast<char>('0' + hundredths / 10 % 10);
    *out++ = static_cast<char>('0' + hundredths % 10);
    *out++ = '|';
    return out;
  }

  char* write(char* out, const Date& field) {
    std::memcpy(out, dates_.of(field.value).bytes.data(), 16);
    return out + 11;
  }

  template <WordListId kList>
  char* write(char* out, const Word<kList>& field) {
    const PaddedWord& word = words_.list(kList).padded[field.value];
    std::memcpy(out, word.bytes.data(), word.bytes.size());
    return out + word.num_bytes;
  }

  template <int kMax>
  char* write(char* out, const Text<kMax>& field) {
    std::memcpy(out, field.value.data(), field.value.size());
    out += field.value.size();
    *out++ = '|';
    return out;
  }

  void grow();

  const Vocabulary& words_;
  const DateTexts& dates_;
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace weld::bench::tpch
