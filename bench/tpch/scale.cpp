#include "bench/tpch/scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/tpch/error.h"

namespace weld::bench::tpch {

Scale::Scale(double scale_factor) {
  if (std::isnan(scale_factor)) throw DataError("the scale factor is not a number");
  if (scale_factor < 0.001) throw DataError(fmt::format("scale factor {} is below 0.001", scale_factor));
  if (scale_factor >= 30'000)
    throw DataError(fmt::format("scale factor {} is not below 30000", scale_factor));
  if (scale_factor < 1) {
    thousandths_ = static_cast<std::int64_t>(1000.0 * scale_factor);
  } else {
    whole_ = static_cast<std::int64_t>(scale_factor);
  }
}

std::int64_t Scale::count_of(std::int64_t base) const {
  return std::max<std::int64_t>(base * whole_ * thousandths_ / 1'000, 1);
}

}  // namespace weld::bench::tpch
