#include "tests/differential/generator/random_values.h"

#include <cmath>
#include <limits>

namespace weld::differential {

using ir::ScalarKind;
using ir::ScalarValue;
using ir::Type;
using ir::Value;

ScalarValue random_scalar(Random& random, ScalarKind kind) {
  return ir::dispatch(kind, [&](auto example) {
    using T = decltype(example);
    using Limits = std::numeric_limits<T>;
    if constexpr (std::is_same_v<T, bool>) {
      return ScalarValue::of(random.chance(50));
    } else if constexpr (std::is_floating_point_v<T>) {
      const T special[] = {T(0),
                           T(-0.0),
                           Limits::quiet_NaN(),
                           Limits::infinity(),
                           -Limits::infinity(),
                           Limits::max(),
                           Limits::denorm_min(),
                           Limits::min(),
                           T(1),
                           T(-1),
                           T(0.5),
                           T(0.1),
                           T(1e10),
                           T(-7.25)};
      if (random.chance(25)) return ScalarValue::of(random.pick(special));
      if (random.chance(40)) return ScalarValue::of(static_cast<T>(static_cast<int>(random.below(9)) - 4));
      const double unit = static_cast<double>(random.bits() >> 11) * 0x1p-53;
      return ScalarValue::of(static_cast<T>(std::ldexp(unit - 0.5, static_cast<int>(random.below(40)) - 10)));
    } else {
      if (random.chance(60))
        return ScalarValue::of(
            static_cast<T>(static_cast<int>(random.below(9)) - (std::is_signed_v<T> ? 3 : 0)));
      const T special[] = {Limits::min(),        Limits::max(), T(Limits::max() - 1),
                           T(Limits::min() + 1), T(64),         T(100)};
      if (random.chance(50)) return ScalarValue::of(random.pick(special));
      return ScalarValue::of(static_cast<T>(random.bits() >> random.below(64)));
    }
  });
}

std::int64_t random_length(Random& random, std::int64_t max_length) {
  static constexpr std::int64_t kLengths[] = {0,  1,  2,  3,  4,   5,   7,   8,    9,    15,   16,   17,  31,
                                              33, 63, 64, 65, 100, 127, 129, 1000, 4095, 4096, 4097, 8193};
  static constexpr std::int64_t kOfLanes[] = {63, 64, 65, 79, 80, 81, 96, 128, 130, 191};
  if (max_length >= 4096 && random.chance(1)) return 65536 + static_cast<std::int64_t>(random.below(10000));
  if (max_length == 200 && random.chance(40)) return random.pick(kOfLanes);
  std::int64_t length = random.pick(kLengths);
  while (length > max_length) length = random.pick(kLengths);
  return length;
}

Value random_value(Random& random, Type type, std::int64_t max_length, std::optional<std::int64_t> length) {
  if (const auto* scalar = type.as<ir::ScalarType>()) return random_scalar(random, scalar->kind);
  if (const auto* structure = type.as<ir::StructType>()) {
    std::vector<Value> members;
    for (const Type member : structure->members) members.push_back(random_value(random, member, max_length));
    return Value::structure(std::move(members));
  }
  const Type element = type.as<ir::VecType>()->element;
  if (!length) length = random_length(random, max_length);
  // Few different values in some vectors, many in others.
  const std::size_t num_different = random.chance(40) ? 1 + random.below(6) : 1000;
  std::vector<Value> different;
  std::vector<Value> elements;
  const std::int64_t inner_length = std::min<std::int64_t>(max_length, 9);
  for (std::int64_t i = 0; i < *length; ++i) {
    if (different.size() < num_different) {
      different.push_back(random_value(random, element, inner_length));
      elements.push_back(different.back());
    } else {
      elements.push_back(random.pick(different));
    }
  }
  return Value::vector(element, elements);
}

}  // namespace weld::differential
