#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "passes/pass.h"

namespace weld::passes {

/// What a loop is to get so that it does n iterations at once (ir::For).
struct LanesFunction {
  ir::Expr function;  ///< `|b, i, e|` over simd[i64,n] and the lanes of the element, or `|b, i, e, active|`
  std::vector<ir::Iterator> iterators;  ///< the loop's, their parts named where `function` looks elements up
  std::vector<std::pair<ir::Symbol, ir::Expr>> names;  ///< to be bound around the loop, in this order
  double scalar_cost = 0;                              ///< cycles an iteration as it is (expression_cost.h)
  double lanes_cost = 0;                               ///< cycles an iteration through `function`
  ir::Span without_lanes;  ///< the part that costs most of those that are done lane by lane; null: none
};

/// Inner loops are often short: those that merge into mergers only do in lanes what groups leave over, too.
enum class LoopPlace : std::uint8_t { kOutermost, kNested };

/// The function of `loop`, a For without one, rewritten to work on 16, 32 or 64 iterations at once: as many
/// as let the widest scalar that differs between iterations fill one vector in a nested loop and four in
/// another (independent work hides latency: haversine takes 0.87 of the time that two vectors take), but 16
/// at least.
///
/// - Scalars that differ become simd, structs of scalars structs of simd; the others stay scalars.
/// - Branches on what differs evaluate both sides: values are selected, merges masked. A side that may fail
///   is evaluated under its mask; one that is expensive, or rare, only where any lane needs it (`any_lane`).
/// - Lookups in vectors become gathers, those in dictionaries by keys of scalars lookups of all lanes' keys.
/// - What has no lanes (strings, loops, …) is evaluated lane by lane, in map_lanes where it
///   gives scalars and in for_lanes where it merges, for the lanes that get there. Its operands are computed
///   in lanes first. Two merges of one iteration into a builder whose result depends on their order go
///   through for_lanes too.
///
/// Nothing where builders are handed on in a way that has no lanes. The loop's body calls no foreign function
/// and no function that is not inlined; the loop walks over scalar or range iterators. Recurses as deep as
/// the body is nested.
std::optional<LanesFunction> make_lanes_function(ir::Expr loop, LoopPlace place, PassContext& context);

}  // namespace weld::passes
