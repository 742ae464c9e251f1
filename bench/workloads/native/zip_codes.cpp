#include <array>

#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/string_table.h"
#include "bench/workloads/native/tables.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {
namespace {

constexpr std::uint64_t number_of(const char (&text)[6]) {
  std::uint64_t number = 0;
  for (int i = 4; i >= 0; --i) number = number << 8 | static_cast<std::uint8_t>(text[i]);
  return number;
}

// Codes of 5 digits have a bit each; what else there is goes to a table.
class CodeSet {
 public:
  void clear() {
    digits_.fill(0);
    others_.clear();
  }
  void add(String code) {
    code.length = code.length < 5 ? code.length : 5;
    std::uint64_t bytes;
    std::memcpy(&bytes, code.data, sizeof bytes);
    bytes &= 0xff'ffff'ffff;
    const std::uint64_t digits = bytes ^ 0x30'3030'3030;
    const bool is_number = code.length == 5 && ((digits | (digits + 0x06'0606'0606)) & 0xf0'f0f0'f0f0) == 0;
    if (is_number) {
      std::uint64_t number = 0;
      for (int i = 0; i < 5; ++i) number = number * 10 + (digits >> (8 * i) & 0xf);
      digits_[number] = 1;
    } else {
      others_[code] = 1;
    }
  }
  void add_all(const CodeSet& other) {
    for (std::size_t i = 0; i < digits_.size(); ++i) digits_[i] |= other.digits_[i];
    other.others_.for_each([&](String code, std::int64_t) { others_[code] = 1; });
  }
  void list(std::vector<String>& result) {
    static const std::vector<std::uint8_t> texts = [] {
      std::vector<std::uint8_t> all;
      for (int number = 0; number < kNumbers; ++number)
        for (int divisor = kNumbers / 10; divisor > 0; divisor /= 10)
          all.push_back(static_cast<std::uint8_t>('0' + number / divisor % 10));
      return all;
    }();
    bool has_nan = digits_[0] != 0;
    for (int number = 1; number < kNumbers; ++number)
      if (digits_[number] != 0) result.push_back({&texts[5 * number], 5});
    others_.for_each([&](String code, std::int64_t) {
      if (code.length == 5 && first_bytes(code) == number_of("NO CL")) {
        has_nan = true;
      } else {
        result.push_back(code);
      }
    });
    static constexpr std::uint8_t kNan[] = {'n', 'a', 'n'};
    if (has_nan) result.push_back({kNan, 3});
  }

 private:
  static constexpr int kNumbers = 100'000;
  std::array<std::uint8_t, kNumbers> digits_{};
  StringTable others_;
};

}  // namespace

void clean_zip_codes(const String* codes, std::int64_t length, std::vector<String>& result, int threads) {
  static PerThread<CodeSet> sets;
  for (int thread = 0; thread < threads; ++thread) sets[thread].clear();
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    CodeSet& set = sets[thread];
    for (std::int64_t i = begin; i < end; ++i) set.add(codes[i]);
  });
  for (int thread = 1; thread < threads; ++thread) sets[0].add_all(sets[thread]);
  result.clear();
  sets[0].list(result);
}

}  // namespace weld::bench::workloads::native
