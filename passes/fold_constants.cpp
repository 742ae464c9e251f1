#include "passes/fold_constants.h"

#include <algorithm>
#include <ranges>
#include <unordered_map>
#include <vector>

#include "ir/effects.h"
#include "ir/fields.h"
#include "ir/scalar_eval.h"
#include "passes/rewrite_lets.h"

namespace weld::passes {
namespace {

const ir::ScalarValue* constant(ir::Expr expr) {
  const auto* literal = expr.as<ir::Literal>();
  return literal ? &literal->value : nullptr;
}

bool is_constant(ir::Expr expr, bool value) {
  const ir::ScalarValue* known = constant(expr);
  return known && known->kind == ir::ScalarKind::kBool && known->as<bool>() == value;
}

// Whether all parts but the one at `index` may be dropped.
bool may_keep_only(std::span<const ir::Expr> parts, std::size_t index) {
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i != index && ir::may_fail_or_diverge(parts[i])) return false;
  }
  return true;
}

class ConstantFolder {
 public:
  explicit ConstantFolder(ir::Arena& arena) : arena_(arena) {}

  void bind(ir::Symbol symbol, ir::Expr value) {
    if (value.is<ir::Literal>() || value.is<ir::MakeStruct>()) known_.emplace(symbol.id(), value);
  }

  ir::Expr fold(ir::Expr expr) {
    return std::visit([&](const auto& node) { return fold(expr, node); }, expr.record().node);
  }

 private:
  template <class N>
  ir::Expr fold(ir::Expr expr, const N&) {
    return expr;
  }

  ir::Expr fold(ir::Expr expr, const ir::Ident& node) {
    const ir::Expr value = known(node.symbol);
    return value && value.is<ir::Literal>() ? literal(*constant(value), expr) : expr;
  }

  ir::Expr fold(ir::Expr expr, const ir::Let& node) {
    return node.value.is<ir::Literal>() ? node.body : expr;
  }

  ir::Expr fold(ir::Expr expr, const ir::Unary& node) {
    const ir::ScalarValue* value = constant(node.value);
    return value ? literal(ir::evaluate(node.op, *value), expr) : expr;
  }

  ir::Expr fold(ir::Expr expr, const ir::Binary& node) {
    if (node.op == ir::BinaryOp::kLogicalAnd) return fold_logical(expr, node, true);
    if (node.op == ir::BinaryOp::kLogicalOr) return fold_logical(expr, node, false);
    const ir::ScalarValue* left = constant(node.left);
    const ir::ScalarValue* right = constant(node.right);
    if (!left || !right) return expr;
    const auto result = ir::evaluate(node.op, *left, *right);
    return result ? literal(*result, expr) : expr;
  }

  // `neutral` is the operand that leaves the other one as it is; its negation decides.
  ir::Expr fold_logical(ir::Expr expr, const ir::Binary& node, bool neutral) {
    if (is_constant(node.left, neutral)) return node.right;
    if (is_constant(node.right, neutral)) return node.left;
    if (is_constant(node.left, !neutral)) return node.left;
    if (is_constant(node.right, !neutral) && !ir::may_fail_or_diverge(node.left)) return node.right;
    return expr;
  }

  ir::Expr fold(ir::Expr expr, const ir::Cast& node) {
    if (const ir::ScalarValue* value = constant(node.value))
      return literal(ir::convert(node.kind, *value), expr);
    return node.value.type() == expr.type() ? node.value : expr;
  }

  ir::Expr fold(ir::Expr expr, const ir::Assert& node) {
    return is_constant(node.condition, true) ? node.condition : expr;
  }

  ir::Expr fold(ir::Expr expr, const ir::If& node) {
    if (is_constant(node.condition, true)) return node.on_true;
    if (is_constant(node.condition, false)) return node.on_false;
    return is_constant(node.on_true, true) && is_constant(node.on_false, false) ? node.condition : expr;
  }

  ir::Expr fold(ir::Expr expr, const ir::Select& node) {
    if (is_constant(node.condition, true) && !ir::may_fail_or_diverge(node.on_false)) return node.on_true;
    if (is_constant(node.condition, false) && !ir::may_fail_or_diverge(node.on_true)) return node.on_false;
    return expr;
  }

  ir::Expr fold(ir::Expr expr, const ir::GetField& node) {
    if (const auto* ident = node.value.as<ir::Ident>())
      return field_of_known(expr, ident->symbol, node.index);
    std::vector<ir::Expr> lets;  // `(let x = a; {x, c}).$0` is `let x = a; x`
    ir::Expr value = node.value;
    while (const auto* let = value.as<ir::Let>()) {
      lets.push_back(value);
      value = let->body;
    }
    const auto* structure = value.as<ir::MakeStruct>();
    if (!structure || !may_keep_only(structure->members, node.index)) return expr;
    ir::Expr member = structure->members[node.index];
    for (ir::Expr let : std::views::reverse(lets)) {
      member = arena_.make<ir::Let>(let.span(), let.as<ir::Let>()->symbol, let.as<ir::Let>()->value, member);
    }
    return member;
  }

  // A builder stays in the struct that it was moved into.
  ir::Expr field_of_known(ir::Expr expr, ir::Symbol symbol, std::uint32_t index) {
    const ir::Expr value = known(symbol);
    const auto* structure = value.as<ir::MakeStruct>();
    if (!structure) return expr;
    const ir::Expr member = structure->members[index];
    if (const ir::ScalarValue* number = constant(member)) return literal(*number, expr);
    return member.is<ir::Ident>() && !ir::contains_builder(member.type()) ? member : expr;
  }

  ir::Expr fold(ir::Expr expr, const ir::Length& node) {
    if (const auto* text = node.value.as<ir::StringLiteral>()) {
      return literal(ir::ScalarValue::of(static_cast<std::int64_t>(text->bytes.size())), expr);
    }
    const auto* vector = node.value.as<ir::MakeVector>();
    if (!vector || !may_keep_only(vector->elements, vector->elements.size())) return expr;
    return literal(ir::ScalarValue::of(static_cast<std::int64_t>(vector->elements.size())), expr);
  }

  ir::Expr fold(ir::Expr expr, const ir::Lookup& node) {
    const ir::ScalarValue* key = constant(node.key);
    if (!key) return expr;
    if (const auto* text = node.container.as<ir::StringLiteral>()) {
      const std::uint64_t index = key->bits;
      if (index >= text->bytes.size()) return expr;
      return literal(ir::ScalarValue::of(static_cast<std::int8_t>(text->bytes[index])), expr);
    }
    const auto* vector = node.container.as<ir::MakeVector>();
    if (!vector || key->bits >= vector->elements.size()) return expr;
    return may_keep_only(vector->elements, key->bits) ? vector->elements[key->bits] : expr;
  }

  ir::Expr known(ir::Symbol symbol) const {
    const auto found = known_.find(symbol.id());
    return found == known_.end() ? ir::Expr() : found->second;
  }

  ir::Expr literal(ir::ScalarValue value, ir::Expr origin) { return arena_.literal(value, origin.span()); }

  ir::Arena& arena_;
  std::unordered_map<std::uint64_t, ir::Expr> known_;  // literals and struct literals by symbol id
};

}  // namespace

ir::Expr fold_constants(ir::Expr root, PassContext& context) {
  ConstantFolder folder(context.arena);
  return rewrite_lets(
      root, context.arena, [&](ir::Symbol symbol, ir::Expr value) { folder.bind(symbol, value); },
      [&](ir::Expr expr) { return folder.fold(expr); });
}

}  // namespace weld::passes
