#include "passes/loop_block.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <unordered_set>

#include "ir/effects.h"
#include "ir/equality.h"
#include "ir/fields.h"

namespace weld::passes {
namespace {

bool is_logical(const ir::Binary& binary) {
  return binary.op == ir::BinaryOp::kLogicalAnd || binary.op == ir::BinaryOp::kLogicalOr;
}

bool has(ir::Expr expr, ir::Effects effects) {
  return any(expr.effects() & effects);
}

// Numbers expressions, equal ones alike.
class ExprNumbers {
 public:
  int number(ir::Expr expr) {
    if (!expr) return -1;
    if (const auto* ident = expr.as<ir::Ident>())
      return symbols_.emplace(ident->symbol.id(), next_).second ? next_++ : symbols_.at(ident->symbol.id());
    std::vector<std::pair<ir::Expr, int>>& alike = others_[ir::structural_hash(expr)[0]];
    for (const auto& [other, number] : alike) {
      if (ir::alpha_equal(expr, other)) return number;
    }
    alike.emplace_back(expr, next_);
    return next_++;
  }

 private:
  int next_ = 0;
  std::unordered_map<std::uint64_t, int> symbols_;
  std::unordered_map<std::uint64_t, std::vector<std::pair<ir::Expr, int>>> others_;
};

// Numbers of iterations that are known to be equal.
class Spaces {
 public:
  int fresh() {
    parents_.push_back(static_cast<int>(parents_.size()));
    return parents_.back();
  }
  int find(int space) {
    auto& parents = parents_;
    while (parents[index(space)] != space) {
      parents[index(space)] = parents[index(parents[index(space)])];
      space = parents[index(space)];
    }
    return space;
  }
  int unite(int left, int right) { return parents_[index(find(left))] = find(right); }

 private:
  static std::size_t index(int space) { return static_cast<std::size_t>(space); }
  std::vector<int> parents_;
};

class BlockReader {
 public:
  explicit BlockReader(ir::Arena& arena) : arena_(arena) {}

  Block read(ir::Expr body) {
    for (const ir::Let* let; (let = body.as<ir::Let>()); body = let->body)
      add({let->symbol, take_apart(let->value, true), body.span()}, false);
    add({ir::Symbol(), take_apart(body, false), body.span()}, false);
    find_regions();
    for (std::size_t i = 0; i < block_.nodes.size(); ++i) analyse(static_cast<int>(i));
    finish_region(block_.nodes.size());
    return std::move(block_);
  }

 private:
  void add(Binding binding, bool is_hoisted) {
    if (binding.symbol) node_of_.emplace(binding.symbol.id(), static_cast<int>(block_.nodes.size()));
    block_.nodes.push_back({.binding = binding, .is_hoisted = is_hoisted});
  }

  // Makes nodes of the loops and lets inside of an expression. What calls foreign functions stays in one
  // piece.
  ir::Expr take_apart(ir::Expr root, bool is_binding) {
    if (!has(root, ir::Effects::kLoops) || has(root, ir::Effects::kForeign)) return root;
    enum class Step : std::uint8_t { kEnter, kBind, kLeave };
    struct Visit {
      ir::Expr expr;
      Step step;
      bool is_whole_value;  // of a binding, or the loop of a result
    };
    std::unordered_map<const ir::ExprRecord*, ir::Expr> replaced;
    const auto replacement = [&](ir::Expr part) {
      const auto found = replaced.find(part.get());
      return found == replaced.end() ? part : found->second;
    };
    std::vector<Visit> stack{{root, Step::kEnter, is_binding}};
    while (!stack.empty()) {
      const auto [expr, step, is_whole_value] = stack.back();
      const auto* let = expr.as<ir::Let>();
      if (step == Step::kEnter && (replaced.contains(expr.get()) || !has(expr, ir::Effects::kLoops))) {
        stack.pop_back();
      } else if (step == Step::kEnter && let) {
        stack.back().step = Step::kBind;
        stack.push_back({let->value, Step::kEnter, true});
      } else if (step == Step::kEnter) {
        stack.back().step = Step::kLeave;
        const auto first = static_cast<std::ptrdiff_t>(stack.size());
        for_each_strict_part(
            expr, [&](ir::Expr part) { stack.push_back({part, Step::kEnter, expr.is<ir::Result>()}); });
        std::reverse(stack.begin() + first, stack.end());
      } else if (step == Step::kBind) {
        stack.back().step = Step::kLeave;
        add({let->symbol, replacement(let->value), expr.span()}, false);
        stack.push_back({let->body, Step::kEnter, is_whole_value});
      } else {
        stack.pop_back();
        ir::Expr rewritten = let ? replacement(let->body) : ir::map_children(expr, arena_, replacement);
        if (!is_whole_value && match_loop(rewritten)) rewritten = hoist(rewritten);
        replaced.emplace(expr.get(), rewritten);
      }
    }
    return replacement(root);
  }

  template <class F>
  static void for_each_strict_part(ir::Expr expr, F&& f) {
    const auto* binary = expr.as<ir::Binary>();
    if (const auto* branch = expr.as<ir::If>()) return f(branch->condition);
    if (binary && is_logical(*binary)) return f(binary->left);
    ir::for_each_child(expr, [&](ir::Expr part) {
      if (!part.is<ir::Lambda>()) f(part);
    });
  }

  ir::Expr hoist(ir::Expr loop) {
    const ir::Symbol symbol = arena_.fresh_symbol("t");
    add({symbol, loop, loop.span()}, true);
    return arena_.ident(symbol, loop.type(), loop.span());
  }

  // A foreign call, or a computation that may not end next to one that may fail, keeps everything on its
  // side.
  void find_regions() {
    const bool may_fail = std::ranges::any_of(
        block_.nodes, [](const BlockNode& node) { return has(node.binding.value, ir::Effects::kMayFail); });
    const ir::Effects barrier =
        may_fail ? ir::Effects::kForeign | ir::Effects::kMayDiverge : ir::Effects::kForeign;
    int region = 0;
    for (BlockNode& node : block_.nodes) {
      const bool is_barrier = has(node.binding.value, barrier);
      node.region = is_barrier ? ++region : region;
      if (is_barrier) ++region;
    }
  }

  void analyse(int index) {
    BlockNode& node = this->node(index);
    if (index > 0 && node.region != this->node(index - 1).region)
      finish_region(static_cast<std::size_t>(index));
    node.binding.value = replace_lengths(node.binding.value);
    const ir::Expr value = node.binding.value;
    const std::optional<Loop> loop = match_loop(value);
    if (!loop || loop->node->lanes || has(value, ir::Effects::kForeign)) {
      find_uses(value, index);
      return;
    }
    node.loop = loop;
    node.role = role_of(*loop, node);
    node.cost = estimated_cost(loop->function->body);
    find_iterators(index);
    find_uses(loop->node->builder, index);
    find_uses(loop->node->function, index);
    if (node.role == LoopRole::kMap) find_length(node);
  }

  LoopRole role_of(const Loop& loop, BlockNode& node) {
    const auto* appender = filled_appender(loop);
    if (!appender || ir::may_fail_or_diverge(loop.node->builder)) return LoopRole::kSink;
    std::vector<Binding> lets;
    const ir::Expr tail = split_lets(loop.function->body, lets);
    if (!binds_builder(lets) && merged_once(tail, loop.builder(), arena_)) return LoopRole::kMap;
    const std::optional<int> sites = count_merge_sites(*loop.function);
    node.num_sites = sites.value_or(0);
    return node.num_sites > 0 ? LoopRole::kSites : LoopRole::kSink;
  }

  void find_iterators(int index) {
    BlockNode& node = this->node(index);
    for (const ir::Iterator& it : node.loop->node->iterators) {
      const std::array<int, 7> key{static_cast<int>(it.kind),  numbers_.number(it.data),
                                   numbers_.number(it.start),  numbers_.number(it.end),
                                   numbers_.number(it.stride), numbers_.number(it.shape),
                                   numbers_.number(it.strides)};
      const auto next = static_cast<int>(iterators_.size());
      node.iterators.push_back(iterators_.emplace(key, next).first->second);
      const int space = space_of(it, key);
      node.space = node.space < 0 ? space : spaces_.unite(node.space, space);

      const auto* data = it.data.as<ir::Ident>();
      const auto producer = data && is_whole(it) ? node_of_.find(data->symbol.id()) : node_of_.end();
      node.producers.push_back(producer == node_of_.end() ? -1 : producer->second);
      if (producer != node_of_.end()) {
        this->node(producer->second).uses.push_back({index, static_cast<int>(node.producers.size()) - 1});
        continue;
      }
      for (ir::Expr part : {it.data, it.start, it.end, it.stride, it.shape, it.strides}) {
        if (part) find_uses(part, index);
      }
    }
    loops_of_region_.push_back(index);
  }

  int space_of(const ir::Iterator& it, const std::array<int, 7>& key) {
    const auto known = [&](auto& table, const auto& name) {
      const auto found = table.find(name);
      return found != table.end() ? found->second : table.emplace(name, spaces_.fresh()).first->second;
    };
    if (it.kind == ir::IteratorKind::kSimd || it.kind == ir::IteratorKind::kFringe) return known(walks_, key);
    if (it.start) return known(ranges_, std::array<int, 3>{key[2], key[3], key[4]});
    return known(lengths_, key[1]);
  }

  void find_length(BlockNode& node) {
    const int vector = numbers_.number(arena_.ident(node.binding.symbol, node.binding.value.type()));
    lengths_.emplace(vector, node.space);
    const ir::Iterator& first = node.loop->node->iterators.front();
    ir::Expr data = first.data;
    while (const auto* field = data.as<ir::GetField>()) data = field->value;
    if (!is_whole(first) || !data.is<ir::Ident>()) return;
    const auto* source = first.data.as<ir::Ident>();
    const auto found = source ? sources_.find(source->symbol.id()) : sources_.end();
    sources_.emplace(node.binding.symbol.id(), found == sources_.end() ? first.data : found->second);
  }

  // `len` of a vector with one element an iteration becomes `len` of what the loop walks over.
  ir::Expr replace_lengths(ir::Expr value) {
    if (sources_.empty()) return value;
    bool found = false;
    const auto source_of = [&](ir::Expr expr) {
      const auto* length = expr.as<ir::Length>();
      const auto* vector = length ? length->value.as<ir::Ident>() : nullptr;
      const auto source = vector ? sources_.find(vector->symbol.id()) : sources_.end();
      return source == sources_.end() ? ir::Expr() : source->second;
    };
    ir::walk(
        value,
        [&](ir::Expr expr) {
          found = found || source_of(expr);
          return !found;
        },
        [](ir::Expr) {});
    if (!found) return value;
    return ir::rewrite_bottom_up(value, arena_, [&](ir::Expr expr) {
      const ir::Expr source = source_of(expr);
      return source ? arena_.make<ir::Length>(expr.span(), source) : expr;
    });
  }

  void find_uses(ir::Expr expr, int user) {
    const auto& loop = node(user).loop;
    ir::walk(
        expr,
        [&](ir::Expr part) {
          const auto* ident = part.as<ir::Ident>();
          if (!ident) return true;
          if (const auto found = node_of_.find(ident->symbol.id()); found != node_of_.end()) {
            std::vector<BlockUse>& uses = node(found->second).uses;
            const BlockUse use{user, -1};
            if (uses.empty() || uses.back().user != user || uses.back().iterator != -1) uses.push_back(use);
          }
          if (loop && ident->symbol == loop->index()) node(user).uses_index = true;
          return true;
        },
        [](ir::Expr) {});
  }

  // What later checks say about lengths does not count for loops of this region: they may not be reached.
  void finish_region(std::size_t) {
    for (int index : loops_of_region_) node(index).space = spaces_.find(node(index).space);
    loops_of_region_.clear();
  }

  BlockNode& node(int index) { return block_.nodes[static_cast<std::size_t>(index)]; }

  ir::Arena& arena_;
  Block block_;
  std::unordered_map<std::uint64_t, int> node_of_;  // by symbol id
  std::unordered_map<std::uint64_t, ir::Expr> sources_;
  ExprNumbers numbers_;
  Spaces spaces_;
  std::map<std::array<int, 7>, int> iterators_;
  std::map<std::array<int, 7>, int> walks_;
  std::map<std::array<int, 3>, int> ranges_;
  std::unordered_map<int, int> lengths_;  // spaces by number of the vector
  std::vector<int> loops_of_region_;
};

}  // namespace

Block read_block(ir::Expr body, ir::Arena& arena) {
  return BlockReader(arena).read(body);
}

ir::Expr rewrite_blocks(ir::Expr root, ir::Arena& arena, const std::function<ir::Expr(ir::Expr)>& f) {
  const auto rewrite = [&](ir::Expr body) { return has(body, ir::Effects::kLoops) ? f(body) : body; };
  const ir::Expr rewritten = ir::rewrite_bottom_up(root, arena, [&](ir::Expr expr) {
    const auto* lambda = expr.as<ir::Lambda>();
    const auto* branch = expr.as<ir::If>();
    const auto* binary = expr.as<ir::Binary>();
    if (!has(expr, ir::Effects::kLoops)) return expr;
    return ir::map_children(expr, arena, [&](ir::Expr part) {
      const bool is_block = lambda || (branch && part.get() != branch->condition.get()) ||
                            (binary && is_logical(*binary) && part.get() == binary->right.get());
      return is_block ? rewrite(part) : part;
    });
  });
  return rewritten.is<ir::Lambda>() ? rewritten : rewrite(rewritten);
}

}  // namespace weld::passes
