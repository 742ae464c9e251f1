#include "passes/loop_block.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <unordered_set>

#include "ir/effects.h"
#include "ir/equality.h"
#include "ir/fields.h"
#include "ir/pointer_map.h"
#include "passes/count_lengths.h"
#include "passes/narrow_producers.h"

namespace weld::passes {
namespace {

bool is_logical(const ir::Binary& binary) {
  return binary.op == ir::BinaryOp::kLogicalAnd || binary.op == ir::BinaryOp::kLogicalOr;
}

constexpr std::size_t kMaxFields = 16;

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

  Block read(ir::Expr body, BlockReading reading) {
    for (const ir::Let* let; (let = body.as<ir::Let>()); body = let->body)
      add({let->symbol, take_apart(let->value, true), body.span()}, false);
    add({ir::Symbol(), take_apart(body, false), body.span()}, false);
    if (reading == BlockReading::kSimplified) {
      block_.is_simplified = narrow_producers(block_.nodes, arena_);
      count_lengths(block_.nodes, arena_);
    }
    find_structs();
    find_regions();
    for (std::size_t i = 0; i < block_.nodes.size(); ++i) analyse(static_cast<int>(i));
    finish_region();
    return std::move(block_);
  }

 private:
  void add(Binding binding, bool is_hoisted) {
    BlockNode node{.binding = binding, .alone = {}, .is_hoisted = is_hoisted};
    node.values.push_back({.symbol = binding.symbol});
    block_.nodes.push_back(std::move(node));
  }

  // Makes nodes of the loops and lets inside of an expression. What calls foreign functions stays in one
  // piece.
  ir::Expr take_apart(ir::Expr root, bool is_binding) {
    const bool stays = root.is<ir::Lambda>() || has(root, ir::Effects::kForeign);
    if (stays || !has(root, ir::Effects::kLoops)) return root;
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
      const bool is_left_alone = expr.is<ir::Lambda>() || !has(expr, ir::Effects::kLoops);
      if (step == Step::kEnter && (is_left_alone || replaced.contains(expr.get()))) {
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
    if (expr.is<ir::Variants>()) return;
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

  // Results of structs of builders that are used by their fields only, so that each field is a value of its
  // own.
  void find_structs() {
    for (const BlockNode& node : block_.nodes) {
      const auto loop = match_loop(node.binding.value);
      if (node.binding.symbol && loop && loop->has_result && has_builders(*loop))
        structs_.insert(node.binding.symbol.id());
    }
    if (structs_.empty()) return;
    for (const BlockNode& node : block_.nodes) {
      ir::walk(
          node.binding.value,
          [&](ir::Expr part) {
            if (const auto* ident = part.as<ir::Ident>()) structs_.erase(ident->symbol.id());
            const auto* field = part.as<ir::GetField>();
            return !field || !field->value.is<ir::Ident>();
          },
          [](ir::Expr) {});
    }
  }

  static bool has_builders(const Loop& loop) {
    const auto* builders = loop.node->builder.as<ir::MakeStruct>();
    return builders && !loop.node->lanes && builders->members.size() >= 2 &&
           builders->members.size() <= kMaxFields;
  }

  // `let x = …; {merge(b.$0, x), …}`: every field is made of the builder of that field.
  static bool has_separate_builders(const Loop& loop) {
    std::vector<Binding> lets;
    const ir::Expr tail = split_lets(loop.function->body, lets);
    const auto* states = tail.as<ir::MakeStruct>();
    if (!states || binds_builder(lets)) return false;
    for (std::size_t i = 0; i < states->members.size(); ++i) {
      if (!uses_field_only(states->members[i], loop.builder(), i)) return false;
    }
    return true;
  }

  static bool uses_field_only(ir::Expr expr, ir::Symbol builder, std::size_t index) {
    bool uses_other = false;
    ir::walk(
        expr,
        [&](ir::Expr part) {
          const auto* ident = part.as<ir::Ident>();
          uses_other = uses_other || (ident && ident->symbol == builder);
          const auto* field = part.as<ir::GetField>();
          const auto* whole = field ? field->value.as<ir::Ident>() : nullptr;
          return !whole || !(whole->symbol == builder) || field->index != index;
        },
        [](ir::Expr) {});
    return !uses_other;
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
    if (index > 0 && node.region != this->node(index - 1).region) finish_region();
    node.binding.value = with_values_of_nodes(node.binding.value);
    const ir::Expr value = node.binding.value;
    const std::optional<Loop> loop = match_loop(value);
    if (!loop || loop->node->lanes || has(value, ir::Effects::kForeign)) {
      find_uses(value, index);
      name_values(index);
      return;
    }
    node.loop = loop;
    node.cost = merged_cost(loop->function->body);
    node.num_operations = count_operations(loop->function->body);
    find_iterators(index);
    find_uses(loop->node->builder, index, true);
    find_uses(loop->node->function, index);
    find_roles(node);
    name_values(index);
    find_lengths(node);
  }

  void find_roles(BlockNode& node) {
    const Loop& loop = *node.loop;
    std::vector<Binding> lets;
    const ir::Expr tail = split_lets(loop.function->body, lets);
    const ir::Expr builder = builder_parameter(*loop.function, arena_);
    if (node.binding.symbol && structs_.contains(node.binding.symbol.id())) {
      node.values.clear();
      node.has_joint_fields = !has_separate_builders(loop);
      const auto& builders = loop.node->builder.as<ir::MakeStruct>()->members;
      for (std::uint32_t i = 0; i < builders.size(); ++i) {
        const ir::Expr field = arena_.make<ir::GetField>(builder.span(), builder, i);
        const bool is_map = !node.has_joint_fields && is_filled(builders[i]) &&
                            merged_once(tail.as<ir::MakeStruct>()->members[i], field, arena_);
        node.values.push_back(
            {arena_.fresh_symbol(node.binding.symbol.name()), is_map ? LoopRole::kMap : LoopRole::kSink});
      }
      return;
    }
    if (!filled_appender(loop) || ir::may_fail_or_diverge(loop.node->builder)) return;
    if (!binds_builder(lets) && merged_once(tail, builder, arena_)) {
      node.values.front().role = LoopRole::kMap;
      return;
    }
    node.num_sites = count_merge_sites(*loop.function).value_or(0);
    if (node.num_sites == 0) return;
    node.values.front().role = LoopRole::kSites;
    if (node.num_sites == 1 && lets.empty()) find_guard(node, tail);
  }

  static bool is_filled(ir::Expr builder) {
    return builder.is<ir::NewBuilder>() && builder.type().as<ir::AppenderType>() &&
           !ir::may_fail_or_diverge(builder);
  }

  // The condition of a filter, in terms of the vectors that it walks over.
  void find_guard(BlockNode& node, ir::Expr tail) {
    const Loop& loop = *node.loop;
    const auto* branch = tail.as<ir::If>();
    if (!branch) return;
    const bool merges_if_true = !branch->on_true.is<ir::Ident>();
    if (!(merges_if_true ? branch->on_false : branch->on_true).is<ir::Ident>()) return;
    const auto& parameters = loop.function->parameters;
    const bool is_zip = node.iterators.size() > 1;
    const auto stand_in = [&](int iterator, ir::Type type) {
      const auto [found, is_new] = stand_ins_.try_emplace(iterator);
      if (is_new) found->second = arena_.fresh_symbol("e");
      return arena_.ident(found->second, type);
    };
    const ir::Expr condition = ir::rewrite_bottom_up(branch->condition, arena_, [&](ir::Expr part) {
      const auto* ident = part.as<ir::Ident>();
      if (ident && ident->symbol == parameters[1].symbol) return stand_in(-1, part.type());
      if (ident && ident->symbol == parameters[2].symbol && !is_zip)
        return stand_in(node.iterators.front(), part.type());
      const auto* field = part.as<ir::GetField>();
      const auto* whole = field ? field->value.as<ir::Ident>() : nullptr;
      const bool is_element = is_zip && whole && whole->symbol == parameters[2].symbol;
      return is_element ? stand_in(node.iterators[field->index], part.type()) : part;
    });
    node.guard = 2 * numbers_.number(condition) + (merges_if_true ? 1 : 0);
  }

  // Later nodes know the values by their names.
  void name_values(int index) {
    const BlockNode& node = this->node(index);
    for (std::size_t i = 0; i < node.values.size(); ++i) {
      const ir::Symbol symbol = node.values[i].symbol;
      if (symbol) value_of_.emplace(symbol.id(), Producer{index, static_cast<int>(i)});
    }
    if (!node.has_fields()) return;
    std::vector<ir::Expr>& fields = fields_[node.binding.symbol.id()];
    const auto& types = node.binding.value.type().as<ir::StructType>()->members;
    for (std::size_t i = 0; i < node.values.size(); ++i)
      fields.push_back(arena_.ident(node.values[i].symbol, types[i], node.binding.span));
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
      const auto found = data ? value_of_.find(data->symbol.id()) : value_of_.end();
      const bool is_value = found != value_of_.end();
      node.producers.push_back(is_value && is_whole(it) ? found->second : Producer());
      if (is_value) {
        const int iterator = is_whole(it) ? static_cast<int>(node.producers.size()) - 1 : -1;
        this->node(found->second.node).uses.push_back({index, found->second.value, iterator, !is_whole(it)});
      } else {
        find_uses(it.data, index);
      }
      for (ir::Expr part : {it.start, it.end, it.stride, it.shape, it.strides}) find_uses(part, index);
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

  void find_lengths(const BlockNode& node) {
    for (const BlockValue& value : node.values) {
      if (!value.symbol || (value.role == LoopRole::kSites && node.guard < 0)) continue;
      if (value.role == LoopRole::kSink) continue;
      const int vector = numbers_.number(arena_.ident(value.symbol, node.binding.value.type()));
      lengths_.emplace(vector, value.role == LoopRole::kMap ? node.space : filtered_space(node));
      if (value.role == LoopRole::kMap) find_source(node, value.symbol);
    }
  }

  // Filters of one space with one condition leave as many elements.
  int filtered_space(const BlockNode& node) {
    const std::pair<int, int> key{spaces_.find(node.space), node.guard};
    const auto found = filtered_spaces_.find(key);
    return found != filtered_spaces_.end() ? found->second
                                           : filtered_spaces_.emplace(key, spaces_.fresh()).first->second;
  }

  // What has the length of the node's vector.
  void find_source(const BlockNode& node, ir::Symbol symbol) {
    const ir::Iterator& first = node.loop->node->iterators.front();
    ir::Expr data = first.data;
    while (const auto* field = data.as<ir::GetField>()) data = field->value;
    if (!is_whole(first) || !data.is<ir::Ident>()) return;
    const auto* source = first.data.as<ir::Ident>();
    const auto found = source ? sources_.find(source->symbol.id()) : sources_.end();
    sources_.emplace(symbol.id(), found == sources_.end() ? first.data : found->second);
  }

  // `len` of a vector with one element an iteration becomes `len` of what the loop walks over, and a field of
  // a node the value that it is.
  ir::Expr with_values_of_nodes(ir::Expr value) {
    if (sources_.empty() && fields_.empty()) return value;
    const auto replacement = [&](ir::Expr expr) {
      if (const auto* field = expr.as<ir::GetField>()) {
        const auto* whole = field->value.as<ir::Ident>();
        const auto found = whole ? fields_.find(whole->symbol.id()) : fields_.end();
        return found == fields_.end() ? ir::Expr() : found->second[field->index];
      }
      const auto* length = expr.as<ir::Length>();
      const auto* vector = length ? length->value.as<ir::Ident>() : nullptr;
      const auto found = vector ? sources_.find(vector->symbol.id()) : sources_.end();
      return found == sources_.end() ? ir::Expr() : arena_.make<ir::Length>(expr.span(), found->second);
    };
    bool any = false;
    ir::walk(
        value,
        [&](ir::Expr expr) {
          any = any || replacement(expr);
          return !any;
        },
        [](ir::Expr) {});
    if (!any) return value;
    return ir::rewrite_bottom_up(value, arena_, [&](ir::Expr expr) {
      const ir::Expr replaced = replacement(expr);
      block_.is_simplified |= replaced && replaced.is<ir::Length>();
      return replaced ? replaced : expr;
    });
  }

  void find_uses(ir::Expr expr, int user, bool is_of_builder = false) {
    if (!expr) return;
    const auto& loop = node(user).loop;
    ir::walk(
        expr,
        [&](ir::Expr part) {
          const auto* ident = part.as<ir::Ident>();
          if (!ident) return true;
          if (const auto found = value_of_.find(ident->symbol.id()); found != value_of_.end())
            node(found->second.node).uses.push_back({user, found->second.value, -1, false, is_of_builder});
          if (loop && ident->symbol == loop->index()) node(user).uses_index = true;
          return true;
        },
        [](ir::Expr) {});
  }

  // What later checks say about lengths does not count for loops of this region: they may not be reached.
  void finish_region() {
    for (int index : loops_of_region_) node(index).space = spaces_.find(node(index).space);
    loops_of_region_.clear();
  }

  BlockNode& node(int index) { return block_.nodes[static_cast<std::size_t>(index)]; }

  ir::Arena& arena_;
  Block block_;
  std::unordered_map<std::uint64_t, Producer> value_of_;             // by symbol id, as the next three
  std::unordered_map<std::uint64_t, ir::Expr> sources_;              // what has the length of a vector
  std::unordered_map<std::uint64_t, std::vector<ir::Expr>> fields_;  // of nodes with fields
  std::unordered_set<std::uint64_t> structs_;
  ExprNumbers numbers_;
  Spaces spaces_;
  std::map<std::array<int, 7>, int> iterators_;
  std::map<std::array<int, 7>, int> walks_;
  std::map<std::array<int, 3>, int> ranges_;
  std::unordered_map<int, int> lengths_;                // spaces by number of the vector
  std::map<std::pair<int, int>, int> filtered_spaces_;  // by space and guard
  std::unordered_map<int, ir::Symbol> stand_ins_;       // for elements, by iterator
  std::vector<int> loops_of_region_;
};

}  // namespace

Block read_block(ir::Expr body, BlockReading reading, ir::Arena& arena) {
  return BlockReader(arena).read(body, reading);
}

namespace {

// The bodies of functions and branches right inside of a block: those with loops.
std::vector<ir::Expr> find_inner_blocks(ir::Expr block) {
  std::vector<ir::Expr> inner;
  ir::PointerMap<ir::ExprRecord, bool> seen;
  std::vector<ir::Expr> stack{block};
  const auto add = [&](ir::Expr part) {
    if (has(part, ir::Effects::kLoops)) inner.push_back(part);
  };
  while (!stack.empty()) {
    const ir::Expr expr = stack.back();
    stack.pop_back();
    if (!has(expr, ir::Effects::kLoops) || !seen.emplace(expr.get(), true)) continue;
    const auto* branch = expr.as<ir::If>();
    const auto* binary = expr.as<ir::Binary>();
    if (const auto* lambda = expr.as<ir::Lambda>()) {
      add(lambda->body);
    } else if (branch) {
      stack.push_back(branch->condition);
      add(branch->on_true);
      add(branch->on_false);
    } else if (const auto* variants = expr.as<ir::Variants>()) {
      add(variants->first);
      add(variants->second);
    } else if (binary && is_logical(*binary)) {
      stack.push_back(binary->left);
      add(binary->right);
    } else {
      ir::for_each_child(expr, [&](ir::Expr part) { stack.push_back(part); });
    }
  }
  return inner;
}

using Replacements = ir::PointerMap<ir::ExprRecord, ir::Expr>;

// The block with other inner blocks.
ir::Expr replace_inner_blocks(ir::Expr root, Replacements& replaced, ir::Arena& arena) {
  struct Visit {
    ir::Expr expr;
    bool parts_done;
  };
  const auto replacement = [&](ir::Expr part) {
    const ir::Expr* found = replaced.find(part.get());
    return found ? *found : part;
  };
  std::vector<Visit> stack{{root, false}};
  while (!stack.empty()) {
    const auto [expr, parts_done] = stack.back();
    if (!has(expr, ir::Effects::kLoops) || replaced.contains(expr.get())) {
      stack.pop_back();
    } else if (!parts_done) {
      stack.back().parts_done = true;
      ir::for_each_child(expr, [&](ir::Expr child) { stack.push_back({child, false}); });
    } else {
      stack.pop_back();
      replaced.emplace(expr.get(), ir::map_children(expr, arena, replacement));
    }
  }
  return replacement(root);
}

}  // namespace

ir::Expr rewrite_blocks(ir::Expr root, ir::Arena& arena, const std::function<ir::Expr(ir::Expr)>& f) {
  struct Frame {
    ir::Expr block;
    std::vector<ir::Expr> inner;
    std::size_t next = 0;
    Replacements replaced = {};
  };
  const auto enter = [&](ir::Expr block, bool is_block) {
    const ir::Expr rewritten = is_block ? f(block) : block;
    return Frame{.block = rewritten, .inner = find_inner_blocks(rewritten)};
  };
  if (!has(root, ir::Effects::kLoops)) return root;
  std::vector<Frame> frames;
  frames.push_back(enter(root, !root.is<ir::Lambda>()));
  while (true) {
    Frame& frame = frames.back();
    if (frame.next < frame.inner.size()) {
      const ir::Expr inner = frame.inner[frame.next++];
      frames.push_back(enter(inner, true));
      continue;
    }
    const ir::Expr rewritten = replace_inner_blocks(frame.block, frame.replaced, arena);
    frames.pop_back();
    if (frames.empty()) return rewritten;
    Frame& outer = frames.back();
    outer.replaced.emplace(outer.inner[outer.next - 1].get(), rewritten);
  }
}

}  // namespace weld::passes
