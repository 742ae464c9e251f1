#pragma once

#include <optional>

#include "ir/arena.h"

namespace weld::ir {

/// The type of a node from the types of its parts: one rule a node kind, shared by arena, parser and passes.
/// Types that are made belong to `arena`. Not for Ident, whose type its binder gives.
///
/// Errors  UserError at `span` (or at the offending part) when a rule is broken; the message says found and
/// expected.
Type infer_type(const Node& node, Span span, Arena& arena);

/// The value that a builder, or a struct of builders, turns into.
Type result_type(Type builder, Arena& arena);

/// What may be merged into a builder: `{K,V}` for dictmerger, and so on. A merger or appender of a scalar
/// also takes `simd` of it. The builder is one of the five types.
Type merge_type(Type builder, Arena& arena);

/// The type of n values of `type` at once: simd[S,n] for a scalar, a struct of lanes for a struct, and the
/// empty struct for what has no lanes (vectors, dictionaries, simd).
Type lanes_type(Type type, std::uint32_t num_lanes, Arena& arena);
/// The lanes of a simd, or of the simds in a struct, if they are all the same; nothing where there are none.
std::optional<std::uint32_t> num_lanes(Type type);
/// One lane of such a type: a scalar for a simd, a struct of them for a struct.
Type lane_type(Type lanes, Arena& arena);

/// The element that a `for` passes to its function for one iterator, and for several of them together.
Type element_type(const Iterator& iterator, Arena& arena);
Type element_type(std::span<const Iterator> iterators, Arena& arena);

}  // namespace weld::ir
