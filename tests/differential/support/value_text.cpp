#include "tests/differential/support/value_text.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <stdexcept>

namespace weld::differential {

using ir::ScalarKind;
using ir::ScalarValue;
using ir::Value;

namespace {

bool is_word_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '+' || c == '-';
}

template <class T>
T numeric(std::int64_t number) {
  return static_cast<T>(number);
}

}  // namespace

void ValueReader::skip_blanks() {
  while (!rest_.empty() && std::isspace(static_cast<unsigned char>(rest_.front()))) rest_.remove_prefix(1);
}

void ValueReader::reject(std::string_view expected) {
  throw std::runtime_error(fmt::format("expected {} at '{}'", expected, rest_.substr(0, 40)));
}

bool ValueReader::accept(std::string_view token) {
  skip_blanks();
  if (!rest_.starts_with(token)) return false;
  rest_.remove_prefix(token.size());
  return true;
}

void ValueReader::expect(std::string_view token) {
  if (!accept(token)) reject(token);
}

bool ValueReader::at_end() {
  skip_blanks();
  return rest_.empty();
}

std::string_view ValueReader::rest() {
  skip_blanks();
  return rest_;
}

std::string_view ValueReader::read_word() {
  skip_blanks();
  std::size_t length = 0;
  while (length < rest_.size() && is_word_character(rest_[length])) ++length;
  if (length == 0) reject("a number");
  const std::string_view word = rest_.substr(0, length);
  rest_.remove_prefix(length);
  return word;
}

std::int64_t ValueReader::read_count() {
  return read_scalar(ScalarKind::kI64).as<std::int64_t>();
}

ScalarValue ValueReader::read_scalar(ScalarKind kind) {
  const std::string word(read_word());
  if (kind == ScalarKind::kBool) {
    if (word != "true" && word != "false") reject("true or false before");
    return ScalarValue::of(word == "true");
  }
  if (ir::is_float(kind)) {
    char* end = nullptr;
    const double wide = kind == ScalarKind::kF64 ? std::strtod(word.c_str(), &end) : 0;
    const float narrow = kind == ScalarKind::kF32 ? std::strtof(word.c_str(), &end) : 0;
    if (*end != '\0') reject("a float before");
    if (std::isnan(wide)) return ScalarValue::of(std::numeric_limits<double>::quiet_NaN());
    if (std::isnan(narrow)) return ScalarValue::of(std::numeric_limits<float>::quiet_NaN());
    return kind == ScalarKind::kF64 ? ScalarValue::of(wide) : ScalarValue::of(narrow);
  }
  return ir::dispatch(kind, [&](auto example) {
    using T = decltype(example);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      std::string_view digits = word;
      const bool negative = digits.starts_with('-');
      if (negative) digits.remove_prefix(1);
      const bool hexadecimal = digits.starts_with("0x");
      if (hexadecimal) digits.remove_prefix(2);
      std::uint64_t magnitude = 0;
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), magnitude, hexadecimal ? 16 : 10);
      if (error != std::errc() || end != digits.data() + digits.size()) reject("an integer before");
      const T value = static_cast<T>(negative ? 0 - magnitude : magnitude);
      const bool fits =
          negative ? magnitude != 0 && value < T{} && 0 - static_cast<std::uint64_t>(value) == magnitude
                   : value >= T{} && static_cast<std::uint64_t>(value) == magnitude;
      if (!fits && magnitude != 0) reject("an integer that fits before");
      return ScalarValue::of(value);
    } else {
      return ScalarValue();
    }
  });
}

std::string ValueReader::read_string() {
  std::string bytes;
  while (!rest_.empty() && rest_.front() != '"') {
    char c = rest_.front();
    rest_.remove_prefix(1);
    if (c == '\\' && !rest_.empty()) {
      const char escape = rest_.front();
      rest_.remove_prefix(1);
      c = escape == 'n' ? '\n' : escape == 't' ? '\t' : escape == 'r' ? '\r' : escape == '0' ? '\0' : escape;
      if (escape == 'x') {
        c = static_cast<char>(std::stoi(std::string(rest_.substr(0, 2)), nullptr, 16));
        rest_.remove_prefix(2);
      }
    }
    bytes += c;
  }
  expect("\"");
  return bytes;
}

std::vector<Value> ValueReader::read_list(ir::Type element, std::string_view close) {
  std::vector<Value> values;
  while (!accept(close)) {
    if (!values.empty()) expect(",");
    values.push_back(read(element));
  }
  return values;
}

Value ValueReader::read_vector(ir::Type element) {
  if (accept("\"")) {
    const std::string bytes = read_string();
    if (ir::is_scalar(element, ScalarKind::kI8)) return Value::string(bytes);
    std::vector<Value> values;
    for (const char c : bytes) values.push_back(Value::of(static_cast<std::uint8_t>(c)));
    return Value::vector(element, values);
  }
  if (accept("iota(")) {
    const std::int64_t count = read_count();
    expect(")");
    std::vector<Value> values;
    for (std::int64_t i = 0; i < count; ++i) {
      values.push_back(ir::dispatch(ir::element_kind(element),
                                    [&](auto example) { return Value::of(numeric<decltype(example)>(i)); }));
    }
    return Value::vector(element, values);
  }
  if (accept("cycle(")) {
    const std::int64_t count = read_count();
    expect(",");
    expect("[");
    const std::vector<Value> parts = read_list(element, "]");
    expect(")");
    std::vector<Value> values;
    for (std::int64_t i = 0; i < count; ++i)
      values.push_back(parts[static_cast<std::size_t>(i) % parts.size()]);
    return Value::vector(element, values);
  }
  expect("[");
  return Value::vector(element, read_list(element, "]"));
}

Value ValueReader::read(ir::Type type) {
  if (const auto* scalar = type.as<ir::ScalarType>()) return read_scalar(scalar->kind);
  if (const auto* vec = type.as<ir::VecType>()) return read_vector(vec->element);
  if (const auto* simd = type.as<ir::SimdType>()) {
    expect("<");
    std::vector<ScalarValue> lanes;
    for (std::uint32_t i = 0; i < simd->lanes; ++i) {
      if (i > 0) expect(",");
      lanes.push_back(read_scalar(simd->kind));
    }
    expect(">");
    return Value::simd(std::move(lanes));
  }
  if (const auto* dict = type.as<ir::DictType>()) {
    expect("{");
    std::vector<std::pair<Value, Value>> entries;
    while (!accept("}")) {
      if (!entries.empty()) expect(",");
      Value key = read(dict->key);
      expect(":");
      Value value = read(dict->value);
      entries.emplace_back(std::move(key), std::move(value));
    }
    return Value::dict(entries);
  }
  const auto* structure = type.as<ir::StructType>();
  if (!structure) throw std::runtime_error("values of type " + ir::to_string(type) + " have no text");
  expect("{");
  std::vector<Value> members;
  for (const ir::Type member : structure->members) {
    if (!members.empty()) expect(",");
    members.push_back(read(member));
  }
  expect("}");
  return Value::structure(std::move(members));
}

std::string exact_text(const Value& value) {
  if (value.is_scalar()) {
    const ScalarValue scalar = value.scalar();
    if (scalar.kind == ScalarKind::kF64 && std::isfinite(scalar.as<double>()))
      return fmt::format("{}", scalar.as<double>());
    if (scalar.kind == ScalarKind::kF32 && std::isfinite(scalar.as<float>()))
      return fmt::format("{}", scalar.as<float>());
    return ir::to_text(value);
  }
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ",") + part; };
  if (value.is_vector()) {
    for (std::int64_t i = 0; i < value.vector().length; ++i) add(exact_text(value.vector()[i]));
    return "[" + text + "]";
  }
  if (value.is_simd()) {
    for (const ScalarValue lane : value.lanes()) add(exact_text(lane));
    return "<" + text + ">";
  }
  if (value.is_dict()) {
    for (const auto& entry : value.dict().entries())
      add(exact_text(entry.key) + ": " + exact_text(entry.value));
    return "{" + text + "}";
  }
  for (const Value& member : value.members()) add(exact_text(member));
  return "{" + text + "}";
}

}  // namespace weld::differential
