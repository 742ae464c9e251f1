#include "passes/reduce_groups.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ir/effects.h"
#include "ir/equality.h"
#include "ir/fields.h"
#include "passes/loop_shapes.h"

namespace weld::passes {
namespace {

constexpr int kMaxDepth = 64;

// `result(for(…, groupmerger, …))`
struct Groups {
  Loop loop;
  const ir::GroupMergerType* type;
};

std::optional<Groups> match_groups(ir::Expr expr) {
  if (!expr.is<ir::Result>()) return std::nullopt;
  const auto loop = match_loop(expr);
  if (!loop || !loop->function || loop->node->lanes) return std::nullopt;
  const auto* made = loop->node->builder.as<ir::NewBuilder>();
  const auto* type = made ? made->builder.as<ir::GroupMergerType>() : nullptr;
  if (!type || (made->argument && ir::may_fail_or_diverge(made->argument))) return std::nullopt;
  return Groups{*loop, type};
}

// What is added up beside each other in the entries of a dictionary.
struct Sum {
  ir::MergeOp op;
  ir::ScalarKind kind;
  ir::Expr function;  // |x| what an element of a group adds
  std::uint32_t dictionary = 0;
  std::uint32_t member = 0;  // of the dictionary's values
};

// A place in the function of a loop over groups, and what stands there afterwards.
enum class TargetKind : std::uint8_t { kKey, kOther, kReduction };
struct Target {
  ir::Expr expr;
  TargetKind kind;
  std::uint32_t member = 0;            // kOther: of the loop's element
  std::vector<std::size_t> sums = {};  // kReduction
  std::vector<ir::Expr> initial = {};  // kReduction: what is added once to each sum; null: nothing
  bool is_structure = false;           // kReduction: of a struct of builders
};

// A loop over groups.
struct GroupsLoop {
  ir::Expr expr;
  std::size_t iterator;  // which of them has the groups
  ir::Expr body;         // of its function, without other names for parts of the element
  std::vector<Target> targets = {};
};

ir::BinaryOp operator_of(ir::MergeOp op) {
  switch (op) {
    case ir::MergeOp::kAdd:
      return ir::BinaryOp::kAdd;
    case ir::MergeOp::kMul:
      return ir::BinaryOp::kMul;
    case ir::MergeOp::kMin:
      return ir::BinaryOp::kMin;
    case ir::MergeOp::kMax:
      return ir::BinaryOp::kMax;
  }
  return ir::BinaryOp::kAdd;
}

bool is_field(ir::Expr expr, ir::Symbol of, std::uint32_t index) {
  const auto* field = expr.as<ir::GetField>();
  const auto* ident = field ? field->value.as<ir::Ident>() : nullptr;
  return ident && ident->symbol == of && field->index == index;
}

bool is_symbol(ir::Expr expr, ir::Symbol symbol) {
  const auto* ident = expr.as<ir::Ident>();
  return ident && ident->symbol == symbol;
}

// What the merges of a loop's function add: an expression like the body, with values where it merges and
// `identity` where it does not. Null where it does something else to the builder.
class AddedValue {
 public:
  AddedValue(ir::Symbol builder, std::optional<std::uint32_t> field, ir::Expr identity, bool counts,
             ir::Arena& arena)
      : builder_(builder), field_(field), identity_(identity), counts_(counts), arena_(arena) {}

  ir::Expr of(ir::Expr expr, int depth = 0) {
    if (depth > kMaxDepth) return {};
    std::vector<Binding> lets;
    const ir::Expr tail = split_lets(expr, lets);
    if (binds_builder(lets)) return {};
    const ir::Expr value = of_tail(tail, depth);
    return value ? join_lets(lets, value, arena_) : value;
  }

 private:
  ir::Expr of_tail(ir::Expr tail, int depth) {
    if (is_builder(tail) || is_symbol(tail, builder_)) return identity_;
    if (const auto* branch = tail.as<ir::If>()) {
      const ir::Expr on_true = of(branch->on_true, depth + 1);
      const ir::Expr on_false = on_true ? of(branch->on_false, depth + 1) : ir::Expr();
      return on_false ? arena_.make<ir::If>(tail.span(), branch->condition, on_true, on_false) : on_false;
    }
    if (const auto* merge = tail.as<ir::Merge>()) {
      if (!is_builder(merge->builder)) return {};
      if (counts_) return arena_.literal(std::int64_t{1}, tail.span());
      return merge->value.type() == identity_.type() ? merge->value : ir::Expr();
    }
    const auto* structure = tail.as<ir::MakeStruct>();
    return structure && field_ ? of(structure->members[*field_], depth + 1) : ir::Expr();
  }

  bool is_builder(ir::Expr expr) const {
    return field_ ? is_field(expr, builder_, *field_) : is_symbol(expr, builder_);
  }

  ir::Symbol builder_;
  std::optional<std::uint32_t> field_;
  ir::Expr identity_;
  bool counts_;
  ir::Arena& arena_;
};

// Takes the loops over one groupmerger's groups, and then rewrites them.
class GroupReducer {
 public:
  // Names that are bound in `scope` may not be used by what is added up.
  GroupReducer(const Groups& groups, ir::Expr scope, ir::Arena& arena) : groups_(groups), arena_(arena) {
    for (const ir::Parameter& symbol : ir::free_symbols(scope)) outside_.insert(symbol.symbol.id());
  }

  const std::string& refusal() const { return refusal_; }
  ir::Span refused_at() const { return refused_at_; }
  const std::vector<GroupsLoop>& loops() const { return loops_; }

  // Whether the loop only reduces its groups.
  bool take(ir::Expr expr, std::size_t iterator) {
    const auto& node = *expr.as<ir::For>();
    const auto* function = node.function.as<ir::Lambda>();
    if (!function || node.lanes) return refuse(expr, "its loop is vectorised");
    element_ = function->parameters[2].symbol;
    member_ = node.iterators.size() > 1 ? std::optional(static_cast<std::uint32_t>(iterator)) : std::nullopt;
    GroupsLoop loop{expr, iterator, without_paths(function->body)};
    bool is_taken = true;
    ir::walk(
        loop.body,
        [&](ir::Expr part) {
          if (!is_taken) return false;
          if (is_key(part)) {
            loop.targets.push_back({part, TargetKind::kKey});
            return false;
          }
          if (const auto other = other_member(part)) {
            loop.targets.push_back({part, TargetKind::kOther, *other});
            return false;
          }
          if (std::optional<Target> reduction = match_reduction(part)) {
            loop.targets.push_back(std::move(*reduction));
            return false;
          }
          if (is_symbol(part, element_))
            is_taken = refuse(part, "a group is used otherwise than for sums, counts, minima or maxima");
          return is_taken;
        },
        [](ir::Expr) {});
    if (is_taken) loops_.push_back(std::move(loop));
    return is_taken;
  }

  // The new dictionaries' value: one dictionary, or a struct of several. Null where the loop that groups does
  // not let them be filled instead.
  ir::Expr dictionaries() {
    if (sums_.empty()) add_count();  // for the keys alone
    place_sums();
    std::vector<ir::Expr> made;
    for (std::uint32_t i = 0; i < operators_.size(); ++i) {
      const ir::Expr before = groups_.loop.node->builder;
      made.push_back(
          arena_.add(ir::NewBuilder{arena_.dictmerger(groups_.type->key, value_type(i), operators_[i]), {}},
                     before.span(), before.annotations()));
    }
    const ir::Span span = groups_.loop.expr.span();
    const ir::Expr builder = made.size() == 1 ? made[0] : arena_.make<ir::MakeStruct>(span, made);
    const ir::Lambda& function = *groups_.loop.function;
    const ir::Parameter parameter{arena_.fresh_symbol(function.parameters[0].symbol.name()), builder.type()};
    const ir::Expr body = merges_of(function.body, function.parameters[0].symbol, parameter, 0);
    if (!body) {
      refuse(groups_.loop.for_expr, "an inner loop fills the groups");
      return {};
    }
    const std::vector<ir::Parameter> parameters{parameter, function.parameters[1], function.parameters[2]};
    const ir::Expr lambda = arena_.make<ir::Lambda>(function.body.span(), parameters, body);
    const ir::Expr loop = arena_.add(ir::For{groups_.loop.node->iterators, builder, lambda},
                                     groups_.loop.for_expr.span(), groups_.loop.for_expr.annotations());
    return arena_.add(ir::Result{loop}, span, groups_.loop.expr.annotations());
  }

  std::size_t num_dictionaries() const { return operators_.size(); }

  // The loop over the entries of the dictionaries, which are `value` or its fields.
  ir::Expr rewritten(const GroupsLoop& loop, ir::Expr value) {
    const auto& node = *loop.expr.as<ir::For>();
    const ir::Lambda& before = *node.function.as<ir::Lambda>();
    const ir::Span span = loop.expr.span();
    std::vector<ir::Iterator> iterators(node.iterators.begin(), node.iterators.end());
    std::vector<std::uint32_t> places;
    for (std::uint32_t i = 0; i < operators_.size(); ++i) {
      const ir::Expr entries = arena_.make<ir::ToVec>(span, dictionary(value, i));
      places.push_back(static_cast<std::uint32_t>(i == 0 ? loop.iterator : iterators.size()));
      if (i == 0) {
        iterators[loop.iterator].data = entries;
      } else {
        iterators.push_back({.data = entries});
      }
    }
    std::vector<ir::Type> members;
    for (std::uint32_t i = 0; i < iterators.size(); ++i) members.push_back(element_type(node, i, places));
    const ir::Type type =
        members.size() == 1 ? members[0] : arena_.structure(std::span<const ir::Type>(members));
    const ir::Symbol symbol = arena_.fresh_symbol(before.parameters[2].symbol.name());
    const auto member = [&](std::uint32_t place, ir::Span at) {
      const ir::Expr element = arena_.ident(symbol, type, at);
      return members.size() == 1 ? element : arena_.make<ir::GetField>(at, element, place);
    };
    std::unordered_map<const ir::ExprRecord*, ir::Expr> replacements;
    for (const Target& target : loop.targets) {
      const ir::Span at = target.expr.span();
      if (target.kind == TargetKind::kKey) {
        replacements[target.expr.get()] = arena_.make<ir::GetField>(at, member(places[0], at), 0u);
      } else if (target.kind == TargetKind::kOther) {
        replacements[target.expr.get()] = member(target.member, at);
      } else {
        std::vector<ir::Expr> totals;
        for (std::size_t i = 0; i < target.sums.size(); ++i) {
          const Sum& sum = sums_[target.sums[i]];
          const ir::Expr entry = member(places[sum.dictionary], at);
          ir::Expr total = arena_.make<ir::GetField>(at, entry, 1u);
          if (num_members(sum.dictionary) > 1) total = arena_.make<ir::GetField>(at, total, sum.member);
          if (target.initial[i])
            total = arena_.make<ir::Binary>(at, operator_of(sum.op), target.initial[i], total);
          totals.push_back(total);
        }
        replacements[target.expr.get()] =
            target.is_structure ? arena_.make<ir::MakeStruct>(at, totals) : totals[0];
      }
    }
    const ir::Expr body = ir::rewrite_bottom_up(loop.body, arena_, [&](ir::Expr part) {
      const auto found = replacements.find(part.get());
      return found == replacements.end() ? part : found->second;
    });
    const std::vector<ir::Parameter> parameters{before.parameters[0], before.parameters[1], {symbol, type}};
    const ir::Expr function = arena_.make<ir::Lambda>(node.function.span(), parameters, body);
    return arena_.add(ir::For{arena_.keep(iterators), node.builder, function}, span, loop.expr.annotations());
  }

  // One of the dictionaries, which all have the same keys.
  ir::Expr dictionary(ir::Expr value, std::uint32_t index) {
    return operators_.size() == 1 ? value : arena_.make<ir::GetField>(value.span(), value, index);
  }

 private:
  bool refuse(ir::Expr at, std::string why) {
    if (!refusal_.empty()) return false;
    refusal_ = std::move(why);
    refused_at_ = at.span();
    return false;
  }

  // --- The shapes of a group.

  bool is_group(ir::Expr expr) const {
    return member_ ? is_field(expr, element_, *member_) : is_symbol(expr, element_);
  }
  bool is_key(ir::Expr expr) const {
    const auto* field = expr.as<ir::GetField>();
    return field && field->index == 0 && is_group(field->value);
  }
  bool is_values(ir::Expr expr) const {
    const auto* field = expr.as<ir::GetField>();
    return field && field->index == 1 && is_group(field->value);
  }
  // Of what another iterator has beside the groups.
  std::optional<std::uint32_t> other_member(ir::Expr expr) const {
    const auto* field = expr.as<ir::GetField>();
    if (!member_ || !field || !is_symbol(field->value, element_) || field->index == *member_)
      return std::nullopt;
    return field->index;
  }

  // Without lets that name a part of the element.
  ir::Expr without_paths(ir::Expr body) {
    std::vector<Binding> lets;
    const ir::Expr tail = split_lets(body, lets);
    ir::Substitution paths;
    std::vector<Binding> kept;
    for (const Binding& let : lets) {
      const ir::Expr value = paths.empty() ? let.value : ir::substitute(let.value, paths, arena_);
      ir::Expr root = value;
      while (const auto* field = root.as<ir::GetField>()) root = field->value;
      if (is_symbol(root, element_)) {
        paths.emplace(let.symbol.id(), value);
      } else {
        kept.push_back({let.symbol, value, let.span});
      }
    }
    if (paths.empty()) return body;
    return join_lets(kept, ir::substitute(tail, paths, arena_), arena_);
  }

  // --- Reductions.

  std::optional<Target> match_reduction(ir::Expr expr) {
    if (const auto* length = expr.as<ir::Length>()) {
      if (is_values(length->value)) return target(expr, {add_count()}, {ir::Expr()});
      const auto loop = match_loop(length->value);
      if (!loop || !walks_group(*loop) || !filled_appender(*loop)) return std::nullopt;
      const auto sum = add_sum(*loop, std::nullopt, ir::MergeOp::kAdd, ir::ScalarKind::kI64, true);
      return sum ? target(expr, {*sum}, {ir::Expr()}) : std::nullopt;
    }
    const auto loop = match_loop(expr);
    if (!loop || !loop->has_result || !walks_group(*loop)) return std::nullopt;
    if (loop->node->builder.is<ir::NewBuilder>()) {
      const auto sum = add_merger(*loop, loop->node->builder, std::nullopt);
      return sum ? target(expr, {*sum}, {initial_of(loop->node->builder)}) : std::nullopt;
    }
    const auto* builders = loop->node->builder.as<ir::MakeStruct>();
    if (!builders || builders->members.empty()) return std::nullopt;
    std::vector<std::size_t> sums;
    std::vector<ir::Expr> initial;
    for (std::uint32_t i = 0; i < builders->members.size(); ++i) {
      const auto sum = add_merger(*loop, builders->members[i], i);
      if (!sum) return std::nullopt;
      sums.push_back(*sum);
      initial.push_back(initial_of(builders->members[i]));
    }
    std::optional<Target> all = target(expr, std::move(sums), std::move(initial));
    all->is_structure = true;
    return all;
  }

  static std::optional<Target> target(ir::Expr expr, std::vector<std::size_t> sums,
                                      std::vector<ir::Expr> initial) {
    return Target{expr, TargetKind::kReduction, 0, std::move(sums), std::move(initial)};
  }

  bool walks_group(const Loop& loop) const {
    return loop.function && !loop.node->lanes && loop.node->iterators.size() == 1 &&
           is_whole(loop.node->iterators[0]) && is_values(loop.node->iterators[0].data);
  }

  static ir::Expr initial_of(ir::Expr builder) { return builder.as<ir::NewBuilder>()->argument; }

  std::optional<std::size_t> add_merger(const Loop& loop, ir::Expr builder,
                                        std::optional<std::uint32_t> field) {
    const auto* made = builder.as<ir::NewBuilder>();
    const auto* merger = made ? made->builder.as<ir::MergerType>() : nullptr;
    const auto* scalar = merger ? merger->value.as<ir::ScalarType>() : nullptr;
    if (!scalar) {
      refuse(builder, "a loop over a group fills other builders than mergers of scalars");
      return std::nullopt;
    }
    if (made->argument && uses_element(made->argument)) {
      refuse(made->argument, "a sum starts at something of its group");
      return std::nullopt;
    }
    return add_sum(loop, field, merger->op, scalar->kind, false);
  }

  bool uses_element(ir::Expr expr) const {
    return std::ranges::any_of(ir::free_symbols(expr),
                               [&](const ir::Parameter& free) { return free.symbol == element_; });
  }

  std::optional<std::size_t> add_sum(const Loop& loop, std::optional<std::uint32_t> field, ir::MergeOp op,
                                     ir::ScalarKind kind, bool counts) {
    const ir::Expr identity = arena_.literal(ir::identity_of(op, kind), loop.expr.span());
    const ir::Expr value =
        AddedValue(loop.builder(), field, identity, counts, arena_).of(loop.function->body);
    if (!value) {
      refuse(loop.expr, "a loop over a group merges in another way than once an element");
      return std::nullopt;
    }
    if (ir::may_fail_or_diverge(value)) {
      refuse(value, "what is added up for a group may fail");
      return std::nullopt;
    }
    const ir::Symbol element = loop.element();
    for (const ir::Parameter& free : ir::free_symbols(value)) {
      if (free.symbol == element || outside_.contains(free.symbol.id())) continue;
      refuse(value, "what is added up for a group depends on more than its elements");
      return std::nullopt;
    }
    const std::vector<ir::Parameter> parameters{loop.function->parameters[2]};
    return add({op, kind, arena_.make<ir::Lambda>(loop.expr.span(), parameters, value)});
  }

  std::size_t add_count() {
    const ir::Span span = groups_.loop.expr.span();
    const std::vector<ir::Parameter> parameters{{arena_.fresh_symbol("x"), groups_.type->value}};
    const ir::Expr one = arena_.literal(std::int64_t{1}, span);
    return add({ir::MergeOp::kAdd, ir::ScalarKind::kI64, arena_.make<ir::Lambda>(span, parameters, one)});
  }

  std::size_t add(const Sum& sum) {
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      if (sums_[i].op == sum.op && sums_[i].kind == sum.kind &&
          ir::alpha_equal(sums_[i].function, sum.function))
        return i;
    }
    sums_.push_back(sum);
    return sums_.size() - 1;
  }

  // --- The dictionaries.

  void place_sums() {
    for (Sum& sum : sums_) {
      const auto known = std::ranges::find(operators_, sum.op);
      sum.dictionary = static_cast<std::uint32_t>(known - operators_.begin());
      if (known == operators_.end()) operators_.push_back(sum.op);
      sum.member = 0;
      for (const Sum& other : sums_) {
        if (&other == &sum) break;
        sum.member += other.dictionary == sum.dictionary ? 1 : 0;
      }
    }
  }

  std::size_t num_members(std::uint32_t dictionary) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(sums_, [&](const Sum& sum) { return sum.dictionary == dictionary; }));
  }

  ir::Type value_type(std::uint32_t dictionary) {
    std::vector<ir::Type> members;
    for (const Sum& sum : sums_) {
      if (sum.dictionary == dictionary) members.push_back(ir::Type::scalar(sum.kind));
    }
    return members.size() == 1 ? members[0] : arena_.structure(std::span<const ir::Type>(members));
  }

  // Of the member of the new loop's element that stands at `place`.
  ir::Type element_type(const ir::For& node, std::uint32_t place, const std::vector<std::uint32_t>& places) {
    const auto found = std::ranges::find(places, place);
    if (found != places.end()) {
      const auto index = static_cast<std::uint32_t>(found - places.begin());
      return arena_.structure({groups_.type->key, value_type(index)});
    }
    const ir::Type element = node.function.as<ir::Lambda>()->parameters[2].type;
    return element.as<ir::StructType>()->members[place];
  }

  // The body of the loop that groups, filling dictionaries. Null where it does not merge by itself.
  ir::Expr merges_of(ir::Expr expr, ir::Symbol before, const ir::Parameter& builder, int depth) {
    if (depth > kMaxDepth) return {};
    std::vector<Binding> lets;
    const ir::Expr tail = split_lets(expr, lets);
    if (binds_builder(lets)) return {};
    ir::Expr made;
    if (is_symbol(tail, before)) {
      made = arena_.ident(builder.symbol, builder.type, tail.span());
    } else if (const auto* branch = tail.as<ir::If>()) {
      const ir::Expr on_true = merges_of(branch->on_true, before, builder, depth + 1);
      const ir::Expr on_false =
          on_true ? merges_of(branch->on_false, before, builder, depth + 1) : ir::Expr();
      if (on_false)
        made = arena_.add(ir::If{branch->condition, on_true, on_false}, tail.span(), tail.annotations());
    } else if (const auto* merge = tail.as<ir::Merge>()) {
      const ir::Expr inside = merges_of(merge->builder, before, builder, depth + 1);
      if (inside) made = merged(inside, merge->value, tail.span());
    }
    return made ? join_lets(lets, made, arena_) : made;
  }

  ir::Expr merged(ir::Expr builder, ir::Expr pair, ir::Span span) {
    std::vector<Binding> lets;
    const auto bound = [&](const char* name, ir::Expr value) {
      const ir::Symbol symbol = arena_.fresh_symbol(name);
      lets.push_back({symbol, value, span});
      return arena_.ident(symbol, value.type(), span);
    };
    const bool is_one = operators_.size() == 1;
    if (!is_one && !builder.is<ir::Ident>()) builder = bound("b", builder);
    const auto* written = pair.as<ir::MakeStruct>();
    if (!written) pair = bound("pair", pair);
    const auto part = [&](std::uint32_t index) {
      return written ? written->members[index] : arena_.make<ir::GetField>(span, pair, index);
    };
    const ir::Expr key = bound("key", part(0));
    const ir::Expr element = bound("x", part(1));
    std::vector<ir::Expr> merges;
    for (std::uint32_t i = 0; i < operators_.size(); ++i) {
      std::vector<ir::Expr> added;
      for (const Sum& sum : sums_) {
        if (sum.dictionary == i) added.push_back(applied(sum.function, element));
      }
      const ir::Expr value = added.size() == 1 ? added[0] : arena_.make<ir::MakeStruct>(span, added);
      const std::vector<ir::Expr> entry{key, value};
      const ir::Expr into = is_one ? builder : arena_.make<ir::GetField>(span, builder, i);
      merges.push_back(arena_.make<ir::Merge>(span, into, arena_.make<ir::MakeStruct>(span, entry)));
    }
    const ir::Expr all = is_one ? merges[0] : arena_.make<ir::MakeStruct>(span, merges);
    return join_lets(lets, all, arena_);
  }

  ir::Expr applied(ir::Expr function, ir::Expr argument) {
    const ir::Expr copy = ir::clone_fresh(function, arena_);
    const auto& lambda = *copy.as<ir::Lambda>();
    return ir::substitute(lambda.body, {{lambda.parameters[0].symbol.id(), argument}}, arena_);
  }

  const Groups& groups_;
  ir::Arena& arena_;
  std::unordered_set<std::uint64_t> outside_;
  // Of the loop that is looked at.
  ir::Symbol element_;
  std::optional<std::uint32_t> member_;  // of its element: the group; nothing: the element is one

  std::vector<GroupsLoop> loops_;
  std::vector<Sum> sums_;
  std::vector<ir::MergeOp> operators_;  // of the dictionaries
  std::string refusal_;
  ir::Span refused_at_;
};

// Finds groupmergers and the loops over their groups.
class GroupFinder {
 public:
  explicit GroupFinder(PassContext& context) : context_(context), arena_(context.arena) {}

  ir::Expr run(ir::Expr root) {
    bool any = false;
    ir::for_each_node(root, [&](ir::Expr expr) { any = any || match_groups(expr).has_value(); });
    if (!any) return root;
    return ir::rewrite_bottom_up(root, arena_, [&](ir::Expr expr) {
      if (const auto* let = expr.as<ir::Let>()) return rewrite_named(expr, *let);
      if (const auto* loop = expr.as<ir::For>()) return rewrite_direct(expr, *loop);
      if (const auto* result = expr.as<ir::Result>()) return result_inside(expr, *result);
      return expr;
    });
  }

 private:
  // `let groups = result(for(…)); body`, or of their vector.
  ir::Expr rewrite_named(ir::Expr expr, const ir::Let& let) {
    const auto* vector = let.value.as<ir::ToVec>();
    const auto groups = match_groups(vector ? vector->dict : let.value);
    if (!groups) return expr;
    const auto is_groups = [&](ir::Expr part) { return is_symbol(part, let.symbol); };
    const auto is_vector = [&](ir::Expr part) {
      const auto* entries = part.as<ir::ToVec>();
      return vector ? is_groups(part) : entries && is_groups(entries->dict);
    };
    GroupReducer reducer(*groups, expr, arena_);
    int all = 0;
    int known = 0;
    bool is_taken = true;
    std::vector<ir::Expr> lengths;
    ir::walk(
        let.body,
        [&](ir::Expr part) {
          all += is_groups(part) ? 1 : 0;
          if (const auto* length = part.as<ir::Length>()) {
            if (is_groups(length->value) || is_vector(length->value)) {
              lengths.push_back(part);
              ++known;
            }
          }
          const auto* loop = part.as<ir::For>();
          for (std::size_t i = 0; loop && is_taken && i < loop->iterators.size(); ++i) {
            const ir::Iterator& iterator = loop->iterators[i];
            if (!iterator.data || !is_whole(iterator) || !is_vector(iterator.data)) continue;
            ++known;
            is_taken = reducer.take(part, i);
          }
          return true;
        },
        [](ir::Expr) {});
    if (reducer.loops().empty() && is_taken) return expr;
    if (!is_taken || all != known || are_nested(reducer.loops(), let.symbol))
      return refused(expr, reducer, groups->loop, "the groups are used outside of loops over them, too");
    const ir::Expr value = reducer.dictionaries();
    if (!value) return refused(expr, reducer, groups->loop, {});
    const ir::Symbol symbol = arena_.fresh_symbol(let.symbol.name());
    std::unordered_map<const ir::ExprRecord*, ir::Expr> replacements;
    const auto named = [&](ir::Span span) { return arena_.ident(symbol, value.type(), span); };
    for (const GroupsLoop& loop : reducer.loops())
      replacements[loop.expr.get()] = reducer.rewritten(loop, named(loop.expr.span()));
    for (ir::Expr length : lengths) {
      replacements[length.get()] =
          arena_.make<ir::Length>(length.span(), reducer.dictionary(named(length.span()), 0));
    }
    const ir::Expr body = replaced(let.body, replacements);
    return arena_.add(ir::Let{symbol, value, body}, expr.span(), expr.annotations());
  }

  // `for(tovec(result(for(…))), …)`
  ir::Expr rewrite_direct(ir::Expr expr, const ir::For& node) {
    for (std::size_t i = 0; i < node.iterators.size(); ++i) {
      const auto* vector = node.iterators[i].data ? node.iterators[i].data.as<ir::ToVec>() : nullptr;
      const auto groups = vector && is_whole(node.iterators[i]) ? match_groups(vector->dict) : std::nullopt;
      if (!groups) continue;
      GroupReducer reducer(*groups, expr, arena_);
      const ir::Expr value = reducer.take(expr, i) ? reducer.dictionaries() : ir::Expr();
      if (!value) return refused(expr, reducer, groups->loop, {});
      if (reducer.num_dictionaries() == 1) return reducer.rewritten(reducer.loops()[0], value);
      const ir::Symbol symbol = arena_.fresh_symbol("groups");
      const ir::Expr loop =
          reducer.rewritten(reducer.loops()[0], arena_.ident(symbol, value.type(), value.span()));
      return arena_.make<ir::Let>(expr.span(), symbol, value, loop);
    }
    return expr;
  }

  // `result(let groups = …; for(…))` after that: the let goes outside.
  ir::Expr result_inside(ir::Expr expr, const ir::Result& result) {
    std::vector<Binding> lets;
    const ir::Expr loop = split_lets(result.builder, lets);
    if (lets.empty() || !loop.is<ir::For>() || binds_builder(lets)) return expr;
    return join_lets(lets, arena_.add(ir::Result{loop}, expr.span(), expr.annotations()), arena_);
  }

  // Whether a loop over the groups uses them in another place, too.
  static bool are_nested(const std::vector<GroupsLoop>& loops, ir::Symbol symbol) {
    return std::ranges::any_of(loops, [&](const GroupsLoop& loop) {
      int uses = 0;
      ir::walk(
          loop.expr,
          [&](ir::Expr part) {
            uses += is_symbol(part, symbol) ? 1 : 0;
            return true;
          },
          [](ir::Expr) {});
      return uses > 1;
    });
  }

  ir::Expr replaced(ir::Expr root, const std::unordered_map<const ir::ExprRecord*, ir::Expr>& replacements) {
    return ir::rewrite_bottom_up(root, arena_, [&](ir::Expr part) {
      const auto found = replacements.find(part.get());
      return found == replacements.end() ? part : found->second;
    });
  }

  ir::Expr refused(ir::Expr expr, const GroupReducer& reducer, const Loop& loop, std::string otherwise) {
    const bool has_reason = !reducer.refusal().empty();
    context_.remarks.push_back(
        {"reduce_groups",
         "groups are not reduced as they are made: " + (has_reason ? reducer.refusal() : otherwise),
         has_reason ? reducer.refused_at() : loop.expr.span()});
    return expr;
  }

  PassContext& context_;
  ir::Arena& arena_;
};

}  // namespace

ir::Expr reduce_groups(ir::Expr root, PassContext& context) {
  return GroupFinder(context).run(root);
}

}  // namespace weld::passes
