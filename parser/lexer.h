#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ir/nodes.h"

namespace weld::parser {

/// Nested more deeply than this, a program is rejected.
inline constexpr std::uint32_t kMaxNesting = 1000;

enum class TokenKind : std::uint8_t { kEnd, kWord, kInteger, kFloat, kString, kMark };

/// Operators and brackets: one or two characters, e.g. `mark("<<")`.
using Mark = std::uint16_t;
constexpr Mark mark(std::string_view text) {
  return static_cast<Mark>(text[0] | (text.size() > 1 ? text[1] << 8 : 0));
}

struct Token {
  TokenKind kind = TokenKind::kEnd;
  Mark mark = 0;                                 ///< of kMark
  bool too_large = false;                        ///< of kInteger: does not fit 64 bits
  ir::ScalarKind scalar = ir::ScalarKind::kI32;  ///< of numbers: what the suffix says
  std::uint64_t bits = 0;  ///< of kInteger the magnitude, not yet checked; of kFloat the IEEE bits
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  std::string_view text;  ///< as written

  bool is(Mark other) const { return kind == TokenKind::kMark && mark == other; }
  bool is_word(std::string_view word) const { return kind == TokenKind::kWord && text == word; }
};

/// Cuts a text into tokens, one at a time (LANGUAGE.md §1.1). `source` is borrowed.
///
/// Errors  UserError at the place of a character, number or string that is none.
class Lexer {
 public:
  explicit Lexer(const ir::Source& source) : source_(source), text_(source.text) {}

  Token next();

  /// The bytes of a kString token, escapes replaced.
  std::string unescape(const Token& token) const;

  ir::Span span(std::uint32_t begin, std::uint32_t end) const { return {&source_, begin, end}; }

 private:
  char at(std::size_t offset) const { return offset < text_.size() ? text_[offset] : '\0'; }
  void skip_blanks();
  Token finish(Token token, std::size_t end);
  Token number();
  Token based_number(int base);
  Token string();
  [[noreturn]] void reject(std::string message, std::size_t begin, std::size_t end) const;

  const ir::Source& source_;
  std::string_view text_;
  std::size_t position_ = 0;
};

}  // namespace weld::parser
