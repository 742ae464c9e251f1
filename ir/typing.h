#pragma once

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

/// The element that a `for` passes to its function for one iterator, and for several of them together.
Type element_type(const Iterator& iterator, Arena& arena);
Type element_type(std::span<const Iterator> iterators, Arena& arena);

}  // namespace weld::ir
