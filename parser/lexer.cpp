#include "parser/lexer.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>

#include "ir/error.h"

namespace weld::parser {
namespace {

using ir::ScalarKind;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool begins_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
}
bool continues_word(char c) {
  return begins_word(c) || is_digit(c);
}

std::optional<int> digit_value(char c, int base) {
  int value = 99;
  if (is_digit(c)) value = c - '0';
  if (c >= 'a' && c <= 'f') value = c - 'a' + 10;
  if (c >= 'A' && c <= 'F') value = c - 'A' + 10;
  if (value < base) return value;
  return std::nullopt;
}

std::optional<ScalarKind> integer_suffix(std::string_view suffix) {
  struct Entry {
    std::string_view suffix;
    ScalarKind kind;
  };
  static constexpr std::array<Entry, 10> kSuffixes = {{{"", ScalarKind::kI32},
                                                       {"c", ScalarKind::kI8},
                                                       {"C", ScalarKind::kI8},
                                                       {"si", ScalarKind::kI16},
                                                       {"l", ScalarKind::kI64},
                                                       {"L", ScalarKind::kI64},
                                                       {"uc", ScalarKind::kU8},
                                                       {"usi", ScalarKind::kU16},
                                                       {"u", ScalarKind::kU32},
                                                       {"ul", ScalarKind::kU64}}};
  for (const Entry& entry : kSuffixes) {
    if (entry.suffix == suffix) return entry.kind;
  }
  return std::nullopt;
}

// Whether a decimal number that is out of range is too small rather than too large.
bool is_tiny(std::string_view text) {
  std::int64_t point = -1;  // digits before the point
  std::int64_t first = -1;  // index of the first digit that is not zero
  std::int64_t digits = 0;
  std::size_t i = 0;
  for (; i < text.size() && text[i] != 'e' && text[i] != 'E'; ++i) {
    if (text[i] == '.') {
      point = digits;
    } else {
      if (text[i] != '0' && first < 0) first = digits;
      ++digits;
    }
  }
  if (point < 0) point = digits;
  const bool negative = text.substr(std::min(i + 1, text.size())).starts_with('-');
  std::int64_t exponent = 0;
  for (const char c : text.substr(std::min(i, text.size()))) {
    if (is_digit(c) && exponent < 1'000'000'000) exponent = exponent * 10 + (c - '0');
  }
  return point - first + (negative ? -exponent : exponent) < 0;
}

template <class Float>
std::optional<Float> parse_float(std::string_view text) {
  Float value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && stop == text.data() + text.size()) return value;
  if (error == std::errc::result_out_of_range && is_tiny(text)) return Float{0};
  return std::nullopt;
}

}  // namespace

void Lexer::reject(std::string message, std::size_t begin, std::size_t end) const {
  throw ir::UserError(std::move(message),
                      span(static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)));
}

void Lexer::skip_blanks() {
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (c == '#') {
      position_ = std::min(text_.find('\n', position_), text_.size());
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v') {
      ++position_;
    } else {
      return;
    }
  }
}

Token Lexer::finish(Token token, std::size_t end) {
  token.begin = static_cast<std::uint32_t>(position_);
  token.end = static_cast<std::uint32_t>(end);
  token.text = text_.substr(position_, end - position_);
  position_ = end;
  return token;
}

Token Lexer::next() {
  skip_blanks();
  if (position_ >= text_.size()) return finish({}, text_.size());
  const char c = text_[position_];
  const char following = at(position_ + 1);
  if (begins_word(c)) {
    std::size_t end = position_ + 1;
    while (continues_word(at(end))) ++end;
    return finish({.kind = TokenKind::kWord}, end);
  }
  if (is_digit(c) || (c == '.' && is_digit(following))) return number();
  if (c == '"') return string();

  static constexpr std::array<std::string_view, 8> kPairs = {"||", "&&", "==", "!=", "<=", ">=", "<<", ">>"};
  for (const std::string_view pair : kPairs) {
    if (c == pair[0] && following == pair[1]) {
      return finish({.kind = TokenKind::kMark, .mark = mark(pair)}, position_ + 2);
    }
  }
  static constexpr std::string_view kSingles = "()[]{},;:.?@|&^+-*/%=<>!";
  if (kSingles.find(c) != std::string_view::npos) {
    return finish({.kind = TokenKind::kMark, .mark = mark(text_.substr(position_, 1))}, position_ + 1);
  }
  const auto byte = static_cast<unsigned char>(c);
  const bool printable = byte > 0x20 && byte < 0x7f;
  reject(
      printable ? fmt::format("unexpected character '{}'", c) : fmt::format("unexpected byte 0x{:02x}", byte),
      position_, position_ + 1);
}

Token Lexer::based_number(int base) {
  Token token{.kind = TokenKind::kInteger};
  std::size_t end = position_ + 2;
  const std::size_t first = end;
  while (const auto digit = digit_value(at(end), base)) {
    const auto wide = static_cast<unsigned __int128>(token.bits) * static_cast<unsigned>(base) +
                      static_cast<unsigned>(*digit);
    if (wide >> 64 != 0) token.too_large = true;
    token.bits = static_cast<std::uint64_t>(wide);
    ++end;
  }
  const std::size_t suffix = end;
  while (continues_word(at(end))) ++end;
  if (suffix == first) {
    reject(fmt::format("expected {} digits after {}", base == 2 ? "binary" : "hexadecimal",
                       text_.substr(position_, 2)),
           position_, std::max(end, first));
  }
  const auto kind = integer_suffix(text_.substr(suffix, end - suffix));
  if (!kind)
    reject(fmt::format("{} is no suffix of an integer", text_.substr(suffix, end - suffix)), suffix, end);
  token.scalar = *kind;
  return finish(token, end);
}

Token Lexer::number() {
  if (at(position_) == '0' && (at(position_ + 1) == 'x' || at(position_ + 1) == 'b')) {
    return based_number(at(position_ + 1) == 'x' ? 16 : 2);
  }
  std::size_t end = position_;
  bool is_float = false;
  while (is_digit(at(end))) ++end;
  const std::size_t integer_end = end;
  if (at(end) == '.' && is_digit(at(end + 1))) {
    is_float = true;
    ++end;
    while (is_digit(at(end))) ++end;
  } else if (at(end) == '.' && !continues_word(at(end + 1)) && at(end + 1) != '.') {
    is_float = true;
    ++end;
  }
  if (at(end) == 'e' || at(end) == 'E') {
    const std::size_t sign = at(end + 1) == '-' || at(end + 1) == '+' ? 1 : 0;
    if (is_digit(at(end + 1 + sign))) {
      is_float = true;
      end += 1 + sign;
      while (is_digit(at(end))) ++end;
    }
  }
  const std::size_t suffix_begin = end;
  while (continues_word(at(end))) ++end;
  const std::string_view suffix = text_.substr(suffix_begin, end - suffix_begin);
  const bool is_f32 = suffix == "f" || suffix == "F";

  if (!is_float && !is_f32) {
    Token token{.kind = TokenKind::kInteger};
    const auto kind = integer_suffix(suffix);
    if (!kind) reject(fmt::format("{} is no suffix of an integer", suffix), suffix_begin, end);
    token.scalar = *kind;
    const auto parsed = std::from_chars(text_.data() + position_, text_.data() + integer_end, token.bits);
    token.too_large = parsed.ec == std::errc::result_out_of_range;
    return finish(token, end);
  }
  if (!suffix.empty() && !is_f32)
    reject(fmt::format("{} is no suffix of a float", suffix), suffix_begin, end);

  // from_chars takes no '+' in the exponent of some forms that we take, and no leading point without digit.
  std::string digits(text_.substr(position_, suffix_begin - position_));
  if (digits.front() == '.') digits.insert(digits.begin(), '0');
  Token token{.kind = TokenKind::kFloat, .scalar = is_f32 ? ScalarKind::kF32 : ScalarKind::kF64};
  if (is_f32) {
    const auto value = parse_float<float>(digits);
    if (!value) reject("the number is too large for f32", position_, end);
    token.bits = ir::ScalarValue::of(*value).bits;
  } else {
    const auto value = parse_float<double>(digits);
    if (!value) reject("the number is too large for f64", position_, end);
    token.bits = ir::ScalarValue::of(*value).bits;
  }
  return finish(token, end);
}

Token Lexer::string() {
  std::size_t end = position_ + 1;
  while (end < text_.size() && text_[end] != '"') {
    if (text_[end] != '\\') {
      ++end;
      continue;
    }
    const char escape = at(end + 1);
    std::size_t length = 2;
    if (escape == 'x') {
      if (!digit_value(at(end + 2), 16) || !digit_value(at(end + 3), 16)) {
        reject("expected two hexadecimal digits after \\x", end, std::min(end + 2, text_.size()));
      }
      length = 4;
    } else if (std::string_view("ntr0\"\\").find(escape) == std::string_view::npos || escape == '\0') {
      reject("unknown escape in a string: expected one of \\n \\t \\r \\0 \\\" \\\\ \\xHH", end,
             std::min(end + 2, text_.size()));
    }
    end += length;
  }
  if (end >= text_.size()) reject("the string has no closing quote", position_, position_ + 1);
  return finish({.kind = TokenKind::kString}, end + 1);
}

std::string Lexer::unescape(const Token& token) const {
  const std::string_view body = token.text.substr(1, token.text.size() - 2);
  std::string bytes;
  bytes.reserve(body.size());
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (body[i] != '\\') {
      bytes += body[i];
      continue;
    }
    switch (body[++i]) {
      case 'n':
        bytes += '\n';
        break;
      case 't':
        bytes += '\t';
        break;
      case 'r':
        bytes += '\r';
        break;
      case '0':
        bytes += '\0';
        break;
      case 'x':
        bytes += static_cast<char>(*digit_value(body[i + 1], 16) * 16 + *digit_value(body[i + 2], 16));
        i += 2;
        break;
      default:
        bytes += body[i];
    }
  }
  return bytes;
}

}  // namespace weld::parser
