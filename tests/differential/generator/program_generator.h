#pragma once

#include <vector>

#include "ir/arena.h"
#include "ir/value.h"
#include "tests/differential/generator/random.h"

namespace weld::differential {

/// Whether a program's float sums and products may depend on their order: not where loops are fused, and so
/// sum in another order.
enum class Sums { kAny, kExact };

/// A random program: a lambda that the verifier accepts, made of every node kind, type, builder and iterator.
///
/// Most of its indices are in range and most of its divisors are not zero, so that about three in four runs
/// succeed. Every `iterate` ends after a few iterations. Comparators of sorts are strict weak orders that
/// cannot fail: how they are called is unspecified.
ir::Expr random_program(Random& random, ir::Arena& arena, Sums sums);

/// A random program as libraries write them that emit a fragment an operation: a chain of lets over columns
/// of equal length. Rarely does one fail.
ir::Expr random_library_program(Random& random, ir::Arena& arena, Sums sums);

/// How long the vectors of arguments are.
enum class Lengths {
  kAdversarial,  ///< any of those where something changes, independent of each other
  kEqual,        ///< one of them for all vectors, mostly
  kSmall,        ///< likewise, mostly below 200, for programs that run many times
};

/// Arguments for it: adversarial sizes, small where loops are nested deeply; many equal, extreme and special
/// values.
std::vector<ir::Value> random_arguments(Random& random, ir::Expr program, Lengths lengths);

/// An expression for the zero of a type without builders and simd.
ir::Expr zero_expression(ir::Arena& arena, ir::Type type);

}  // namespace weld::differential
