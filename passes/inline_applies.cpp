#include "passes/inline_applies.h"

#include <ranges>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/error.h"
#include "ir/fields.h"
#include "passes/rewrite_lets.h"

namespace weld::passes {
namespace {

// `let s1 = v1; let s2 = v2; … rest`, taken apart.
struct Peeled {
  std::vector<ir::Expr> lets;
  ir::Expr rest;
};

Peeled peel_lets(ir::Expr expr) {
  Peeled peeled{.lets = {}, .rest = expr};
  while (const auto* let = peeled.rest.as<ir::Let>()) {
    peeled.lets.push_back(peeled.rest);
    peeled.rest = let->body;
  }
  return peeled;
}

ir::Expr wrap_in_lets(const std::vector<ir::Expr>& lets, ir::Expr body, ir::Arena& arena) {
  for (ir::Expr expr : std::views::reverse(lets)) {
    const auto* let = expr.as<ir::Let>();
    body = arena.make<ir::Let>(expr.span(), let->symbol, let->value, body);
  }
  return body;
}

class ApplyInliner {
 public:
  explicit ApplyInliner(ir::Arena& arena) : arena_(arena) {}

  void bind(ir::Symbol symbol, ir::Expr value) {
    if (!value.type().as<ir::FunctionType>()) return;
    const ir::Expr function = peel_lets(value).rest;
    const auto* alias = function.as<ir::Ident>();
    functions_[symbol.id()] = alias ? functions_.at(alias->symbol.id()) : function;
  }

  ir::Expr rewrite(ir::Expr expr) {
    if (const auto* let = expr.as<ir::Let>(); let && let->value.type().as<ir::FunctionType>()) {
      return wrap_in_lets(peel_lets(let->value).lets, let->body, arena_);
    }
    const auto* apply = expr.as<ir::Apply>();
    if (!apply) return expr;

    const Peeled peeled = peel_lets(apply->function);
    const ir::Expr function = copy_of(peeled.rest);
    const auto* lambda = function.as<ir::Lambda>();
    ir::internal_check(lambda != nullptr, "what is applied is a lambda");
    ir::Expr body = lambda->body;
    for (std::size_t i = lambda->parameters.size(); i-- > 0;) {
      body = arena_.make<ir::Let>(expr.span(), lambda->parameters[i].symbol, apply->arguments[i], body);
    }
    return wrap_in_lets(peeled.lets, body, arena_);
  }

 private:
  // The first call of a function takes it as it is.
  ir::Expr copy_of(ir::Expr function) {
    const auto* ident = function.as<ir::Ident>();
    if (!ident) return function;
    const auto found = functions_.find(ident->symbol.id());
    ir::internal_check(found != functions_.end(), "a function is bound before it is applied");
    const ir::Expr lambda = found->second;
    if (taken_.insert(lambda.get()).second) return lambda;
    return ir::clone_fresh(lambda, arena_);
  }

  ir::Arena& arena_;
  std::unordered_map<std::uint64_t, ir::Expr> functions_;  // lambdas by the symbol they are bound to
  std::unordered_set<const ir::ExprRecord*> taken_;
};

}  // namespace

ir::Expr inline_applies(ir::Expr root, PassContext& context) {
  ir::Arena& arena = context.arena;
  ApplyInliner inliner(arena);
  return rewrite_lets(
      root, arena, [&](ir::Symbol symbol, ir::Expr value) { inliner.bind(symbol, value); },
      [&](ir::Expr expr) { return inliner.rewrite(expr); });
}

}  // namespace weld::passes
