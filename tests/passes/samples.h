#pragma once

#include <random>
#include <vector>

#include "ir/value.h"

namespace weld::tests {

/// A small value of a type without builders: short vectors, numbers around zero (so that indices hit and
/// miss), sums of floats exact, now and then a NaN or an infinity.
ir::Value sample_value(ir::Type type, std::mt19937_64& random);

/// Arguments for a program; none if it has no parameters. Half of the time its vectors are equally long, up
/// to a hundred and some elements, so that lanes run.
std::vector<ir::Value> sample_arguments(ir::Expr program, std::mt19937_64& random);

}  // namespace weld::tests
