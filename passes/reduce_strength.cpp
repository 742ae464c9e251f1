#include "passes/reduce_strength.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/effects.h"
#include "ir/equality.h"
#include "ir/fields.h"
#include "ir/typing.h"
#include "passes/paths.h"

namespace weld::passes {
namespace {

constexpr std::uint32_t kMaxOffsetNodes = 32;  // what is repeated in bounds
constexpr std::size_t kMaxIterators = 16;

bool is_integer_literal(ir::Expr expr, std::int64_t value) {
  const auto* literal = expr.as<ir::Literal>();
  return literal && literal->value == ir::ScalarValue::of(value);
}

bool is_positive_literal(ir::Expr expr) {
  const auto* literal = expr.as<ir::Literal>();
  return literal && literal->value.as<std::int64_t>() > 0;
}

bool is_whole(const ir::Iterator& it) {
  return it.kind == ir::IteratorKind::kScalar && !it.start;
}

// 0, 1, 2, …
bool is_count(const ir::Iterator& it) {
  return it.kind == ir::IteratorKind::kRange && is_integer_literal(it.start, 0) &&
         is_integer_literal(it.stride, 1);
}

const ir::Binary* operation(ir::Expr expr, ir::BinaryOp op) {
  const auto* binary = expr.as<ir::Binary>();
  return binary && binary->op == op ? binary : nullptr;
}

using Values = std::unordered_map<std::uint64_t, ir::Expr>;  // of lets, by symbol id

// Names of lengths stand for them.
ir::Expr resolve(ir::Expr expr, const Values& lets) {
  const auto* ident = expr.as<ir::Ident>();
  if (!ident) return expr;
  const auto found = lets.find(ident->symbol.id());
  return found == lets.end() ? expr : found->second;
}

// The lookups of one loop that become elements.
class LoopElements {
 public:
  LoopElements(ir::Expr expr, const Values& lets, PassContext& context)
      : expr_(expr),
        loop_(*expr.as<ir::For>()),
        lambda_(*loop_.function.as<ir::Lambda>()),
        lets_(lets),
        arena_(context.arena),
        remarks_(context.remarks) {}

  ir::Expr rewrite() {
    unify_iterators();
    for (const ir::Iterator& it : iterators_) {
      const bool is_known = is_whole(it) && is_path(it.data);
      if (is_count(it)) {
        count_ = it.end;
      } else if (is_known && !count_) {
        count_ = arena_.make<ir::Length>(expr_.span(), it.data);
      }
    }
    if (loop_.lanes) return expr_;
    if (count_ && !ir::may_fail_or_diverge(count_) && count_.record().num_nodes <= kMaxOffsetNodes)
      find_lookups();
    return replaced_.size() == 0 && !is_unified_ ? expr_ : with_elements();
  }

 private:
  struct Added {
    ir::Expr vector;
    ir::Expr offset;  // null: the whole vector
  };

  // Writes a walk from 0 to the length as one over the whole vector, and finds walks that are equal.
  void unify_iterators() {
    for (ir::Iterator it : loop_.iterators) {
      if (is_from_start_to_end(it)) {
        it = {.data = it.data};
        is_unified_ = true;
      }
      const auto same = std::ranges::find_if(iterators_, [&](const ir::Iterator& other) {
        return is_whole(other) && is_whole(it) && is_path(it.data) && ir::alpha_equal(it.data, other.data);
      });
      first_equal_.push_back(static_cast<std::size_t>(same - iterators_.begin()));
      has_equal_ |= same != iterators_.end();
      iterators_.push_back(it);
    }
    is_unified_ |= has_equal_;
  }

  bool is_from_start_to_end(const ir::Iterator& it) const {
    if (it.kind != ir::IteratorKind::kScalar || !it.start || !is_path(it.data)) return false;
    const auto* length = resolve(it.end, lets_).as<ir::Length>();
    return length && is_integer_literal(it.start, 0) && is_integer_literal(it.stride, 1) &&
           ir::alpha_equal(length->value, it.data);
  }

  void find_lookups() {
    struct Visit {
      ir::Expr expr;
      bool always;  // evaluated in every iteration
    };
    for (const ir::Parameter& parameter : lambda_.parameters) inner_.insert(parameter.symbol.id());
    ir::for_each_node(lambda_.body, [&](ir::Expr part) {
      if (const auto* let = part.as<ir::Let>()) inner_.insert(let->symbol.id());
      if (const auto* lambda = part.as<ir::Lambda>()) {
        for (const ir::Parameter& parameter : lambda->parameters) inner_.insert(parameter.symbol.id());
      }
    });
    // Once a loop may stop early for another reason, its iterators must not be checked for all of it.
    const ir::Effects acts = ir::Effects::kForeign | ir::Effects::kMayDiverge;
    std::vector<Visit> stack{{lambda_.body, !any(lambda_.body.effects() & acts)}};
    while (!stack.empty()) {
      const auto [part, always] = stack.back();
      stack.pop_back();
      if (!any(part.effects() & ir::Effects::kMayFail)) continue;
      if (const auto* lookup = part.as<ir::Lookup>()) consider(part, *lookup, always);
      const auto* branch = part.as<ir::If>();
      const auto* binary = part.as<ir::Binary>();
      const bool is_lazy =
          binary && (binary->op == ir::BinaryOp::kLogicalAnd || binary->op == ir::BinaryOp::kLogicalOr);
      const auto first = static_cast<std::ptrdiff_t>(stack.size());
      ir::for_each_child(part, [&](ir::Expr child) {
        const bool is_sure = !child.is<ir::Lambda>() && (!branch || child.get() == branch->condition.get()) &&
                             (!is_lazy || child.get() == binary->left.get());
        stack.push_back({child, always && is_sure});
      });
      std::reverse(stack.begin() + first, stack.end());
    }
  }

  void consider(ir::Expr expr, const ir::Lookup& lookup, bool always) {
    if (!lookup.container.type().as<ir::VecType>() || !is_path(lookup.container) ||
        uses_inner(lookup.container))
      return;
    if (is_index(lookup.key)) {
      for (std::size_t i = 0; i < iterators_.size(); ++i) {
        const ir::Iterator& it = iterators_[i];
        if (!is_whole(it) || !ir::alpha_equal(it.data, lookup.container)) continue;
        replaced_.emplace(expr.get(), static_cast<int>(i));
        return;
      }
      const auto* length = resolve(count_, lets_).as<ir::Length>();
      if (length && ir::alpha_equal(length->value, lookup.container))
        return add(expr, {lookup.container, {}});
    }
    const ir::Expr offset = offset_of(lookup.key);
    if (!offset) return;
    if (always) return add(expr, {lookup.container, offset});
    remarks_.push_back({.pass = "reduce_strength",
                        .message = "the index is checked in every iteration: not all of them look it up",
                        .span = expr.span()});
  }

  void add(ir::Expr expr, const Added& wanted) {
    const auto same = [](ir::Expr left, ir::Expr right) {
      return left && right ? ir::alpha_equal(left, right) : left.get() == right.get();
    };
    const auto found = std::ranges::find_if(added_, [&](const Added& added) {
      return same(added.vector, wanted.vector) && same(added.offset, wanted.offset);
    });
    const auto number = static_cast<std::size_t>(found - added_.begin()) + iterators_.size();
    if (found == added_.end()) {
      if (number >= kMaxIterators) return;
      added_.push_back(wanted);
    }
    replaced_.emplace(expr.get(), static_cast<int>(number));
  }

  bool uses_inner(ir::Expr expr) const {
    return std::ranges::any_of(ir::free_symbols(expr),
                               [&](const ir::Parameter& use) { return inner_.contains(use.symbol.id()); });
  }

  // The number of the iteration.
  bool is_index(ir::Expr expr) const {
    if (const auto* ident = expr.as<ir::Ident>()) {
      return ident->symbol == lambda_.parameters[1].symbol ||
             (ident->symbol == element() && iterators_.size() == 1 && is_count(iterators_.front()));
    }
    const auto* field = expr.as<ir::GetField>();
    const auto* ident = field ? field->value.as<ir::Ident>() : nullptr;
    return ident && ident->symbol == element() && iterators_.size() > 1 && is_count(iterators_[field->index]);
  }

  // The first index that is looked up, where that of an iteration is as much more as iterations came before;
  // null where it is not, or where no iteration may look up anything while the offset is out of range.
  ir::Expr offset_of(ir::Expr key) {
    if (is_index(key)) return arena_.literal(std::int64_t{0}, key.span());
    const auto* sum = operation(key, ir::BinaryOp::kAdd);
    if (!sum) return {};
    const ir::Expr offset = is_index(sum->right) ? sum->left : is_index(sum->left) ? sum->right : ir::Expr();
    if (!offset || offset.record().num_nodes > kMaxOffsetNodes || ir::may_fail_or_diverge(offset) ||
        any(offset.effects() & (ir::Effects::kLoops | ir::Effects::kMerges)) || uses_inner(offset)) {
      return {};
    }
    const auto* product = operation(offset, ir::BinaryOp::kMul);
    const auto is_number_of_iterations = [&](ir::Expr factor) {
      return ir::alpha_equal(resolve(factor, lets_), resolve(count_, lets_));
    };
    const bool is_zero_if_none =
        product && (is_number_of_iterations(product->left) || is_number_of_iterations(product->right));
    return is_zero_if_none || is_positive_literal(resolve(count_, lets_)) ? offset : ir::Expr();
  }

  ir::Symbol element() const { return lambda_.parameters[2].symbol; }

  ir::Expr with_elements() {
    const ir::Span span = expr_.span();
    std::vector<ir::Iterator> iterators;
    std::vector<int> places;  // of the old and the added iterators; -1 where the index takes its place
    for (std::size_t i = 0; i < iterators_.size(); ++i) {
      const ir::Iterator& it = iterators_[i];
      if (first_equal_[i] < i) {
        places.push_back(places[first_equal_[i]]);
        continue;
      }
      const bool is_dropped = is_count(it) && !added_.empty();
      places.push_back(is_dropped ? -1 : static_cast<int>(iterators.size()));
      if (!is_dropped) iterators.push_back(it);
    }
    for (const Added& added : added_) {
      places.push_back(static_cast<int>(iterators.size()));
      iterators.push_back(iterator_over(added));
    }

    const ir::Type type = ir::element_type(std::span<const ir::Iterator>(iterators), arena_);
    const bool keeps_element = added_.empty() && !has_equal_;
    const ir::Symbol symbol = keeps_element ? element() : arena_.fresh_symbol(element().name());
    const auto element_at = [&](std::size_t iterator) {
      const int place = places[iterator];
      if (place < 0) return arena_.ident(lambda_.parameters[1].symbol, lambda_.parameters[1].type, span);
      const ir::Expr whole = arena_.ident(symbol, type, span);
      return iterators.size() == 1
                 ? whole
                 : arena_.make<ir::GetField>(span, whole, static_cast<std::uint32_t>(place));
    };
    ir::Expr body = ir::rewrite_bottom_up(lambda_.body, arena_, [&](ir::Expr part) {
      const int* iterator = replaced_.find(part.get());
      return iterator ? element_at(static_cast<std::size_t>(*iterator)) : part;
    });
    if (keeps_element) {
      const ir::Expr function = arena_.add(ir::Lambda{lambda_.parameters, body}, loop_.function.span(),
                                           loop_.function.annotations());
      return arena_.add(ir::For{arena_.keep(iterators_), loop_.builder, function, {}}, span,
                        expr_.annotations());
    }
    body = with_old_element(body, element_at);
    const std::vector<ir::Parameter> parameters{lambda_.parameters[0], lambda_.parameters[1], {symbol, type}};
    const ir::Expr function = arena_.add(ir::Lambda{arena_.keep(parameters), body}, loop_.function.span(),
                                         loop_.function.annotations());
    return arena_.add(ir::For{arena_.keep(iterators), loop_.builder, function, {}}, span,
                      expr_.annotations());
  }

  // Writes the old element in terms of the new one.
  template <class ElementAt>
  ir::Expr with_old_element(ir::Expr body, const ElementAt& element_at) {
    const std::size_t num_old = iterators_.size();
    std::vector<ir::Expr> members;
    for (std::size_t i = 0; i < num_old; ++i) members.push_back(element_at(i));
    const ir::Expr old = num_old == 1 ? members.front() : arena_.make<ir::MakeStruct>(expr_.span(), members);
    return ir::rewrite_bottom_up(body, arena_, [&](ir::Expr part) {
      const auto* ident = part.as<ir::Ident>();
      if (ident && ident->symbol == element()) return old;
      const auto* field = part.as<ir::GetField>();
      return field && num_old > 1 && field->value.get() == old.get() ? members[field->index] : part;
    });
  }

  ir::Iterator iterator_over(const Added& added) {
    if (!added.offset) return {.data = added.vector};
    const ir::Span span = expr_.span();
    const bool is_from_start = is_integer_literal(added.offset, 0);
    return {.data = added.vector,
            .start = added.offset,
            .end = is_from_start ? count_
                                 : arena_.make<ir::Binary>(span, ir::BinaryOp::kAdd, added.offset, count_),
            .stride = arena_.literal(std::int64_t{1}, span)};
  }

  ir::Expr expr_;
  const ir::For& loop_;
  const ir::Lambda& lambda_;
  const Values& lets_;
  ir::Arena& arena_;
  std::vector<Remark>& remarks_;
  std::vector<ir::Iterator> iterators_;
  std::vector<std::size_t> first_equal_;  // of each iterator the first equal one, if there is one before
  bool has_equal_ = false;
  bool is_unified_ = false;
  ir::Expr count_;                           // of iterations
  std::unordered_set<std::uint64_t> inner_;  // symbols bound by the function or inside of it
  std::vector<Added> added_;
  ir::PointerMap<ir::ExprRecord, int> replaced_;  // lookups by the number of their iterator, added ones last
};

}  // namespace

ir::Expr reduce_strength(ir::Expr root, PassContext& context) {
  Values lets;
  ir::for_each_node(root, [&](ir::Expr expr) {
    const auto* let = expr.as<ir::Let>();
    if (let && (let->value.is<ir::Length>() || let->value.is<ir::Literal>()))
      lets.emplace(let->symbol.id(), let->value);
  });
  return ir::rewrite_bottom_up(root, context.arena, [&](ir::Expr expr) {
    return expr.is<ir::For>() ? LoopElements(expr, lets, context).rewrite() : expr;
  });
}

}  // namespace weld::passes
