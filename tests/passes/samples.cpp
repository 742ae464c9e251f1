#include "tests/passes/samples.h"

#include <iterator>
#include <limits>

namespace weld::tests {
namespace {

std::int64_t pick(std::int64_t least, std::int64_t most, std::mt19937_64& random) {
  return std::uniform_int_distribution<std::int64_t>(least, most)(random);
}

ir::Value sample_scalar(ir::ScalarKind kind, std::mt19937_64& random) {
  return ir::dispatch(kind, [&](auto zero) -> ir::Value {
    using T = decltype(zero);
    if constexpr (std::is_same_v<T, bool>) {
      return ir::Value::of(pick(0, 1, random) == 1);
    } else if constexpr (std::is_floating_point_v<T>) {
      const std::int64_t choice = pick(0, 40, random);
      if (choice == 40) return ir::Value::of(std::numeric_limits<T>::quiet_NaN());
      if (choice == 39) return ir::Value::of(-std::numeric_limits<T>::infinity());
      return ir::Value::of(static_cast<T>(choice - 20) / 4);
    } else {
      return ir::Value::of(static_cast<T>(pick(std::is_signed_v<T> ? -2 : 0, 6, random)));
    }
  });
}

ir::Value sample_vector(ir::Type element, std::int64_t length, std::mt19937_64& random) {
  std::vector<ir::Value> elements;
  for (std::int64_t i = 0; i < length; ++i) elements.push_back(sample_value(element, random));
  return ir::Value::vector(element, elements);
}

}  // namespace

ir::Value sample_value(ir::Type type, std::mt19937_64& random) {
  if (const auto* scalar = type.as<ir::ScalarType>()) return sample_scalar(scalar->kind, random);
  if (const auto* simd = type.as<ir::SimdType>()) {
    std::vector<ir::ScalarValue> lanes;
    for (std::uint32_t i = 0; i < simd->lanes; ++i)
      lanes.push_back(sample_scalar(simd->kind, random).scalar());
    return ir::Value::simd(lanes);
  }
  if (const auto* vec = type.as<ir::VecType>()) {
    return sample_vector(vec->element, pick(0, 5, random), random);
  }
  if (const auto* dict = type.as<ir::DictType>()) {
    std::vector<std::pair<ir::Value, ir::Value>> entries;
    for (std::int64_t i = pick(0, 4, random); i > 0; --i) {
      ir::Value key = sample_value(dict->key, random);
      entries.emplace_back(std::move(key), sample_value(dict->value, random));
    }
    return ir::Value::dict(entries);
  }
  std::vector<ir::Value> members;
  if (const auto* structure = type.as<ir::StructType>()) {
    for (ir::Type member : structure->members) members.push_back(sample_value(member, random));
  }
  return ir::Value::structure(std::move(members));
}

std::vector<ir::Value> sample_arguments(ir::Expr program, std::mt19937_64& random) {
  // Some so long that loops have groups of lanes, and some iterations left over.
  static constexpr std::int64_t kLengths[] = {0, 1, 3, 64, 70, 130};
  const bool equal_lengths = pick(0, 1, random) == 1;
  const std::int64_t length = kLengths[pick(0, std::size(kLengths) - 1, random)];
  std::vector<ir::Value> arguments;
  if (const auto* lambda = program.as<ir::Lambda>()) {
    for (const ir::Parameter& parameter : lambda->parameters) {
      const auto* vec = parameter.type.as<ir::VecType>();
      arguments.push_back(vec && equal_lengths ? sample_vector(vec->element, length, random)
                                               : sample_value(parameter.type, random));
    }
  }
  return arguments;
}

}  // namespace weld::tests
