#include "passes/vectorise_loops.h"

#include <fmt/format.h>

#include <unordered_set>

#include "ir/effects.h"
#include "ir/fields.h"
#include "ir/reduction_order.h"
#include "passes/expression_cost.h"
#include "passes/lanes_function.h"

namespace weld::passes {
namespace {

constexpr double kMinGain = 0.85;              // lanes may take that share of the scalar cycles
constexpr std::uint32_t kMaxBodyNodes = 5000;  // larger ones would take LLVM too long
constexpr std::uint32_t kMaxBodyDepth = 400;   // the lanes function is deeper, and made by recursion

std::optional<std::int64_t> literal_value(ir::Expr expr) {
  const auto* literal = expr.as<ir::Literal>();
  return literal ? std::optional(literal->value.as<std::int64_t>()) : std::nullopt;
}

// An upper bound of the iterations that is known here.
std::optional<std::int64_t> known_iterations(const ir::For& loop) {
  std::optional<std::int64_t> least;
  for (const ir::Iterator& it : loop.iterators) {
    std::optional<std::int64_t> count;
    if (const auto* vector = it.data.as<ir::MakeVector>())
      count = static_cast<std::int64_t>(vector->elements.size());
    if (it.start) {
      const auto start = literal_value(it.start);
      const auto end = literal_value(it.end);
      const auto stride = literal_value(it.stride);
      if (start && end && stride && *stride > 0 && *end >= *start)
        count =
            static_cast<std::int64_t>((static_cast<unsigned __int128>(*end - static_cast<__int128>(*start)) +
                                       static_cast<unsigned __int128>(*stride) - 1) /
                                      static_cast<unsigned __int128>(*stride));
    }
    if (count) least = least ? std::min(*least, *count) : *count;
  }
  return least;
}

bool walks_over_scalars(const ir::For& loop) {
  for (const ir::Iterator& it : loop.iterators) {
    if (it.kind != ir::IteratorKind::kScalar && it.kind != ir::IteratorKind::kRange) return false;
  }
  return true;
}

// Why the loop cannot or need not have lanes, whatever its cost; empty if it may.
std::string refusal(ir::Expr expr) {
  const auto& loop = *expr.as<ir::For>();
  const ir::Expr body = loop.function.as<ir::Lambda>()->body;
  if (ir::annotated_bool(expr.annotations(), "vectorize") == false) return "the loop says vectorize:false";
  if (!walks_over_scalars(loop)) return "it walks over a simd iterator or nditer";
  if (any(body.effects() & ir::Effects::kForeign)) return "it calls a foreign function, in order";
  if (const auto count = known_iterations(loop); count && *count < ir::kMinLanedIterations)
    return fmt::format("it has {} iterations, and lanes start at {}", *count, ir::kMinLanedIterations);
  if (const auto size = ir::annotated_integer(expr.annotations(), "loopsize");
      size && *size < ir::kMinLanedIterations) {
    return fmt::format("it says loopsize:{}, and lanes start at {}", *size, ir::kMinLanedIterations);
  }
  if (ir::block_iterations(expr) < ir::kMinLanedIterations)
    return fmt::format("its blocks have fewer than {} iterations", ir::kMinLanedIterations);
  if (body.record().num_nodes > kMaxBodyNodes || body.record().depth > kMaxBodyDepth)
    return "its body is too large";
  return {};
}

// Groups that are not whole go through the scalar function, where the lanes function takes no mask for them.
std::string refusal_by_length(const ir::Lambda& lanes, ir::Expr expr) {
  if (lanes.parameters.size() > 3) return {};
  const std::int64_t size = lanes.parameters[1].type.as<ir::SimdType>()->lanes;
  const auto count = known_iterations(*expr.as<ir::For>());
  if (count && *count < size)
    return fmt::format("it has {} iterations, and lanes do {} at once", *count, size);
  if (const auto said = ir::annotated_integer(expr.annotations(), "loopsize"); said && *said < size)
    return fmt::format("it says loopsize:{}, and lanes do {} at once", *said, size);
  if (ir::block_iterations(expr) < size) return fmt::format("its blocks have fewer than {} iterations", size);
  return {};
}

std::string refusal_by_cost(const LanesFunction& lanes, ir::Expr expr) {
  if (ir::annotated_bool(expr.annotations(), "vectorize") == true) return {};
  if (lanes.lanes_cost < kMinGain * lanes.scalar_cost) return {};
  return fmt::format("lanes would gain little: about {:.1f} cycles an iteration instead of {:.1f}",
                     lanes.lanes_cost, lanes.scalar_cost);
}

// The loops inside of other loops' functions, by their builder parameter.
std::unordered_set<std::uint64_t> nested_loops(ir::Expr root) {
  std::unordered_set<std::uint64_t> nested;
  std::unordered_set<const ir::ExprRecord*> functions;
  int depth = 0;
  ir::walk(
      root,
      [&](ir::Expr expr) {
        if (functions.contains(expr.get())) ++depth;
        if (const auto* loop = expr.as<ir::For>()) {
          functions.insert(loop->function.get());
          if (depth > 0) nested.insert(loop->function.as<ir::Lambda>()->parameters[0].symbol.id());
        }
        return true;
      },
      [&](ir::Expr expr) {
        if (functions.contains(expr.get())) --depth;
      });
  return nested;
}

}  // namespace

ir::Expr vectorise_loops(ir::Expr root, PassContext& context) {
  ir::Arena& arena = context.arena;
  if (context.target.vector_bytes == 0) return root;
  const std::unordered_set<std::uint64_t> nested = nested_loops(root);
  return ir::rewrite_bottom_up(root, arena, [&](ir::Expr expr) {
    const auto* loop = expr.as<ir::For>();
    if (!loop || loop->lanes) return expr;
    const auto refuse = [&](std::string_view reason) {
      context.remarks.push_back({"vectorise_loops", fmt::format("not vectorised: {}", reason), expr.span()});
      return expr;
    };
    if (const std::string reason = refusal(expr); !reason.empty()) return refuse(reason);
    const bool is_nested = nested.contains(loop->function.as<ir::Lambda>()->parameters[0].symbol.id());
    const LoopPlace place = is_nested ? LoopPlace::kNested : LoopPlace::kOutermost;
    const std::optional<LanesFunction> lanes = make_lanes_function(expr, place, context);
    if (!lanes) return refuse("its builders are handed on in a way that has no lanes");
    if (const std::string reason = refusal_by_length(*lanes->function.as<ir::Lambda>(), expr);
        !reason.empty())
      return refuse(reason);
    if (const std::string reason = refusal_by_cost(*lanes, expr); !reason.empty()) {
      refuse(reason);
      if (lanes->without_lanes)
        context.remarks.push_back({"vectorise_loops", "this part has no lanes", lanes->without_lanes});
      return expr;
    }

    // The two functions have no part in common: what passes make of it would be bound twice.
    const ir::Expr function = ir::clone_fresh(loop->function, arena);
    const ir::For vectorised{arena.keep(lanes->iterators), loop->builder, function, lanes->function};
    ir::Expr result = arena.add(vectorised, expr.span(), expr.annotations());
    for (auto name = lanes->names.rbegin(); name != lanes->names.rend(); ++name)
      result = arena.make<ir::Let>(expr.span(), name->first, name->second, result);
    return result;
  });
}

}  // namespace weld::passes
