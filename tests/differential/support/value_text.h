#pragma once

#include <string>
#include <string_view>

#include "ir/value.h"

namespace weld::differential {

/// Reads the values of known types one after another from a text like that of ir::to_text: numbers (also
/// hexadecimal), NaN, Infinity, true; `[1,2]` and `"text"` for vectors, `{1,2}` for structs, `{1: 2}` for
/// dictionaries, `<1,2,3,4>` for simd. Long vectors: `iota(n)` counts from 0, `cycle(n, [1,2])` repeats.
///
/// Errors  std::runtime_error at what cannot be read
class ValueReader {
 public:
  explicit ValueReader(std::string_view text) : rest_(text) {}

  ir::Value read(ir::Type type);
  /// Passes over the token if it comes next.
  bool accept(std::string_view token);
  void expect(std::string_view token);
  bool at_end();
  std::string_view rest();

 private:
  void skip_blanks();
  [[noreturn]] void reject(std::string_view expected);
  std::int64_t read_count();
  std::string_view read_word();
  ir::ScalarValue read_scalar(ir::ScalarKind kind);
  std::string read_string();
  ir::Value read_vector(ir::Type element);
  std::vector<ir::Value> read_list(ir::Type element, std::string_view close);

  std::string_view rest_;
};

/// The value as ValueReader reads it back: floats in hexadecimal where decimals are not enough.
std::string exact_text(const ir::Value& value);

}  // namespace weld::differential
