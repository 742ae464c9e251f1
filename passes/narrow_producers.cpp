#include "passes/narrow_producers.h"

#include <algorithm>
#include <unordered_map>

#include "ir/effects.h"
#include "ir/fields.h"

namespace weld::passes {
namespace {

// The name of the vector that a loop walks over a part of; null for other iterators.
const ir::Ident* partly_walked(const ir::Iterator& it) {
  return it.kind == ir::IteratorKind::kScalar && it.start ? it.data.as<ir::Ident>() : nullptr;
}

bool is_name_or_literal(ir::Expr expr) {
  return expr.is<ir::Ident>() || expr.is<ir::Literal>();
}

bool uses_symbol(ir::Expr expr, ir::Symbol symbol) {
  bool uses = false;
  ir::walk(
      expr,
      [&](ir::Expr part) {
        const auto* ident = part.as<ir::Ident>();
        uses = uses || (ident && ident->symbol == symbol);
        return !uses;
      },
      [](ir::Expr) {});
  return uses;
}

class Narrower {
 public:
  Narrower(std::vector<BlockNode>& nodes, ir::Arena& arena) : nodes_(nodes), arena_(arena) {}

  bool narrow() {
    count_uses();
    if (uses_.empty()) return false;
    std::vector<BlockNode> nodes;
    for (BlockNode& node : nodes_) {
      if (const auto loop = match_loop(node.binding.value))
        node.binding.value = with_narrowed_data(*loop, nodes);
      if (node.binding.symbol && uses_.contains(node.binding.symbol.id()))
        places_.emplace(node.binding.symbol.id(), nodes.size());
      nodes.push_back(std::move(node));
    }
    std::erase_if(nodes, [](const BlockNode& node) { return !node.binding.value; });
    nodes_ = std::move(nodes);
    return is_narrowed_;
  }

 private:
  // Of vectors that some loop walks over a part of.
  void count_uses() {
    for (const BlockNode& node : nodes_) {
      const auto loop = match_loop(node.binding.value);
      if (!loop) continue;
      for (const ir::Iterator& it : loop->node->iterators) {
        if (const auto* data = partly_walked(it)) uses_.emplace(data->symbol.id(), 0);
      }
    }
    if (uses_.empty()) return;
    for (const BlockNode& node : nodes_) {
      ir::walk(
          node.binding.value,
          [&](ir::Expr part) {
            const auto* ident = part.as<ir::Ident>();
            const auto found = ident ? uses_.find(ident->symbol.id()) : uses_.end();
            if (found != uses_.end()) ++found->second;
            return true;
          },
          [](ir::Expr) {});
    }
  }

  // The value of a node, a loop, with the vectors that it alone walks over narrowed and moved to the end of
  // `nodes`.
  ir::Expr with_narrowed_data(const Loop& loop, std::vector<BlockNode>& nodes) {
    std::vector<ir::Iterator> iterators(loop.node->iterators.begin(), loop.node->iterators.end());
    bool changed = false;
    for (ir::Iterator& it : iterators) {
      const auto* data = partly_walked(it);
      const auto place = data ? places_.find(data->symbol.id()) : places_.end();
      if (place == places_.end() || uses_.at(data->symbol.id()) != 1) continue;
      const ir::Expr narrowed = narrowed_to(nodes[place->second].binding.value, it);
      if (!narrowed) continue;
      BlockNode producer = nodes[place->second];
      nodes[place->second].binding.value = ir::Expr();
      producer.binding.value = narrowed;
      nodes.push_back(std::move(producer));
      it = ir::Iterator{.data = it.data};
      changed = is_narrowed_ = true;
    }
    if (!changed) return loop.expr;
    const ir::For walking{arena_.keep(iterators), loop.node->builder, loop.node->function, loop.node->lanes};
    return with_result(loop, arena_.add(walking, loop.for_expr.span(), loop.for_expr.annotations()));
  }

  // Null where the vector has to be made as a whole.
  ir::Expr narrowed_to(ir::Expr vector, const ir::Iterator& part) {
    const auto loop = match_loop(vector);
    if (!loop || !filled_appender(*loop) || loop->node->lanes || loop->node->iterators.size() != 1) return {};
    const ir::Iterator& whole = loop->node->iterators.front();
    if (!is_whole(whole) || ir::may_fail_or_diverge(loop->node->function)) return {};
    if (loop->node->builder.as<ir::NewBuilder>()->argument) return {};  // a hint at the length of the whole
    std::vector<Binding> lets;
    const ir::Expr tail = split_lets(loop->function->body, lets);
    if (!merged_once(tail, builder_parameter(*loop->function, arena_), arena_)) return {};

    ir::Expr function = loop->node->function;
    if (uses_symbol(function, loop->index())) {
      if (!is_name_or_literal(part.start) || !is_name_or_literal(part.stride)) return {};
      function = with_index_of_whole(function, *loop, part);
    }
    const ir::Iterator narrowed{
        .data = whole.data, .start = part.start, .end = part.end, .stride = part.stride};
    const ir::For all{arena_.keep(std::vector{narrowed}), loop->node->builder, function};
    return with_result(*loop, arena_.add(all, loop->for_expr.span(), loop->for_expr.annotations()));
  }

  // `start + i * stride` for i.
  ir::Expr with_index_of_whole(ir::Expr function, const Loop& loop, const ir::Iterator& part) {
    return ir::rewrite_bottom_up(function, arena_, [&](ir::Expr expr) {
      const auto* ident = expr.as<ir::Ident>();
      if (!ident || !(ident->symbol == loop.index())) return expr;
      const ir::Expr steps = arena_.make<ir::Binary>(expr.span(), ir::BinaryOp::kMul, expr, part.stride);
      return arena_.make<ir::Binary>(expr.span(), ir::BinaryOp::kAdd, part.start, steps);
    });
  }

  ir::Expr with_result(const Loop& loop, ir::Expr for_expr) {
    return loop.has_result ? arena_.make<ir::Result>(loop.expr.span(), for_expr) : for_expr;
  }

  std::vector<BlockNode>& nodes_;
  ir::Arena& arena_;
  std::unordered_map<std::uint64_t, int> uses_;            // by symbol id
  std::unordered_map<std::uint64_t, std::size_t> places_;  // among the new nodes
  bool is_narrowed_ = false;
};

}  // namespace

bool narrow_producers(std::vector<BlockNode>& nodes, ir::Arena& arena) {
  return Narrower(nodes, arena).narrow();
}

}  // namespace weld::passes
