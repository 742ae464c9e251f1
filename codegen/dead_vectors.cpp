#include "codegen/dead_vectors.h"

#include <algorithm>
#include <optional>

#include "ir/fields.h"

namespace weld::codegen {
namespace {

bool holds_no_memory(ir::Type type) {
  if (const auto* structure = type.as<ir::StructType>())
    return std::ranges::all_of(structure->members, holds_no_memory);
  return type.as<ir::ScalarType>() || type.as<ir::SimdType>();
}

bool makes_vector(ir::Expr value) {
  const auto* result = value.as<ir::Result>();
  const auto* loop = result ? result->builder.as<ir::For>() : nullptr;
  const auto* made = loop ? loop->builder.as<ir::NewBuilder>() : nullptr;
  const auto* appender = made ? made->builder.as<ir::AppenderType>() : nullptr;
  return appender && holds_no_memory(appender->element);
}

// Whether the node reads that part of it and keeps nothing.
bool only_reads(ir::Expr node, ir::Expr part) {
  const auto is_part = [&](ir::Expr expr) { return expr.get() == part.get(); };
  if (const auto* loop = node.as<ir::For>()) {
    return !is_part(loop->builder) &&
           std::ranges::any_of(loop->iterators, [&](const ir::Iterator& it) { return is_part(it.data); });
  }
  if (const auto* lookup = node.as<ir::Lookup>()) return is_part(lookup->container);
  if (const auto* gather = node.as<ir::Gather>()) return is_part(gather->vector);
  return node.is<ir::Length>();
}

struct Life {
  std::uint64_t last_use = 0;  // by the symbol of a let
  bool escapes = false;
};

}  // namespace

DeadVectors dead_vectors(ir::Expr chain) {
  std::unordered_map<std::uint64_t, Life> lives;
  std::vector<ir::Symbol> made;
  // Notes the uses in a value: that of a let, or of the program, which ends what it reads.
  const auto note_uses = [&](ir::Expr value, std::optional<ir::Symbol> let) {
    const auto note = [&](ir::Expr expr, bool escapes) {
      const auto* ident = expr.as<ir::Ident>();
      const auto found = ident ? lives.find(ident->symbol.id()) : lives.end();
      if (found == lives.end()) return;
      if (let) found->second.last_use = let->id();
      found->second.escapes |= escapes || !let;
    };
    note(value, true);
    ir::for_each_node(value, [&](ir::Expr node) {
      ir::for_each_child(node, [&](ir::Expr part) { note(part, !only_reads(node, part)); });
    });
  };
  while (const auto* let = chain.as<ir::Let>()) {
    note_uses(let->value, let->symbol);
    if (makes_vector(let->value)) {
      lives[let->symbol.id()].last_use = let->symbol.id();
      made.push_back(let->symbol);
    }
    chain = let->body;
  }
  note_uses(chain, std::nullopt);

  DeadVectors dead;
  for (const ir::Symbol symbol : made) {
    const Life& life = lives[symbol.id()];
    if (!life.escapes) dead[life.last_use].push_back(symbol);
  }
  return dead;
}

}  // namespace weld::codegen
