#include "passes/eliminate_common_subexpressions.h"

#include <algorithm>
#include <array>
#include <bit>
#include <ranges>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/effects.h"
#include "ir/fields.h"
#include "passes/expression_cost.h"
#include "passes/value_numbers.h"

namespace weld::passes {
namespace {

// Dearer values are computed only where they were certain to be.
constexpr double kSpeculatedCost = 100;
// How often a branch, and the function of a loop, are taken to run.
constexpr double kBranchShare = 0.5;
constexpr double kLoopShare = 8;

double cost_of(ir::Expr expr) {
  return any(expr.effects() & ir::Effects::kLoops) ? kExpensive : expression_cost(expr);
}

// A block is `let x = a; let y = b; c` where it stands on its own: a function's body, a branch, a let inside
// of an expression. Its items are a, b, c.
enum class BlockKind : std::uint8_t { kAlways, kBranch, kLoop };

struct Place {
  int block = 0;
  int item = 0;
  bool operator==(const Place&) const = default;
};

// The blocks of expressions that may be moved have one item, the expression: `moved` is its value.
struct Block {
  BlockKind kind = BlockKind::kAlways;
  Place parent;
  int depth = 0;      // of blocks around it, not counting those of values
  int choice = -1;    // number of the `if` whose branch it is
  bool side = false;  // which one
  int value = -1;     // not a block of the program, but the inside of a value
};

constexpr int kMaxBlockDepth = 62;  // deeper ones are left alone: scopes are bits of a word

struct NodeInfo {
  ValueNumber number;
  std::uint64_t scopes = 0;    // depths of the blocks that bind free symbols
  std::uint64_t builders = 0;  // likewise, of builders
  int value = -1;              // in values_, if it is a candidate
  int first_block = -1;        // of the blocks that are its parts
  bool is_seen = false;
  bool is_shared_node = false;  // stands in several places of the tree, so it stays
};

// What is computed in one place or more.
struct Value {
  struct Use {
    Place place;
    ir::Symbol let;  // whose value it is, if it is the whole item
    bool fails_first = false;
  };
  ir::Expr first;
  std::vector<Use> uses;
  int block = -1;  // of its inside
  bool is_placed = false;
  Place place;        // of the inside
  ir::Symbol symbol;  // if it is bound
  bool is_let_already = false;
  bool is_emitted = false;
  bool is_open = false;  // its parts are being collected
};

bool is_trivial(ir::Expr expr) {
  while (const auto* field = expr.as<ir::GetField>()) expr = field->value;
  return expr.is<ir::Ident>() || expr.is<ir::Literal>() || expr.is<ir::StringLiteral>();
}

bool is_lazy_operator(ir::Expr expr) {
  const auto* binary = expr.as<ir::Binary>();
  return binary && (binary->op == ir::BinaryOp::kLogicalAnd || binary->op == ir::BinaryOp::kLogicalOr);
}

// Whether naming the result of such a node can pay.
bool is_worth_a_name(ir::Expr expr) {
  if (const auto* length = expr.as<ir::Length>()) return !is_trivial(length->value);
  return !is_trivial(expr) && !expr.is<ir::Let>() && !expr.is<ir::Lambda>() && !expr.is<ir::MakeStruct>() &&
         !expr.is<ir::GetField>() && !expr.is<ir::NewBuilder>() && !expr.is<ir::Assert>() &&
         !expr.is<ir::Broadcast>() && !expr.is<ir::Iterate>() && !expr.is<ir::Apply>();
}

class Sharing {
 public:
  Sharing(ir::Arena& arena, std::vector<Remark>& remarks) : arena_(arena), remarks_(remarks) {}

  ir::Expr run(ir::Expr root) {
    const auto* program = root.as<ir::Lambda>();
    const ir::Expr body = program ? program->body : root;
    if (program) bind_parameters(*program, 0);
    number_block(body, 0);
    blocks_.push_back({});
    collect_block(body, 0);
    for (int value = 0; value < static_cast<int>(values_.size()); ++value) place(value);
    if (!shares_any_) return root;
    const ir::Expr shared = rebuild_block(body, 0);
    if (!program) return shared;
    return arena_.add(ir::Lambda{program->parameters, shared}, root.span(), root.annotations());
  }

 private:
  // Numbers and scopes, parts first.

  struct Bound {
    int depth;
    int item;
  };

  void bind_symbol(ir::Symbol symbol, Bound bound) { bound_.emplace(symbol.id(), bound); }
  void bind_parameters(const ir::Lambda& lambda, int depth) {
    for (const ir::Parameter& parameter : lambda.parameters) bind_symbol(parameter.symbol, {depth, -1});
  }

  NodeInfo number_block(ir::Expr expr, int depth) {
    NodeInfo all;
    int item = 0;
    std::vector<ir::Expr> lets;
    for (const ir::Let* let = nullptr; (let = expr.as<ir::Let>()); expr = let->body) {
      const NodeInfo info = number(let->value, depth);
      all.scopes |= info.scopes;
      all.builders |= info.builders;
      bind_symbol(let->symbol, {depth, item++});
      const bool is_repeatable =
          !any(let->value.effects() & (ir::Effects::kForeign | ir::Effects::kMayDiverge)) &&
          !ir::contains_builder(let->value.type());
      if (is_repeatable) numbering_.bind(let->symbol, info.number);
    }
    const NodeInfo info = number(expr, depth);
    all.scopes |= info.scopes;
    all.builders |= info.builders;
    all.number = info.number;
    return all;
  }

  NodeInfo number(ir::Expr expr, int depth) {
    if (const NodeInfo* known = infos_.find(expr.get())) return *known;
    NodeInfo info;
    if (const auto* ident = expr.as<ir::Ident>()) {
      const auto found = bound_.find(ident->symbol.id());
      const int bound_depth = found == bound_.end() ? 0 : found->second.depth;
      info.scopes = std::uint64_t{1} << std::min(bound_depth, kMaxBlockDepth + 1);
      if (ir::contains_builder(expr.type())) info.builders = info.scopes;
    } else if (const auto* lambda = expr.as<ir::Lambda>()) {
      bind_parameters(*lambda, depth + 1);
      info = number_block(lambda->body, depth + 1);
    } else if (expr.is<ir::Let>()) {
      info = number_block(expr, depth + 1);
    } else {
      ir::for_each_child(expr, [&](ir::Expr part) {
        const bool is_branch = is_own_block(expr, part);
        const NodeInfo inner = is_branch ? number_block(part, depth + 1) : number(part, depth);
        if (is_branch && !infos_.contains(part.get())) infos_.emplace(part.get(), inner);
        info.scopes |= inner.scopes;
        info.builders |= inner.builders;
      });
    }
    const std::uint64_t visible = (std::uint64_t{2} << std::min(depth, kMaxBlockDepth)) - 1;
    info.scopes &= visible | (std::uint64_t{1} << (kMaxBlockDepth + 1));
    info.builders &= visible | (std::uint64_t{1} << (kMaxBlockDepth + 1));
    if (!expr.is<ir::Let>() && !expr.is<ir::Lambda>()) {
      info.number = numbering_.of(expr, [&](ir::Expr part) { return infos_.find(part.get())->number; });
    }
    infos_.emplace(expr.get(), info);
    return info;
  }

  // Whether the part is evaluated on a condition that `expr` decides.
  static bool is_own_block(ir::Expr expr, ir::Expr part) {
    if (const auto* branch = expr.as<ir::If>()) return part.get() != branch->condition.get();
    return is_lazy_operator(expr) && part.get() != expr.as<ir::Binary>()->left.get();
  }

  // Candidates and their uses, in the order of evaluation. The inside of a value is looked at once.

  int add_block(Block block) {
    blocks_.push_back(block);
    return static_cast<int>(blocks_.size()) - 1;
  }

  void collect_block(ir::Expr expr, int block) {
    const bool failed_before = fails_;
    int item = 0;
    for (const ir::Let* let = nullptr; (let = expr.as<ir::Let>()); expr = let->body) {
      fails_ = false;
      collect(let->value, {block, item++}, let->symbol);
    }
    fails_ = false;
    collect(expr, {block, item}, {});
    fails_ = failed_before;
  }

  void collect(ir::Expr expr, Place place, ir::Symbol let) {
    if (is_trivial(expr)) return;
    NodeInfo& info = *infos_.find(expr.get());
    const int depth = blocks_[static_cast<std::size_t>(place.block)].depth;
    if (is_candidate(expr, info, depth) && !is_inside_itself(info.number)) {
      const auto [known, is_new] = by_number_.emplace(info.number, static_cast<int>(values_.size()));
      info.value = known->second;
      if (is_new) values_.push_back({.first = expr});
      Value& value = values_[static_cast<std::size_t>(info.value)];
      value.uses.push_back({place, let, !fails_});
      if (is_new) {
        value.block =
            add_block({.kind = BlockKind::kAlways, .parent = place, .depth = depth, .value = info.value});
        const auto index = static_cast<std::size_t>(info.value);
        values_[index].is_open = true;
        collect_parts(expr, {values_[index].block, 0});
        values_[index].is_open = false;
      } else {
        info.is_shared_node |= info.is_seen;
      }
    } else if (info.is_seen) {
      info.is_shared_node = true;
    } else {
      collect_parts(expr, place);
    }
    infos_.find(expr.get())->is_seen = true;
    fails_ |= ir::may_fail_or_diverge(expr);
  }

  // As `f(1L)` in `f(let a = f(1L); 1L)`: a let that nobody uses says nothing of a value.
  bool is_inside_itself(const ValueNumber& number) const {
    const auto known = by_number_.find(number);
    return known != by_number_.end() && values_[static_cast<std::size_t>(known->second)].is_open;
  }

  static bool is_candidate(ir::Expr expr, const NodeInfo& info, int depth) {
    const ir::Effects never = ir::Effects::kMayDiverge | ir::Effects::kForeign;
    return is_worth_a_name(expr) && !any(expr.effects() & never) && info.builders == 0 &&
           depth <= kMaxBlockDepth && !ir::contains_builder(expr.type());
  }

  void collect_parts(ir::Expr expr, Place place) {
    const int depth = blocks_[static_cast<std::size_t>(place.block)].depth + 1;
    const int first_block = static_cast<int>(blocks_.size());
    if (expr.is<ir::Let>()) {
      add_block({.kind = BlockKind::kAlways, .parent = place, .depth = depth});
      infos_.find(expr.get())->first_block = first_block;
      return collect_block(expr, first_block);
    }
    const int choice = expr.is<ir::If>() ? num_choices_++ : -1;
    bool side = false;
    ir::for_each_child(expr, [&](ir::Expr part) {
      if (part.is<ir::Lambda>()) {
        add_block({.kind = BlockKind::kLoop, .parent = place, .depth = depth});
      } else if (is_own_block(expr, part)) {
        add_block(
            {.kind = BlockKind::kBranch, .parent = place, .depth = depth, .choice = choice, .side = side});
        side = true;
      }
    });
    infos_.find(expr.get())->first_block = first_block;
    int next_block = first_block;
    ir::for_each_child(expr, [&](ir::Expr part) {
      if (const auto* lambda = part.as<ir::Lambda>()) {
        collect_block(lambda->body, next_block++);
      } else if (is_own_block(expr, part)) {
        collect_block(part, next_block++);
      } else {
        collect(part, place, {});
      }
    });
  }

  // Where values are bound. What a value is inside of is placed first.

  const Block& block(int index) const { return blocks_[static_cast<std::size_t>(index)]; }

  // The item of a block of the program that a place belongs to.
  Place in_program(Place at) {
    const int value = block(at.block).value;
    if (value < 0) return at;
    place(value);
    return values_[static_cast<std::size_t>(value)].place;
  }
  Place outer(Place at) { return in_program(block(at.block).parent); }

  // The last item from which both are reached.
  Place common(Place left, Place right) {
    while (left.block != right.block) {
      const int left_depth = block(left.block).depth;
      const int right_depth = block(right.block).depth;
      if (left_depth >= right_depth) left = outer(left);
      if (right_depth >= left_depth) right = outer(right);
    }
    return {left.block, std::min(left.item, right.item)};
  }

  void place(int index) {
    Value& value = values_[static_cast<std::size_t>(index)];
    if (value.is_placed) return;
    const Place first = in_program(value.uses.front().place);
    value.is_placed = true;
    value.place = first;

    Place shared = first;
    for (const Value::Use& use : value.uses | std::views::drop(1))
      shared = common(shared, in_program(use.place));
    const bool may_fail = ir::may_fail_or_diverge(value.first);
    const bool is_shared =
        value.uses.size() > 1 && (may_fail ? fails_first_at(value, shared) : pays(value, shared));
    Place best = is_shared ? shared : first;
    const Place hoisted = hoist(value, best, may_fail);
    if (!is_shared && (hoisted == best || value.uses.size() > 1)) return;
    if (!may_fail) best = hoisted;
    if (!is_in_scope(value.first, best)) return;

    shares_any_ = true;
    value.place = best;
    const Value::Use& use = value.uses.front();
    value.is_let_already = use.let && use.place == best;
    if (value.is_let_already) {
      value.symbol = use.let;
    } else {
      value.symbol = arena_.fresh_symbol("t");
      inserted_[key(best)].push_back(index);
    }
  }

  bool fails_first_at(const Value& value, Place shared) {
    const Value::Use& use = value.uses.front();
    return use.fails_first && in_program(use.place) == shared;
  }

  // Whether one evaluation at `shared` costs no more than those that it replaces.
  bool pays(const Value& value, Place shared) {
    double expected = 0;
    bool is_certain = false;
    bool is_outside_of_loops = false;
    std::array<std::unordered_set<int>, 2> branches;  // the `if`s of whose branches it is certain, by side
    for (const Value::Use& use : value.uses) {
      double share = 1;
      int num_branches = 0;
      bool is_in_loop = false;
      int choice = -1;
      bool side = false;
      for (Place at = in_program(use.place); at.block != shared.block; at = outer(at)) {
        const Block& crossed = block(at.block);
        if (crossed.kind == BlockKind::kLoop) share *= kLoopShare;
        is_in_loop |= crossed.kind == BlockKind::kLoop;
        if (crossed.kind != BlockKind::kBranch) continue;
        share *= kBranchShare;
        ++num_branches;
        choice = crossed.choice;
        side = crossed.side;
      }
      expected += share;
      is_certain |= num_branches == 0;
      is_outside_of_loops |= !is_in_loop;
      if (num_branches == 1 && choice >= 0 && !is_in_loop) {
        is_certain |= branches[side ? 0 : 1].contains(choice);
        branches[side ? 1 : 0].insert(choice);
      }
    }
    const bool is_speculated = !is_certain && (expected < 1 || cost_of(value.first) > kSpeculatedCost);
    return !is_speculated && (is_outside_of_loops || cost_of(value.first) >= kHoistedCost);
  }

  // The place outside of the loops that the value does not depend on, if moving it there pays.
  Place hoist(const Value& value, Place from, bool may_fail) {
    const NodeInfo& info = *infos_.find(value.first.get());
    const int deepest = info.scopes == 0 ? 0 : 63 - std::countl_zero(info.scopes);
    Place best = from;
    double share = 1;
    bool is_certain = true;
    for (Place at = from; block(at.block).depth > deepest && at.block != 0;) {
      const BlockKind crossed = block(at.block).kind;
      at = outer(at);
      if (crossed == BlockKind::kBranch) is_certain = false;
      if (crossed == BlockKind::kBranch) share *= kBranchShare;
      if (crossed == BlockKind::kLoop) share *= kLoopShare;
      if (crossed == BlockKind::kLoop && share > 1) best = at;
    }
    if (best == from) return from;
    const double cost = cost_of(value.first);
    if (cost < kHoistedCost || (!is_certain && cost > kSpeculatedCost)) return from;
    if (may_fail) {
      const bool holds_loop = any(value.first.effects() & ir::Effects::kLoops);
      if (holds_loop) {
        remarks_.push_back({.pass = "eliminate_common_subexpressions",
                            .message = "not moved out of the loop: it may fail",
                            .span = value.first.span()});
      }
      return from;
    }
    return best;
  }

  bool is_in_scope(ir::Expr expr, Place place) {
    const int depth = block(place.block).depth;
    return std::ranges::all_of(ir::free_symbols(expr), [&](const ir::Parameter& use) {
      const auto found = bound_.find(use.symbol.id());
      if (found == bound_.end()) return true;  // free in the whole program
      const Bound& bound = found->second;
      return bound.depth < depth || (bound.depth == depth && bound.item < place.item);
    });
  }

  static std::uint64_t key(Place place) {
    return (static_cast<std::uint64_t>(place.block) << 32) | static_cast<std::uint32_t>(place.item);
  }

  // The program with names.

  struct Named {
    ir::Symbol symbol;
    ir::Expr value;
    ir::Span span;
    ir::Annotations annotations;
  };

  ir::Expr rebuild_block(ir::Expr expr, int index) {
    const ir::Expr before = expr;
    std::vector<Named> lets;
    if (active_.size() < blocks_.size()) active_.resize(blocks_.size());
    active_[static_cast<std::size_t>(index)] = &lets;
    bool is_changed = false;
    Place place{index, 0};
    const auto emit_inserted = [&] {
      const auto found = inserted_.find(key(place));
      if (found == inserted_.end()) return;
      is_changed = true;
      for (const int value : found->second) emit(value);
    };
    for (const ir::Let* let = nullptr; (let = expr.as<ir::Let>()); expr = let->body, ++place.item) {
      emit_inserted();
      const NodeInfo* info = infos_.find(let->value.get());
      const bool is_value =
          info->value >= 0 && values_[static_cast<std::size_t>(info->value)].symbol == let->symbol;
      const ir::Expr value = is_value ? rebuild_parts(let->value) : rebuild(let->value);
      is_changed |= value.get() != let->value.get();
      lets.push_back({let->symbol, value, expr.span(), expr.annotations()});
    }
    emit_inserted();
    ir::Expr result = rebuild(expr);
    if (!is_changed && result.get() == expr.get()) return before;
    for (const Named& let : std::views::reverse(lets)) {
      result = arena_.add(ir::Let{let.symbol, let.value, result}, let.span, let.annotations);
    }
    return result;
  }

  // Adds the let of a value to its block, which is being rebuilt, after those that it uses.
  void emit(int index) {
    Value& value = values_[static_cast<std::size_t>(index)];
    if (value.is_emitted || value.is_let_already) return;
    value.is_emitted = true;
    const ir::Expr inside = rebuild_parts(value.first);
    active_[static_cast<std::size_t>(value.place.block)]->push_back(
        {value.symbol, inside, value.first.span(), {}});
  }

  ir::Expr rebuild(ir::Expr expr) {
    const NodeInfo* info = infos_.find(expr.get());
    if (!info || !info->is_seen) return expr;
    if (info->value >= 0) {
      const Value& value = values_[static_cast<std::size_t>(info->value)];
      if (value.symbol) {
        emit(info->value);
        return arena_.ident(value.symbol, expr.type(), expr.span());
      }
      if (value.first.get() != expr.get()) return expr;
    }
    return info->is_shared_node ? expr : rebuild_parts(expr);
  }

  ir::Expr rebuild_parts(ir::Expr expr) {
    int next_block = infos_.find(expr.get())->first_block;
    if (expr.is<ir::Let>()) return rebuild_block(expr, next_block);
    return ir::map_children(expr, arena_, [&](ir::Expr part) {
      if (const auto* lambda = part.as<ir::Lambda>()) {
        const ir::Expr body = rebuild_block(lambda->body, next_block++);
        if (body.get() == lambda->body.get()) return part;
        return arena_.add(ir::Lambda{lambda->parameters, body}, part.span(), part.annotations());
      }
      return is_own_block(expr, part) ? rebuild_block(part, next_block++) : rebuild(part);
    });
  }

  ir::Arena& arena_;
  std::vector<Remark>& remarks_;
  ValueNumbering numbering_;
  ir::PointerMap<ir::ExprRecord, NodeInfo> infos_;
  std::unordered_map<std::uint64_t, Bound> bound_;  // by symbol id
  std::vector<Block> blocks_;
  std::vector<Value> values_;
  std::unordered_map<ValueNumber, int, ValueNumberHash> by_number_;
  std::unordered_map<std::uint64_t, std::vector<int>> inserted_;  // values by place
  std::vector<std::vector<Named>*> active_;                       // lets of the blocks being rebuilt
  int num_choices_ = 0;
  bool fails_ = false;  // whether something in the item may have failed before
  bool shares_any_ = false;
};

// Functions that are called, which inline_applies has not run over.
bool has_calls(ir::Expr root) {
  bool found = false;
  ir::for_each_node(root, [&](ir::Expr expr) {
    const auto* let = expr.as<ir::Let>();
    found = found || expr.is<ir::Apply>() || (let && let->value.is<ir::Lambda>());
  });
  return found;
}

}  // namespace

ir::Expr eliminate_common_subexpressions(ir::Expr root, PassContext& context) {
  if (has_calls(root)) return root;
  return Sharing(context.arena, context.remarks).run(root);
}

}  // namespace weld::passes
