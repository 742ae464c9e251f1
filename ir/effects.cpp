#include "ir/effects.h"

#include "ir/fields.h"

namespace weld::ir {
namespace {

bool is_nonzero_literal(Expr expr) {
  const auto* literal = expr.as<Literal>();
  return literal && literal->value.bits != 0;
}

// Whether iterating can fail: bounds, strides and lengths are checked once a loop.
bool iterators_may_fail(std::span<const Iterator> iterators) {
  if (iterators.size() > 1) return true;
  const Iterator& iterator = iterators.front();
  return iterator.start || iterator.kind == IteratorKind::kRange;
}

Effects own_effects(const Node& node, Annotations annotations) {
  constexpr Effects kNone = Effects::kNone;
  constexpr Effects kMayFail = Effects::kMayFail;
  constexpr Effects kAllocates = Effects::kAllocates;
  constexpr Effects kLoops = Effects::kLoops;
  if (const auto* binary = std::get_if<Binary>(&node)) {
    const bool divides = binary->op == BinaryOp::kDiv || binary->op == BinaryOp::kRem;
    const Type type = binary->left.type();
    if (divides && is_integer(element_kind(type)) && !is_nonzero_literal(binary->right)) return kMayFail;
    return kNone;
  }
  if (std::get_if<Assert>(&node) || std::get_if<Lookup>(&node) || std::get_if<Slice>(&node) ||
      std::get_if<Gather>(&node) || std::get_if<LookupLanes>(&node)) {
    return kMayFail;
  }
  if (std::get_if<Iterate>(&node)) return Effects::kMayDiverge | kLoops | kAllocates;
  if (std::get_if<Zip>(&node)) return kMayFail | kAllocates | kLoops;
  if (std::get_if<Deserialize>(&node)) return kMayFail | kAllocates | kLoops;
  if (std::get_if<Serialize>(&node) || std::get_if<ToVec>(&node) || std::get_if<Sort>(&node)) {
    return kAllocates | kLoops;
  }
  if (std::get_if<PartialSort>(&node)) return kMayFail | kAllocates | kLoops;
  if (std::get_if<MakeVector>(&node)) return kAllocates;
  // What the function does is known where it is bound: here, anything.
  if (const auto* apply = std::get_if<Apply>(&node); apply && !apply->function.is<Lambda>()) {
    return kMayFail | Effects::kMayDiverge | kAllocates | Effects::kForeign | kLoops | Effects::kMerges;
  }
  if (std::get_if<ForeignCall>(&node)) {
    return annotated_bool(annotations, "pure").value_or(false) ? kNone : Effects::kForeign;
  }
  if (const auto* loop = std::get_if<For>(&node)) {
    const Effects consumes = kLoops | Effects::kMerges;
    return iterators_may_fail(loop->iterators) ? consumes | kMayFail : consumes;
  }
  if (const auto* builder = std::get_if<NewBuilder>(&node)) {
    return builder->builder.as<MergerType>() ? kNone : kAllocates;
  }
  if (std::get_if<Merge>(&node) || std::get_if<MergeMasked>(&node)) {
    const Expr builder =
        std::get_if<Merge>(&node) ? std::get<Merge>(node).builder : std::get<MergeMasked>(node).builder;
    const Effects index = builder.type().as<VecMergerType>() ? kMayFail : kNone;
    const Effects growth = builder.type().as<MergerType>() ? kNone : kAllocates;
    return Effects::kMerges | index | growth;
  }
  if (std::get_if<Result>(&node) || std::get_if<ForLanes>(&node)) return Effects::kMerges;
  return kNone;
}

}  // namespace

Effects infer_effects(const Node& node, Annotations annotations) {
  Effects effects = own_effects(node, annotations);
  for_each_child(node, [&](Expr child) { effects = effects | child.effects(); });
  return effects;
}

}  // namespace weld::ir
