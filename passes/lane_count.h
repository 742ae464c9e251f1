#pragma once

#include <cstdint>
#include <unordered_set>

#include "ir/nodes.h"
#include "ir/pointer_map.h"

namespace weld::passes {

inline constexpr std::uint32_t kMinLanes = 16;
inline constexpr std::uint32_t kMaxLanes = 64;

/// What differs between the iterations of a loop: its parameters, and what is made of them.
class Variation {
 public:
  /// Of the loop's function, which outlives the object.
  explicit Variation(const ir::Lambda& function);
  /// Of a part of the function. Recurses as deep as that is nested.
  bool varies(ir::Expr expr);

 private:
  std::unordered_set<std::uint64_t> varying_;  // symbols
  ir::PointerMap<ir::ExprRecord, char> varies_;
};

/// How many iterations of the loop are to be done at once, in registers of that size: as many as let the
/// widest scalar that differs fill `least_vectors` of them, more where operations wait for each other,
/// between kMinLanes and kMaxLanes.
std::uint32_t choose_lanes(const ir::For& loop, Variation& variation, int vector_bytes, int least_vectors);

}  // namespace weld::passes
