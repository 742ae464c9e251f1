#include "passes/simplify_sorts.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "ir/effects.h"
#include "ir/equality.h"
#include "ir/fields.h"
#include "passes/rewrite_lets.h"

namespace weld::passes {
namespace {

using ir::BinaryOp;
using ir::ScalarKind;

constexpr std::uint32_t kMaxComparatorNodes = 1000;
constexpr std::size_t kMaxKeys = 16;
constexpr int kMaxSteps = 32;  // through names and loops

using Values = std::unordered_map<std::uint64_t, ir::Expr>;  // what names are bound to, by symbol id

std::optional<std::int64_t> known_integer(ir::Expr expr) {
  const auto* literal = expr.as<ir::Literal>();
  if (!literal || !ir::is_scalar(expr.type(), ScalarKind::kI64)) return std::nullopt;
  return literal->value.as<std::int64_t>();
}

bool is_zero(ir::Expr expr) {
  return known_integer(expr) == 0;
}

bool uses(ir::Expr expr, ir::Symbol symbol) {
  bool found = false;
  ir::for_each_node(expr, [&](ir::Expr part) {
    const auto* ident = part.as<ir::Ident>();
    found = found || (ident && ident->symbol == symbol);
  });
  return found;
}

// --- Comparators.

// A comparator's body without lets, so that what it compares can be seen.
ir::Expr without_lets(ir::Expr body, ir::Arena& arena) {
  ir::Substitution values;
  while (const auto* let = body.as<ir::Let>()) {
    values.emplace(let->symbol.id(), ir::substitute(let->value, values, arena));
    body = let->body;
  }
  return values.empty() ? body : ir::substitute(body, values, arena);
}

// Whether a part that binds symbols stands in several places, as where the two functions of a loop with lanes
// share the use of a name.
bool binds_twice(ir::Expr expr) {
  std::unordered_set<std::uint64_t> bound;
  bool twice = false;
  ir::walk(
      expr,
      [&](ir::Expr part) {
        if (const auto* let = part.as<ir::Let>()) twice = !bound.insert(let->symbol.id()).second || twice;
        const auto* lambda = part.as<ir::Lambda>();
        for (std::size_t i = 0; lambda && i < lambda->parameters.size(); ++i)
          twice = !bound.insert(lambda->parameters[i].symbol.id()).second || twice;
        return !twice;
      },
      [](ir::Expr) {});
  return twice;
}

// −1, 0 or 1: the sign of a literal i32.
std::optional<int> known_sign(ir::Expr expr) {
  const auto* literal = expr.as<ir::Literal>();
  if (!literal || !ir::is_scalar(expr.type(), ScalarKind::kI32)) return std::nullopt;
  const auto value = literal->value.as<std::int32_t>();
  return value < 0 ? -1 : value > 0 ? 1 : 0;
}

struct Branches {
  const ir::Binary* comparison;
  ir::Expr on_true;
  ir::Expr on_false;
};

std::optional<Branches> branches_of(ir::Expr expr) {
  Branches branches{};
  ir::Expr condition;
  if (const auto* branch = expr.as<ir::If>()) {
    condition = branch->condition;
    branches = {nullptr, branch->on_true, branch->on_false};
  } else if (const auto* select = expr.as<ir::Select>()) {
    condition = select->condition;
    branches = {nullptr, select->on_true, select->on_false};
  }
  branches.comparison = condition.as<ir::Binary>();
  if (!branches.comparison || !ir::is_comparison(branches.comparison->op)) return std::nullopt;
  return branches;
}

struct Key {
  ir::Expr of_left;  // as a function of the comparator's first parameter
  bool falls = false;
};

// The keys that a comparator compares in turn.
class ComparatorKeys {
 public:
  ComparatorKeys(const ir::Lambda& comparator, ir::Arena& arena)
      : left_(comparator.parameters[0].symbol), right_(comparator.parameters[1]), arena_(arena) {}

  // Nothing where the body is not of a known form.
  std::optional<std::vector<Key>> read(ir::Expr body) {
    std::vector<Key> keys;
    while (known_sign(body) != 0) {
      const std::optional<ir::Expr> rest = read_key(body, keys);
      if (!rest || keys.size() > kMaxKeys) return std::nullopt;
      body = *rest;
    }
    return keys;
  }

 private:
  // A comparison of the key of the first element with that of the second.
  struct Comparison {
    BinaryOp op;
    ir::Expr of_left;
  };

  std::optional<Comparison> read_comparison(const ir::Binary& binary) {
    const bool swapped = uses(binary.left, right_.symbol);
    const ir::Expr of_left = swapped ? binary.right : binary.left;
    const ir::Expr of_right = swapped ? binary.left : binary.right;
    if (uses(of_left, right_.symbol) || uses(of_right, left_)) return std::nullopt;
    const ir::Expr left = arena_.ident(left_, right_.type);
    if (!ir::alpha_equal(ir::substitute(of_right, {{right_.symbol.id(), left}}, arena_), of_left))
      return std::nullopt;
    BinaryOp op = binary.op;
    if (swapped && op == BinaryOp::kLt)
      op = BinaryOp::kGt;
    else if (swapped && op == BinaryOp::kGt)
      op = BinaryOp::kLt;
    return Comparison{op, of_left};
  }

  // Reads what the body compares first, and gives what it does when those keys are equal.
  std::optional<ir::Expr> read_key(ir::Expr body, std::vector<Key>& keys) {
    const std::optional<Branches> first = branches_of(body);
    if (!first) return std::nullopt;
    const std::optional<Comparison> comparison = read_comparison(*first->comparison);
    if (!comparison) return std::nullopt;
    if (comparison->op == BinaryOp::kEq || comparison->op == BinaryOp::kNe) {
      const bool equal = comparison->op == BinaryOp::kEq;
      const ir::Expr unequal = equal ? first->on_false : first->on_true;
      const std::optional<Branches> order = branches_of(unequal);
      if (!order) return std::nullopt;
      const std::optional<int> sign = read_order(*order, comparison->of_left);
      const std::optional<int> other = known_sign(order->on_false);
      if (!sign || !other || *other * *sign_of_branch(*order) >= 0) return std::nullopt;
      keys.push_back({comparison->of_left, *sign > 0});
      return equal ? first->on_true : first->on_false;
    }
    const std::optional<int> sign = read_order(*first, comparison->of_left);
    const std::optional<Branches> second = branches_of(first->on_false);
    if (!sign || !second) return std::nullopt;
    const std::optional<Comparison> opposite = read_comparison(*second->comparison);
    if (!opposite || opposite->op == comparison->op) return std::nullopt;
    const std::optional<int> other = read_order(*second, comparison->of_left);
    if (!other || *other != *sign) return std::nullopt;
    keys.push_back({comparison->of_left, *sign > 0});
    return second->on_false;
  }

  static std::optional<int> sign_of_branch(const Branches& branches) { return known_sign(branches.on_true); }

  // −1 where smaller keys come first, 1 where they come last; nothing where `of_left` is not what is
  // compared.
  std::optional<int> read_order(const Branches& branches, ir::Expr of_left) {
    const std::optional<Comparison> comparison = read_comparison(*branches.comparison);
    const std::optional<int> sign = sign_of_branch(branches);
    if (!comparison || !sign || *sign == 0 || !ir::alpha_equal(comparison->of_left, of_left))
      return std::nullopt;
    if (comparison->op == BinaryOp::kLt) return sign;
    if (comparison->op == BinaryOp::kGt) return -*sign;
    return std::nullopt;
  }

  ir::Symbol left_;
  ir::Parameter right_;
  ir::Arena& arena_;
};

// A key whose rising order is the falling order of the key; null where there is none.
ir::Expr falling(ir::Expr key, ir::Arena& arena) {
  const auto* scalar = key.type().as<ir::ScalarType>();
  if (!scalar) return {};
  if (ir::is_float(scalar->kind)) return arena.make<ir::Unary>(key.span(), ir::UnaryOp::kNeg, key);
  if (scalar->kind == ScalarKind::kBool) return arena.make<ir::Unary>(key.span(), ir::UnaryOp::kNot, key);
  const std::uint64_t ones = ~std::uint64_t{0} >> (64 - ir::bit_width(scalar->kind));
  const ir::Expr mask = arena.literal(ir::ScalarValue{scalar->kind, ones}, key.span());
  return arena.make<ir::Binary>(key.span(), BinaryOp::kXor, key, mask);
}

class SortSimplifier {
 public:
  explicit SortSimplifier(PassContext& context) : context_(context), arena_(context.arena) {}

  ir::Expr run(ir::Expr root) {
    const auto bind = [&](ir::Symbol symbol, ir::Expr value) { values_.emplace(symbol.id(), value); };
    root = rewrite_lets(root, arena_, bind, [&](ir::Expr expr) { return rewrite(expr); });
    return limit_named_sorts(root);
  }

 private:
  ir::Expr rewrite(ir::Expr expr) {
    if (expr.is<ir::Sort>() || expr.is<ir::PartialSort>()) return without_second_sort(with_key(expr));
    if (expr.is<ir::Slice>()) return limit_slice(expr);
    if (const auto* lookup = expr.as<ir::Lookup>()) return limit_lookup(expr, *lookup);
    if (const auto* length = expr.as<ir::Length>()) {
      const auto* sort = length->value.as<ir::Sort>();
      if (!sort || ir::may_fail_or_diverge(sort->function)) return expr;
      return arena_.make<ir::Length>(expr.span(), sort->vector);
    }
    return expr;
  }

  void remark(std::string message, ir::Span span) {
    context_.remarks.push_back({"simplify_sorts", std::move(message), span});
  }

  // --- Keys.

  static ir::Expr function_of(ir::Expr sort) {
    const auto* partial = sort.as<ir::PartialSort>();
    return partial ? partial->function : sort.as<ir::Sort>()->function;
  }
  static ir::Expr vector_of(ir::Expr sort) {
    const auto* partial = sort.as<ir::PartialSort>();
    return partial ? partial->vector : sort.as<ir::Sort>()->vector;
  }
  ir::Expr with_function(ir::Expr sort, ir::Expr function) {
    if (const auto* partial = sort.as<ir::PartialSort>())
      return arena_.add(ir::PartialSort{partial->vector, function, partial->count}, sort.span(),
                        sort.annotations());
    return arena_.add(ir::Sort{sort.as<ir::Sort>()->vector, function}, sort.span(), sort.annotations());
  }

  // The sort by a key instead of a comparator.
  ir::Expr with_key(ir::Expr sort) {
    const ir::Expr function = function_of(sort);
    const auto& comparator = *function.as<ir::Lambda>();
    if (comparator.parameters.size() != 2) return sort;
    if (comparator.body.record().num_nodes > kMaxComparatorNodes) return sort;
    if (ir::may_fail_or_diverge(comparator.body)) {
      remark("sort keeps its comparator: it may fail", sort.span());
      return sort;
    }
    const auto keys = ComparatorKeys(comparator, arena_).read(without_lets(comparator.body, arena_));
    if (!keys || keys->empty()) {
      remark("sort keeps its comparator: it is not seen to compare keys of its two elements", sort.span());
      return sort;
    }
    std::vector<ir::Expr> members;
    for (const Key& key : *keys) {
      const ir::Expr member = key.falls ? falling(key.of_left, arena_) : key.of_left;
      if (!member) {
        remark("sort keeps its comparator: keys that are vectors or structs have no falling order",
               sort.span());
        return sort;
      }
      members.push_back(member);
    }
    const ir::Expr key =
        members.size() == 1 ? members.front() : arena_.make<ir::MakeStruct>(sort.span(), members);
    if (key.record().num_nodes > kMaxComparatorNodes || binds_twice(key)) {
      remark("sort keeps its comparator: both functions of a loop in it use one name", sort.span());
      return sort;
    }
    const std::vector<ir::Parameter> parameters{comparator.parameters[0]};
    return with_function(sort, arena_.make<ir::Lambda>(function.span(), parameters, key));
  }

  // --- Sorting what is sorted.

  ir::Expr without_second_sort(ir::Expr sort) {
    const ir::Expr function = function_of(sort);
    if (ir::may_fail_or_diverge(function) || !is_sorted_by(vector_of(sort), function)) return sort;
    const auto* partial = sort.as<ir::PartialSort>();
    if (!partial) return vector_of(sort);
    const ir::Expr first = arena_.literal(std::int64_t{0}, sort.span());
    return rewrite(arena_.make<ir::Slice>(sort.span(), partial->vector, first, partial->count));
  }

  // Whether the vector comes out of a sort by that function: through names, slices and filters.
  bool is_sorted_by(ir::Expr vector, ir::Expr function) const {
    for (int step = 0; step < kMaxSteps && vector; ++step) {
      if (vector.is<ir::Sort>() || vector.is<ir::PartialSort>())
        return ir::alpha_equal(function_of(vector), function);
      if (const auto* ident = vector.as<ir::Ident>()) {
        const auto found = values_.find(ident->symbol.id());
        vector = found == values_.end() ? ir::Expr() : found->second;
      } else if (const auto* slice = vector.as<ir::Slice>()) {
        vector = slice->vector;
      } else {
        vector = filtered_vector(vector);
      }
    }
    return false;
  }

  // The only iterator of a loop that appends to a new vector; null where the expression is another one.
  static const ir::For* appending_loop(ir::Expr expr) {
    const auto* result = expr.as<ir::Result>();
    const auto* loop = result ? result->builder.as<ir::For>() : nullptr;
    if (!loop || loop->iterators.size() != 1) return nullptr;
    const ir::Iterator& it = loop->iterators.front();
    const auto* builder = loop->builder.as<ir::NewBuilder>();
    const bool appends = builder && builder->builder.as<ir::AppenderType>();
    return appends && it.kind == ir::IteratorKind::kScalar && !it.start ? loop : nullptr;
  }

  // The vector that a loop keeps some elements of; null where it does anything else.
  static ir::Expr filtered_vector(ir::Expr expr) {
    const ir::For* loop = appending_loop(expr);
    if (!loop) return {};
    const auto& lambda = *loop->function.as<ir::Lambda>();
    ir::Expr body = lambda.body;
    const auto is_parameter = [&](ir::Expr part, std::size_t i) {
      const auto* ident = part.as<ir::Ident>();
      return ident && ident->symbol == lambda.parameters[i].symbol;
    };
    const auto* branch = body.as<ir::If>();
    if (branch && is_parameter(branch->on_false, 0))
      body = branch->on_true;
    else if (branch && is_parameter(branch->on_true, 0))
      body = branch->on_false;
    const auto* merge = body.as<ir::Merge>();
    const bool keeps = merge && is_parameter(merge->builder, 0) && is_parameter(merge->value, 2);
    return keeps ? loop->iterators.front().data : ir::Expr();
  }

  // --- The first elements.

  // A loop that maps each element of its vector to one element, without fail; null where it does anything
  // else.
  static const ir::For* mapping_loop(ir::Expr expr) {
    const ir::For* loop = appending_loop(expr);
    if (!loop || loop->builder.as<ir::NewBuilder>()->argument) return nullptr;
    const auto& lambda = *loop->function.as<ir::Lambda>();
    ir::Expr body = lambda.body;
    while (const auto* let = body.as<ir::Let>()) {
      if (ir::contains_builder(let->value.type())) return nullptr;
      body = let->body;
    }
    const auto* merge = body.as<ir::Merge>();
    const auto* builder = merge ? merge->builder.as<ir::Ident>() : nullptr;
    return builder && builder->symbol == lambda.parameters[0].symbol ? loop : nullptr;
  }

  // The first `count` elements of the vector, found without sorting all of it; null where there is no sort to
  // be cut. A count of less than 0 fails, as a slice does.
  ir::Expr limited(ir::Expr vector, ir::Expr count, ir::Span span) {
    if (ir::may_fail_or_diverge(count)) return {};
    const std::optional<std::int64_t> known = known_integer(count);
    std::vector<ir::Expr> loops;  // results of loops, from the outermost on
    for (int step = 0; step < kMaxSteps; ++step) {
      const ir::For* loop = mapping_loop(vector);
      if (!loop) break;
      loops.push_back(vector);
      vector = loop->iterators.front().data;
    }
    ir::Expr first;
    if (const auto* sort = vector.as<ir::Sort>()) {
      if (ir::may_fail_or_diverge(sort->function) && !(known && *known >= 0)) return {};
      first = arena_.make<ir::PartialSort>(span, sort->vector, sort->function, count);
    } else if (const auto* partial = vector.as<ir::PartialSort>()) {
      const std::optional<std::int64_t> before = known_integer(partial->count);
      if (!known || !before || *known < 0) return {};
      if (*known >= *before) return wrapped(loops, vector);
      first = arena_.make<ir::PartialSort>(span, partial->vector, partial->function, count);
    } else if (const auto* ident = vector.as<ir::Ident>(); ident && !loops.empty()) {
      const auto found = values_.find(ident->symbol.id());
      if (found == values_.end() || !found->second.is<ir::Sort>()) return {};
      first = arena_.make<ir::Slice>(span, vector, arena_.literal(std::int64_t{0}, span), count);
    } else {
      return {};
    }
    for (ir::Expr loop : loops) {
      if (!ir::may_fail_or_diverge(mapping_loop(loop)->function)) continue;
      remark("all elements of the sort are mapped before they are cut: the loop may fail", loop.span());
      return {};
    }
    return wrapped(loops, first);
  }

  // The loops over another vector than theirs.
  ir::Expr wrapped(const std::vector<ir::Expr>& loops, ir::Expr vector) {
    for (auto it = loops.rbegin(); it != loops.rend(); ++it) {
      const ir::Expr loop_expr = it->as<ir::Result>()->builder;
      ir::For loop = *loop_expr.as<ir::For>();
      loop.iterators = arena_.keep(std::vector{ir::Iterator{.data = vector}});
      const ir::Expr made = arena_.add(loop, loop_expr.span(), loop_expr.annotations());
      vector = arena_.add(ir::Result{made}, it->span(), it->annotations());
    }
    return vector;
  }

  ir::Expr limit_slice(ir::Expr expr) {
    const auto& slice = *expr.as<ir::Slice>();
    if (is_zero(slice.start)) {
      const ir::Expr first = limited(slice.vector, slice.count, expr.span());
      return first ? first : expr;
    }
    const std::optional<std::int64_t> end = known_end(slice);
    if (!end) return expr;
    const ir::Expr first = limited(slice.vector, arena_.literal(*end, expr.span()), expr.span());
    return first ? arena_.make<ir::Slice>(expr.span(), first, slice.start, slice.count) : expr;
  }

  static std::optional<std::int64_t> known_end(const ir::Slice& slice) {
    const std::optional<std::int64_t> start = known_integer(slice.start);
    const std::optional<std::int64_t> count = known_integer(slice.count);
    std::int64_t end;
    if (!start || !count || *start < 0 || *count < 0 || __builtin_add_overflow(*start, *count, &end))
      return std::nullopt;
    return end;
  }

  // The elements that are enough to look one up.
  static std::optional<std::int64_t> known_end(const ir::Lookup& lookup) {
    const std::optional<std::int64_t> index = known_integer(lookup.key);
    if (!index || *index < 0 || *index == INT64_MAX || !lookup.container.type().as<ir::VecType>())
      return std::nullopt;
    return *index + 1;
  }

  ir::Expr limit_lookup(ir::Expr expr, const ir::Lookup& lookup) {
    const std::optional<std::int64_t> end = known_end(lookup);
    if (!end) return expr;
    const ir::Expr first = limited(lookup.container, arena_.literal(*end, expr.span()), expr.span());
    return first ? arena_.make<ir::Lookup>(expr.span(), first, lookup.key) : expr;
  }

  // --- Sorts with a name, used several times.

  struct Uses {
    std::int64_t all = 0;
    std::int64_t of_first = 0;  // slices and lookups of known places, and lengths
    std::int64_t end = 0;       // of the elements that those need
    bool measured = false;      // by `len`
  };

  ir::Expr limit_named_sorts(ir::Expr root) {
    std::unordered_map<std::uint64_t, Uses> sorts;  // by symbol id
    std::unordered_map<std::uint64_t, ir::Expr> values;
    ir::for_each_node(root, [&](ir::Expr expr) {
      const auto* let = expr.as<ir::Let>();
      if (let && let->value.is<ir::Sort>()) values.emplace(let->symbol.id(), let->value);
    });
    if (values.empty()) return root;
    const auto sort_of = [&](ir::Expr expr) {
      const auto* ident = expr.as<ir::Ident>();
      return ident && values.contains(ident->symbol.id()) ? &sorts[ident->symbol.id()] : nullptr;
    };
    ir::for_each_node(root, [&](ir::Expr expr) {
      ir::for_each_child(expr, [&](ir::Expr child) {
        if (Uses* found = sort_of(child)) ++found->all;
      });
      std::optional<std::int64_t> end;
      Uses* sort = nullptr;
      if (const auto* slice = expr.as<ir::Slice>()) {
        sort = sort_of(slice->vector);
        end = known_end(*slice);
      } else if (const auto* lookup = expr.as<ir::Lookup>()) {
        sort = sort_of(lookup->container);
        end = known_end(*lookup);
      } else if (const auto* length = expr.as<ir::Length>()) {
        sort = sort_of(length->value);
        end = 0;
        if (sort) sort->measured = true;
      }
      if (!sort || !end) return;
      ++sort->of_first;
      sort->end = std::max(sort->end, *end);
    });
    std::unordered_map<std::uint64_t, std::int64_t> limits;
    for (const auto& [symbol, found] : sorts) {
      const auto& sort = *values.at(symbol).as<ir::Sort>();
      const bool fixed_length = !found.measured || sort.vector.is<ir::Ident>();
      if (found.all == found.of_first && found.end > 0 && fixed_length) limits.emplace(symbol, found.end);
    }
    return limits.empty() ? root : with_limits(root, limits, values);
  }

  ir::Expr with_limits(ir::Expr root, const std::unordered_map<std::uint64_t, std::int64_t>& limits,
                       const std::unordered_map<std::uint64_t, ir::Expr>& values) {
    const auto limited_name = [&](ir::Expr expr) {
      const auto* ident = expr.as<ir::Ident>();
      return ident && limits.contains(ident->symbol.id()) ? ident : nullptr;
    };
    return ir::rewrite_bottom_up(root, arena_, [&](ir::Expr expr) {
      if (const auto* let = expr.as<ir::Let>(); let && limits.contains(let->symbol.id())) {
        const auto& sort = *let->value.as<ir::Sort>();
        const ir::Expr end = arena_.literal(limits.at(let->symbol.id()), let->value.span());
        const ir::Expr first =
            arena_.make<ir::PartialSort>(let->value.span(), sort.vector, sort.function, end);
        return arena_.add(ir::Let{let->symbol, first, let->body}, expr.span(), expr.annotations());
      }
      if (const auto* slice = expr.as<ir::Slice>()) {
        const auto* ident = limited_name(slice->vector);
        const bool whole =
            ident && is_zero(slice->start) && known_integer(slice->count) == limits.at(ident->symbol.id());
        return whole ? slice->vector : expr;
      }
      if (const auto* length = expr.as<ir::Length>()) {
        const auto* ident = limited_name(length->value);
        if (!ident) return expr;
        return arena_.make<ir::Length>(expr.span(), values.at(ident->symbol.id()).as<ir::Sort>()->vector);
      }
      return expr;
    });
  }

  PassContext& context_;
  ir::Arena& arena_;
  Values values_;
};

}  // namespace

ir::Expr simplify_sorts(ir::Expr root, PassContext& context) {
  return SortSimplifier(context).run(root);
}

}  // namespace weld::passes
