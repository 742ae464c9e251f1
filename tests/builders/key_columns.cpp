#include "tests/builders/key_columns.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "ir/nodes.h"

namespace weld::builders {
namespace {

using ir::ScalarKind;
using ir::ScalarValue;
using ir::Value;

template <class T>
Value float_key(std::int64_t number) {
  // Few of them, so that they are met often where few keys are.
  if (number == 3) return Value::of(std::numeric_limits<T>::quiet_NaN());
  if (number == 5) return Value::of(std::numeric_limits<T>::infinity());
  if (number == 7) return Value::of(T{-0.0});
  if (number == 11) return Value::of(T{0});
  return Value::of(static_cast<T>(static_cast<double>(number) * 0.5));
}

template <class T>
Value integer(std::int64_t number) {
  return Value::of(static_cast<T>(number));
}

Value scalar_key(ScalarKind kind, std::int64_t number) {
  switch (kind) {
    case ScalarKind::kI8:
      return integer<std::int8_t>(number);
    case ScalarKind::kI16:
      return integer<std::int16_t>(number);
    case ScalarKind::kI32:
      return integer<std::int32_t>(number);
    case ScalarKind::kI64:
      return integer<std::int64_t>(number);
    case ScalarKind::kU8:
      return integer<std::uint8_t>(number);
    case ScalarKind::kU16:
      return integer<std::uint16_t>(number);
    case ScalarKind::kU32:
      return integer<std::uint32_t>(number);
    case ScalarKind::kU64:
      return integer<std::uint64_t>(number);
    case ScalarKind::kF32:
      return float_key<float>(number);
    case ScalarKind::kF64:
      return float_key<double>(number);
    case ScalarKind::kBool:
      break;
  }
  return Value::of((number & 1) != 0);
}

}  // namespace

std::span<const KeyKind> key_kinds() {
  static constexpr std::array kKinds = {
      KeyKind{"i8", "i8"},
      KeyKind{"i16", "i16"},
      KeyKind{"i32", "i32"},
      KeyKind{"i64", "i64"},
      KeyKind{"u64", "u64"},
      KeyKind{"f32", "f32"},
      KeyKind{"f64", "f64"},
      KeyKind{"bool", "bool"},
      KeyKind{"small_integers", "{i16,i8,u8}"},
      KeyKind{"two_i64", "{i64,i64}"},
      KeyKind{"short_string", "vec[i8]"},
      KeyKind{"long_string", "vec[i8]", true},
      KeyKind{"string_and_integer", "{vec[i8],i32}"},
  };
  return kKinds;
}

std::string_view name_of(Distribution distribution) {
  constexpr std::string_view kNames[] = {"few",    "many",      "zipf",  "one key", "distinct",
                                         "sorted", "colliding", "range", "growing", "extremes"};
  return kNames[static_cast<std::size_t>(distribution)];
}

std::vector<std::int64_t> key_numbers(Distribution distribution, std::int64_t length) {
  std::mt19937_64 random(7);
  const auto below = [&](std::int64_t bound) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(std::max<std::int64_t>(1, bound)));
  };
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = 0; i < length; ++i) {
    switch (distribution) {
      case Distribution::kFew:
        numbers.push_back(below(300));
        break;
      case Distribution::kMany:
        numbers.push_back(below(length / 2));
        break;
      case Distribution::kZipf: {
        const double unit = static_cast<double>(random() >> 11) * 0x1p-53;
        const double range = std::pow(static_cast<double>(length + 1), -0.2) - 1;
        numbers.push_back(static_cast<std::int64_t>(std::pow(unit * range + 1, -5.0)) - 1);
        break;
      }
      case Distribution::kOneKey:
        numbers.push_back(42);
        break;
      case Distribution::kDistinct:
        numbers.push_back(i);
        break;
      case Distribution::kSorted:
        numbers.push_back(i / 3);
        break;
      case Distribution::kColliding:
        numbers.push_back(below(length / 4) << 40);
        break;
      case Distribution::kRange: {
        const std::int64_t number = below(2'000) - 1'000;
        numbers.push_back(number % 3 == 0 ? number + 1 : number);
        break;
      }
      case Distribution::kGrowing:
        numbers.push_back(i % 997 == 996 ? i << 32 : below(i + 1) - i / 2);
        break;
      case Distribution::kExtremes:
        numbers.push_back(below(2) == 0 ? INT64_MIN + below(100) : INT64_MAX - below(100));
        break;
    }
  }
  if (distribution == Distribution::kDistinct) std::ranges::shuffle(numbers, random);
  return numbers;
}

Value key_of(const KeyKind& kind, ir::Type type, std::int64_t number) {
  if (const auto* structure = type.as<ir::StructType>()) {
    std::vector<Value> members;
    for (const ir::Type member : structure->members) {
      members.push_back(key_of(kind, member, number));
      if (member.as<ir::ScalarType>()) number = number / 256 + number % 7;
    }
    return Value::structure(std::move(members));
  }
  if (type.as<ir::ScalarType>()) return scalar_key(type.as<ir::ScalarType>()->kind, number);
  const std::string digits = std::to_string(number);
  return Value::string(kind.long_strings ? "a long beginning that all of them have " + digits : digits);
}

Value key_column(const KeyKind& kind, ir::Type type, std::span<const std::int64_t> numbers) {
  std::vector<Value> keys;
  for (const std::int64_t number : numbers) keys.push_back(key_of(kind, type, number));
  return Value::vector(type, keys);
}

Value value_column(ir::Type type, std::int64_t length) {
  std::vector<Value> values;
  for (std::int64_t i = 0; i < length; ++i) {
    const std::int64_t number = i % 13 - 6;
    values.push_back(type.as<ir::ScalarType>()->kind == ScalarKind::kF64
                         ? Value::of(0.1 * static_cast<double>(number))
                         : scalar_key(type.as<ir::ScalarType>()->kind, number));
  }
  return Value::vector(type, values);
}

}  // namespace weld::builders
