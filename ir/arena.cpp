#include "ir/arena.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "ir/effects.h"
#include "ir/error.h"
#include "ir/fields.h"
#include "ir/typing.h"

namespace weld::ir {
namespace {

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0xff51afd7ed558ccdu;
  return hash ^ (hash >> 32);
}

std::uint64_t field_hash(const Type& type) {
  return type.hash();
}
std::uint64_t field_hash(const std::span<const Type>& types) {
  std::uint64_t hash = types.size();
  for (Type type : types) hash = mix(hash, type.hash());
  return hash;
}
template <class T>
std::uint64_t field_hash(const T& value) {
  return static_cast<std::uint64_t>(value);
}

std::uint64_t type_hash(const TypeNode& node) {
  return std::visit(
      [&](const auto& type) {
        std::uint64_t hash = node.index() + 1000;
        std::apply([&](const auto&... field) { ((hash = mix(hash, field_hash(field))), ...); },
                   std::remove_cvref_t<decltype(type)>::fields(type));
        return hash;
      },
      node);
}

std::uint32_t depth_of(const Type& type) {
  if (!type) throw UserError("a type inside this type is missing", {});
  return type.record().depth;
}
std::uint32_t depth_of(const std::span<const Type>& types) {
  std::uint32_t depth = 0;
  for (Type type : types) depth = std::max(depth, depth_of(type));
  return depth;
}
template <class T>
std::uint32_t depth_of(const T&) {
  return 0;
}

std::uint32_t parts_of(const Type& type) {
  return type.record().num_parts;
}
std::uint32_t parts_of(const std::span<const Type>& types) {
  std::uint64_t parts = 0;
  for (Type type : types) parts += type.record().num_parts;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(parts, kMaxTypeParts));
}
template <class T>
std::uint32_t parts_of(const T&) {
  return 0;
}

void require(bool holds, std::string message) {
  if (!holds) throw UserError(std::move(message), {});
}

// A vector or dictionary holds values: no builders, no functions.
bool is_storable(Type type) {
  return !contains_builder(type) && !type.as<FunctionType>();
}

struct WellFormed {
  void operator()(const ScalarType&) const {}
  void operator()(const VecType& type) const {
    require(is_storable(type.element), fmt::format("a vector cannot hold {}", to_string(type.element)));
  }
  void operator()(const SimdType& type) const { require(type.lanes > 0, "simd has no lanes"); }
  void operator()(const DictType& type) const {
    check_key(type.key);
    require(is_storable(type.value), fmt::format("a dictionary cannot hold {}", to_string(type.value)));
  }
  void operator()(const StructType& type) const {
    for (Type member : type.members) require(!member.as<FunctionType>(), "a struct cannot hold a function");
  }
  void operator()(const AppenderType& type) const {
    require(is_storable(type.element), fmt::format("an appender cannot hold {}", to_string(type.element)));
  }
  void operator()(const MergerType& type) const { check_mergeable("merger", type.value); }
  void operator()(const DictMergerType& type) const {
    check_key(type.key);
    check_mergeable("dictmerger", type.value);
  }
  void operator()(const GroupMergerType& type) const {
    check_key(type.key);
    require(is_storable(type.value), fmt::format("a groupmerger cannot hold {}", to_string(type.value)));
  }
  void operator()(const VecMergerType& type) const { check_mergeable("vecmerger", type.element); }
  void operator()(const FunctionType& type) const {
    require(!type.result.as<FunctionType>(), "a function cannot return a function");
  }

  static void check_key(Type key) {
    require(
        is_hashable(key),
        fmt::format("{} cannot be a key: keys are scalars, and structs and vectors of keys", to_string(key)));
  }
  static void check_mergeable(std::string_view builder, Type value) {
    require(is_scalar_or_scalar_struct(value),
            fmt::format("{} takes a scalar or a struct of scalars, not {}", builder, to_string(value)));
    bool numeric = true;
    if (const auto* scalar = value.as<ScalarType>()) numeric = is_numeric(scalar->kind);
    if (const auto* structure = value.as<StructType>()) {
      numeric = std::ranges::all_of(structure->members,
                                    [](Type member) { return is_numeric(member.as<ScalarType>()->kind); });
    }
    require(numeric, fmt::format("{} cannot combine values of type {}", builder, to_string(value)));
  }
};

}  // namespace

Arena::Arena() = default;

// A lazy library makes chains of arenas, each retaining the one before: they are freed in a loop, not by
// recursion.
Arena::~Arena() {
  thread_local std::vector<std::shared_ptr<const Arena>>* pending = nullptr;
  if (pending) {
    std::ranges::move(retained_, std::back_inserter(*pending));
    return;
  }
  std::vector<std::shared_ptr<const Arena>> chain = std::move(retained_);
  pending = &chain;
  while (!chain.empty()) {
    const std::shared_ptr<const Arena> last = std::move(chain.back());
    chain.pop_back();
  }
  pending = nullptr;
}

void* Arena::allocate(std::size_t size_bytes, std::size_t align_bytes) {
  auto address = reinterpret_cast<std::uintptr_t>(next_);
  std::uintptr_t start = (address + align_bytes - 1) & ~(align_bytes - 1);
  if (next_ == nullptr || start + size_bytes > reinterpret_cast<std::uintptr_t>(end_)) {
    // The first block is small, so that a fragment of a few nodes costs little; later ones grow to 256 KiB.
    const std::size_t grown = std::size_t{512} << std::min<std::size_t>(blocks_.size(), 9);
    const std::size_t block_bytes = std::max(grown, size_bytes + align_bytes);
    blocks_.push_back(std::make_unique_for_overwrite<std::byte[]>(block_bytes));
    next_ = blocks_.back().get();
    end_ = next_ + block_bytes;
    used_bytes_ += block_bytes;
    address = reinterpret_cast<std::uintptr_t>(next_);
    start = (address + align_bytes - 1) & ~(align_bytes - 1);
  }
  next_ = reinterpret_cast<std::byte*>(start + size_bytes);
  return reinterpret_cast<void*>(start);
}

std::string_view Arena::keep(std::string_view text) {
  if (text.empty()) return {};
  auto* copy = static_cast<char*>(allocate(text.size(), 1));
  std::memcpy(copy, text.data(), text.size());
  return {copy, text.size()};
}

Symbol Arena::fresh_symbol(std::string_view name) {
  static std::atomic<std::uint64_t> next_id = 1;
  const std::uint64_t id = next_id.fetch_add(1, std::memory_order_relaxed);
  return Symbol(new (allocate(sizeof(Symbol::Record), alignof(Symbol::Record)))
                    Symbol::Record{id, keep(name)});
}

Expr Arena::add(const Node& node, Span span, Annotations annotations) {
  if (num_nodes_ >= max_nodes_) {
    throw UserError(fmt::format("the program has more than {} nodes", kMaxNodes), span,
                    ErrorCode::kBudgetExceeded);
  }
  ExprRecord record{.node = node, .type = {}, .span = span, .annotations = annotations};
  if (const auto* let = std::get_if<Let>(&node)) {
    record.depth = std::max(let->value.record().depth + 1, let->body.record().depth);
  } else {
    for_each_child(node,
                   [&](Expr child) { record.depth = std::max(record.depth, child.record().depth + 1); });
  }
  if (record.depth > kMaxDepth) {
    throw UserError(fmt::format("expressions are nested more than {} deep", kMaxDepth), span,
                    ErrorCode::kBudgetExceeded);
  }
  std::uint64_t num_nodes = 1;
  for_each_child(node, [&](Expr child) { num_nodes += child.record().num_nodes; });
  record.num_nodes = static_cast<std::uint32_t>(std::min<std::uint64_t>(num_nodes, UINT32_MAX));
  record.type = infer_type(node, span, *this);
  record.effects = infer_effects(node, annotations);
  ++num_nodes_;
  return Expr(new (allocate(sizeof(ExprRecord), alignof(ExprRecord))) ExprRecord(record));
}

Expr Arena::ident(Symbol symbol, Type type, Span span) {
  internal_check(static_cast<bool>(type), "a symbol has a type");
  ++num_nodes_;
  const ExprRecord record{.node = Ident{symbol}, .type = type, .span = span, .annotations = {}};
  return Expr(new (allocate(sizeof(ExprRecord), alignof(ExprRecord))) ExprRecord(record));
}

Expr Arena::with_annotations(Expr expr, Annotations annotations) {
  ExprRecord record = expr.record();
  record.annotations = copy_values(annotations.data(), annotations.size());
  record.effects = infer_effects(record.node, annotations);
  return Expr(new (allocate(sizeof(ExprRecord), alignof(ExprRecord))) ExprRecord(record));
}

Type Arena::with_annotations(Type type, Annotations annotations) {
  TypeRecord record = type.record();
  record.annotations = copy_values(annotations.data(), annotations.size());
  return Type(new (allocate(sizeof(TypeRecord), alignof(TypeRecord))) TypeRecord(record));
}

Type Arena::add_type(const TypeNode& node) {
  if (const auto* scalar = std::get_if<ScalarType>(&node)) return Type::scalar(scalar->kind);
  TypeRecord record{.node = node, .annotations = {}};
  record.depth =
      1 + std::visit(
              [](const auto& type) {
                std::uint32_t depth = 0;
                std::apply([&](const auto&... field) { ((depth = std::max(depth, depth_of(field))), ...); },
                           std::remove_cvref_t<decltype(type)>::fields(type));
                return depth;
              },
              node);
  if (record.depth > kMaxTypeDepth) {
    throw UserError(fmt::format("types are nested more than {} deep", kMaxTypeDepth), {},
                    ErrorCode::kBudgetExceeded);
  }
  std::visit(
      [&](const auto& type) {
        std::apply([&](const auto&... field) { ((record.num_parts += parts_of(field)), ...); },
                   std::remove_cvref_t<decltype(type)>::fields(type));
      },
      node);
  if (record.num_parts > kMaxTypeParts) {
    throw UserError(fmt::format("the type has more than {} parts", kMaxTypeParts), {},
                    ErrorCode::kBudgetExceeded);
  }
  std::visit(WellFormed{}, node);
  record.hash = type_hash(node);
  return Type(new (allocate(sizeof(TypeRecord), alignof(TypeRecord))) TypeRecord(record));
}

const Source* Arena::keep_source(std::shared_ptr<const Source> source) {
  const Source* kept = source.get();
  if (kept && (sources_.empty() || sources_.back().get() != kept)) sources_.push_back(std::move(source));
  return kept;
}

void Arena::keep_sources_of(const Arena& other) {
  std::vector<const Arena*> pending{&other};
  while (!pending.empty()) {
    const Arena* arena = pending.back();
    pending.pop_back();
    for (const auto& source : arena->sources_) keep_source(source);
    for (const auto& retained : arena->retained_) pending.push_back(retained.get());
  }
}

void Arena::retain(std::shared_ptr<const Arena> other) {
  if (other.get() != this) retained_.push_back(std::move(other));
}

}  // namespace weld::ir
