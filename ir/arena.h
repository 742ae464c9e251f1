#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/nodes.h"

namespace weld::ir {

/// Owns nodes, types and texts, which live until it dies. Making a node checks it: the text-free way to build
/// programs.
///
/// Threads  one at a time while it is filled; read-only use is free.
/// Memory   blocks of growing size; freeing does not recurse, whatever the programs' depth.
/// Errors   making a node throws UserError at its span when it breaks a typing rule (typing.h) or a budget
///          (kMaxDepth, kMaxNodes: BudgetExceeded).
class Arena {
 public:
  static constexpr std::uint32_t kMaxDepth = 1000;       ///< nesting of expressions, `let` bodies not counted
  static constexpr std::uint32_t kMaxNodes = 1'000'000;  ///< made in one arena, unless more are allowed

  Arena();
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// A node made of its fields in their order (nodes.h), e.g. `make<Merge>(span, builder, value)`. Ranges of
  /// expressions, types and names may be temporary: they are copied.
  template <class N, class... Fields>
  Expr make(Span span, const Fields&... fields) {
    return add(N{keep(fields)...}, span, {});
  }

  /// Adds any node whose parts are owned by this arena or by one that it retains.
  Expr add(const Node& node, Span span, Annotations annotations);

  /// The same node with other annotations (not merged with its own).
  Expr with_annotations(Expr expr, Annotations annotations);
  Type with_annotations(Type type, Annotations annotations);

  Symbol fresh_symbol(std::string_view name);

  template <class T>
  Expr literal(T value, Span span = {}) {
    return make<Literal>(span, ScalarValue::of(value));
  }
  Expr literal(ScalarValue value, Span span = {}) { return make<Literal>(span, value); }
  /// A use of the symbol, whose binder has that type.
  Expr ident(Symbol symbol, Type type, Span span = {});

  // Types.
  Type vec(Type element) { return add_type(VecType{element}); }
  Type simd(ScalarKind kind, std::uint32_t lanes = 4) { return add_type(SimdType{kind, lanes}); }
  Type dict(Type key, Type value) { return add_type(DictType{key, value}); }
  Type structure(std::span<const Type> members) { return add_type(StructType{keep(members)}); }
  Type structure(std::initializer_list<Type> members) {
    return structure(std::span(members.begin(), members.size()));
  }
  Type appender(Type element) { return add_type(AppenderType{element}); }
  Type merger(Type value, MergeOp op) { return add_type(MergerType{value, op}); }
  Type dictmerger(Type key, Type value, MergeOp op) { return add_type(DictMergerType{key, value, op}); }
  Type groupmerger(Type key, Type value) { return add_type(GroupMergerType{key, value}); }
  Type vecmerger(Type element, MergeOp op) { return add_type(VecMergerType{element, op}); }
  Type function(std::span<const Type> parameters, Type result) {
    return add_type(FunctionType{keep(parameters), result});
  }
  /// Throws UserError (no span) where the type is malformed: a key that cannot be one, a function as member,
  /// too deep.
  Type add_type(const TypeNode& node);

  // Copies into the arena.
  std::string_view keep(std::string_view text);
  template <class T>
  std::span<const T> keep(std::span<const T> values) {
    return copy_values(values.data(), values.size());
  }
  template <class T>
  std::span<const T> keep(const std::vector<T>& values) {
    return copy_values(values.data(), values.size());
  }
  template <class T>
    requires(!std::is_convertible_v<T, std::string_view>)
  const T& keep(const T& value) {
    return value;
  }

  /// The source lives as long as the arena and all that retain it.
  const Source* keep_source(std::shared_ptr<const Source> source);
  /// The sources of `other`, and of the arenas that it retains, live as long as this arena too.
  void keep_sources_of(const Arena& other);
  /// Nodes of `other` may be parts of nodes made here.
  void retain(std::shared_ptr<const Arena> other);

  std::uint32_t num_nodes() const { return num_nodes_; }
  /// From here on this many more nodes may be made: a pass that rewrites a program leaves the old one behind.
  void allow_more_nodes(std::uint32_t num_nodes) { max_nodes_ = num_nodes_ + num_nodes; }
  std::size_t used_bytes() const { return used_bytes_; }

 private:
  void* allocate(std::size_t size_bytes, std::size_t align_bytes);
  template <class T>
  std::span<const T> copy_values(const T* values, std::size_t count) {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);
    if (count == 0) return {};
    T* copies = static_cast<T*>(allocate(count * sizeof(T), alignof(T)));
    for (std::size_t i = 0; i < count; ++i) new (copies + i) T(values[i]);
    return {copies, count};
  }

  std::vector<std::unique_ptr<std::byte[]>> blocks_;
  std::byte* next_ = nullptr;
  std::byte* end_ = nullptr;
  std::size_t used_bytes_ = 0;
  std::uint32_t num_nodes_ = 0;
  std::uint32_t max_nodes_ = kMaxNodes;
  std::vector<std::shared_ptr<const Source>> sources_;
  std::vector<std::shared_ptr<const Arena>> retained_;
};

}  // namespace weld::ir
