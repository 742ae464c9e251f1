#include "passes/tile_loops.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "ir/effects.h"
#include "ir/fields.h"
#include "ir/reduction_order.h"
#include "ir/typing.h"
#include "passes/expression_cost.h"
#include "passes/loop_shapes.h"
#include "passes/paths.h"

namespace weld::passes {
namespace {

constexpr std::int64_t kDefaultTile = 4;
constexpr std::int64_t kMaxTile = 8;
constexpr std::int64_t kMaxSums = 8;   // of all rows: two registers each for the widest floats
constexpr double kMaxArithmetic = 12;  // cycles an inner iteration of one row; more hides the loads
constexpr std::uint32_t kMaxInnerNodes = 64;
constexpr std::uint32_t kMaxOuterNodes = 400;

const ir::Type kI64 = ir::Type::scalar(ir::ScalarKind::kI64);

std::int64_t num_scalars(ir::Type type) {
  const auto* structure = type.as<ir::StructType>();
  if (!structure) return 1;
  std::int64_t count = 0;
  for (ir::Type member : structure->members) count += num_scalars(member);
  return count;
}

// New mergers only; a struct of them counts their scalars.
std::optional<std::int64_t> num_sums(ir::Expr builder) {
  if (const auto* made = builder.as<ir::NewBuilder>()) {
    const auto* merger = made->builder.as<ir::MergerType>();
    if (!merger) return std::nullopt;
    return num_scalars(merger->value);
  }
  const auto* structure = builder.as<ir::MakeStruct>();
  if (!structure) return std::nullopt;
  std::int64_t count = 0;
  for (ir::Expr member : structure->members) {
    const std::optional<std::int64_t> sums = num_sums(member);
    if (!sums) return std::nullopt;
    count += *sums;
  }
  return count;
}

// The loops that an expression runs always and once, outside of functions and branches; a null one where
// another loop is inside of a branch.
std::vector<ir::Expr> loops_run(ir::Expr root) {
  std::vector<ir::Expr> loops;
  std::vector<ir::Expr> stack{root};
  while (!stack.empty()) {
    const ir::Expr expr = stack.back();
    stack.pop_back();
    if (expr.is<ir::Lambda>()) continue;
    const auto* binary = expr.as<ir::Binary>();
    const auto* branch = expr.as<ir::If>();
    const bool lazy =
        branch ||
        (binary && (binary->op == ir::BinaryOp::kLogicalAnd || binary->op == ir::BinaryOp::kLogicalOr));
    if (lazy) {
      stack.push_back(branch ? branch->condition : binary->left);
      const bool loops_inside =
          branch ? any((branch->on_true.effects() | branch->on_false.effects()) & ir::Effects::kLoops)
                 : any(binary->right.effects() & ir::Effects::kLoops);
      if (loops_inside) loops.push_back({});
      continue;
    }
    const auto* result = expr.as<ir::Result>();
    if (result && result->builder.is<ir::For>()) {
      loops.push_back(expr);
      stack.push_back(result->builder.as<ir::For>()->builder);
      for (const ir::Iterator& it : result->builder.as<ir::For>()->iterators) {
        for (ir::Expr part : {it.data, it.start, it.end, it.stride})
          if (part) stack.push_back(part);
      }
      continue;
    }
    if (expr.is<ir::For>() || expr.is<ir::Iterate>() || expr.is<ir::Sort>() || expr.is<ir::PartialSort>())
      loops.push_back({});
    ir::for_each_child(expr, [&](ir::Expr child) { stack.push_back(child); });
  }
  return loops;
}

// The body of an outer loop: names, one of which, or the value, holds the inner loop.
struct Body {
  std::vector<Binding> bindings;
  ir::Expr value;
  ir::Expr inner;         // result(for(…))
  std::size_t place = 0;  // of the inner loop: a binding, or the value after them
};

class LoopTiler {
 public:
  explicit LoopTiler(PassContext& context) : context_(context), arena_(context.arena) {}

  ir::Expr tile(ir::Expr expr) {
    const auto* loop = expr.as<ir::For>();
    if (!loop || loop->lanes || expr.record().num_nodes > kMaxOuterNodes) return expr;
    if (!any(loop->function.effects() & ir::Effects::kLoops)) return expr;
    const std::optional<std::int64_t> asked = ir::annotated_integer(expr.annotations(), "tile_size");
    if (asked && *asked <= 1) return expr;
    const std::optional<Body> body = read(loop->function.as<ir::Lambda>()->body);
    if (!body) return expr;
    loop_ = expr;
    find_own_symbols(*loop);
    const std::string_view reason = refusal(*loop, *body, asked.has_value());
    if (!reason.empty()) {
      context_.remarks.push_back({"tile_loops", "loop is not tiled: " + std::string(reason), expr.span()});
      return expr;
    }
    const std::int64_t sums = *num_sums(body->inner.as<ir::Result>()->builder.as<ir::For>()->builder);
    shared_.clear();
    for (const ir::Iterator& it : body->inner.as<ir::Result>()->builder.as<ir::For>()->iterators)
      shared_.push_back(is_shared(it));
    tile_ = std::min(asked.value_or(kDefaultTile), kMaxTile);
    if (!asked) tile_ = std::min(tile_, kMaxSums / sums);
    return rewrite(*loop);
  }

 private:
  // Nothing where there is not exactly one inner loop, a reduction that always runs.
  static std::optional<Body> read(ir::Expr expr) {
    Body body;
    body.value = split_lets(expr, body.bindings);
    std::vector<ir::Expr> loops;
    for (std::size_t i = 0; i <= body.bindings.size(); ++i) {
      const std::vector<ir::Expr> found =
          loops_run(i < body.bindings.size() ? body.bindings[i].value : body.value);
      loops.insert(loops.end(), found.begin(), found.end());
      if (!found.empty()) body.place = i;
    }
    if (loops.size() != 1 || !loops.front()) return std::nullopt;
    for (std::size_t i = 0; i < body.place; ++i) {
      // What comes before the inner loop is done for all rows of a tile before any of them goes on.
      if (ir::contains_builder(body.bindings[i].value.type())) return std::nullopt;
    }
    body.inner = loops.front();
    const auto& inner = *body.inner.as<ir::Result>()->builder.as<ir::For>();
    if (uses_names_of(body.place < body.bindings.size() ? body.bindings[body.place].value : body.value,
                      body.inner))
      return std::nullopt;
    if (!num_sums(inner.builder) || any(inner.function.effects() & ir::Effects::kLoops)) return std::nullopt;
    return body;
  }

  // Whether the inner loop uses a name that is bound inside of the expression that it is a part of.
  static bool uses_names_of(ir::Expr expr, ir::Expr inner) {
    std::unordered_set<std::uint64_t> bound;
    ir::for_each_node(expr, [&](ir::Expr part) {
      if (const auto* let = part.as<ir::Let>()) bound.insert(let->symbol.id());
    });
    return !bound.empty() && std::ranges::any_of(ir::free_symbols(inner), [&](const ir::Parameter& free) {
      return bound.contains(free.symbol.id());
    });
  }

  // What the outer loop's function binds.
  void find_own_symbols(const ir::For& loop) {
    own_.clear();
    ir::for_each_node(loop.function, [&](ir::Expr expr) {
      if (const auto* let = expr.as<ir::Let>()) own_.insert(let->symbol.id());
      const auto* lambda = expr.as<ir::Lambda>();
      for (std::size_t i = 0; lambda && i < lambda->parameters.size(); ++i)
        own_.insert(lambda->parameters[i].symbol.id());
    });
  }

  // Whether the expression is the same in all iterations of the outer loop.
  bool is_shared(ir::Expr expr) const {
    if (!expr) return true;
    bool shared = true;
    ir::for_each_node(expr, [&](ir::Expr part) {
      const auto* ident = part.as<ir::Ident>();
      shared = shared && !(ident && own_.contains(ident->symbol.id()));
    });
    return shared;
  }

  bool is_shared(const ir::Iterator& it) const {
    return is_shared(it.data) && is_shared(it.start) && is_shared(it.end) && is_shared(it.stride);
  }

  // Why the loop is left alone; empty where it is not.
  std::string_view refusal(const ir::For& loop, const Body& body, bool asked) const {
    const auto& inner = *body.inner.as<ir::Result>()->builder.as<ir::For>();
    constexpr ir::Effects kActs = ir::Effects::kMayDiverge | ir::Effects::kForeign;
    if (any(loop.function.effects() & kActs)) return "it iterates, or calls foreign functions";
    if (ir::depends_on_order(loop.builder.type())) return "its own sums go by blocks of its iterations";
    for (const ir::Iterator& it : loop.iterators)
      if (!is_walked(it)) return "it does not walk over whole vectors, or from 0 by 1";
    for (const ir::Iterator& it : inner.iterators)
      if (it.kind != ir::IteratorKind::kScalar)
        return "the inner loop walks over something else than vectors";
    const bool equal_lengths = std::ranges::any_of(
        inner.iterators, [&](const ir::Iterator& it) { return is_shared(it) && is_whole(it); });
    if (!equal_lengths) return "the inner loop walks over no vector that all iterations share";
    if (inner.function.record().num_nodes > kMaxInnerNodes) return "the inner loop's body is large";
    if (asked) return {};
    if (*num_sums(inner.builder) > kMaxSums / 2)
      return "the inner loop has more sums than fit in registers twice";
    if (expression_cost(inner.function.as<ir::Lambda>()->body) > kMaxArithmetic)
      return "the inner loop's arithmetic takes longer than its loads";
    return {};
  }

  static bool is_walked(const ir::Iterator& it) {
    const auto is_number = [](ir::Expr expr, std::int64_t number) {
      const auto* literal = expr.as<ir::Literal>();
      return literal && literal->value.as<std::int64_t>() == number;
    };
    if (it.kind == ir::IteratorKind::kRange)
      return is_number(it.start, 0) && is_number(it.stride, 1) &&
             (is_path(it.end) || it.end.is<ir::Literal>());
    return is_whole(it) && is_path(it.data);
  }

  // --- Rewriting.

  ir::Expr number(std::int64_t value) { return arena_.literal(value, loop_.span()); }
  ir::Expr binary(ir::BinaryOp op, ir::Expr left, ir::Expr right) {
    return arena_.make<ir::Binary>(loop_.span(), op, left, right);
  }

  ir::Expr length(const ir::Iterator& it) {
    return it.data ? arena_.make<ir::Length>(loop_.span(), it.data) : it.end;
  }

  // The iterations that are done in tiles: those of whole tiles of the shortest iterator. (Unequal ones fail
  // with the rest.)
  ir::Expr num_tiled(const ir::For& loop) {
    ir::Expr least;
    for (const ir::Iterator& it : loop.iterators)
      least = least ? binary(ir::BinaryOp::kMin, least, length(it)) : length(it);
    if (std::has_single_bit(static_cast<std::uint64_t>(tile_)))
      return binary(ir::BinaryOp::kBitAnd, least, number(-tile_));
    return binary(ir::BinaryOp::kMul, binary(ir::BinaryOp::kDiv, least, number(tile_)), number(tile_));
  }

  ir::Expr rewrite(const ir::For& loop) {
    const ir::Expr tiled = num_tiled(loop);
    const ir::Iterator tiles{.kind = ir::IteratorKind::kRange,
                             .data = {},
                             .start = number(0),
                             .end = tiled,
                             .stride = number(tile_),
                             .shape = {},
                             .strides = {}};
    const ir::For main{arena_.keep(std::vector{tiles}), loop.builder, tile_function(loop), {}};
    // As many iterations a block as before.
    const std::int64_t block = std::max<std::int64_t>(ir::block_iterations(loop_) / tile_, 1);
    const std::vector<ir::Annotation> annotations{annotation("tile_size", tile_), annotation("block", block)};
    const ir::Expr main_expr = arena_.add(main, loop_.span(), arena_.keep(annotations));

    std::vector<ir::Iterator> rest;
    for (ir::Iterator it : loop.iterators) {
      it.end = length(it);
      it.start = tiled;
      it.stride = number(1);
      rest.push_back(it);
    }
    return arena_.add(ir::For{arena_.keep(rest), main_expr, rest_function(loop, tiled), {}}, loop_.span(),
                      loop_.annotations());
  }

  ir::Annotation annotation(std::string_view key, std::int64_t value) {
    return {arena_.keep(key), ir::Annotation::Kind::kNumber,
            arena_.keep(std::string_view(std::to_string(value)))};
  }

  // The same function, for iterations that are counted from the end of the tiles on.
  ir::Expr rest_function(const ir::For& loop, ir::Expr tiled) {
    const auto& lambda = *loop.function.as<ir::Lambda>();
    const ir::Symbol index = lambda.parameters[1].symbol;
    const std::vector<ir::Parameter> parameters{
        lambda.parameters[0], {arena_.fresh_symbol(index.name()), kI64}, lambda.parameters[2]};
    const ir::Expr counted = arena_.ident(parameters[1].symbol, kI64, loop_.span());
    const ir::Expr body =
        ir::substitute(lambda.body, {{index.id(), binary(ir::BinaryOp::kAdd, tiled, counted)}}, arena_);
    return arena_.make<ir::Lambda>(loop.function.span(), parameters, body);
  }

  ir::Expr tile_function(const ir::For& loop) {
    const auto& lambda = *loop.function.as<ir::Lambda>();
    const ir::Span span = loop.function.span();
    const std::vector<ir::Parameter> parameters{
        {arena_.fresh_symbol(lambda.parameters[0].symbol.name()), lambda.parameters[0].type},
        {arena_.fresh_symbol("tile"), kI64},
        {arena_.fresh_symbol("first"), kI64}};
    const ir::Expr first = arena_.ident(parameters[2].symbol, kI64, span);
    std::vector<Binding> bindings;
    std::vector<Body> rows;
    std::vector<ir::Symbol> builders{parameters[0].symbol};
    for (std::int64_t row = 0; row < tile_; ++row) {
      if (row > 0) builders.push_back(arena_.fresh_symbol(parameters[0].symbol.name()));
      const ir::Expr index = row == 0 ? first : binary(ir::BinaryOp::kAdd, first, number(row));
      rows.push_back(*read(row_body(loop, index, builders.back(), bindings)));
      Body& body = rows.back();
      const auto inner = body.bindings.begin() + static_cast<std::ptrdiff_t>(body.place);
      bindings.insert(bindings.end(), body.bindings.begin(), inner);
    }
    const ir::Expr sums = joint_loop(rows);
    const ir::Symbol result = arena_.fresh_symbol("sums");
    bindings.push_back({result, sums, span});
    ir::Expr value;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const ir::Expr all = arena_.ident(result, sums.type(), span);
      const ir::Expr own = arena_.make<ir::GetField>(span, all, static_cast<std::uint32_t>(row));
      const auto with_sums = [&](ir::Expr expr) {
        return ir::rewrite_bottom_up(
            expr, arena_, [&](ir::Expr part) { return part.get() == rows[row].inner.get() ? own : part; });
      };
      const Body& body = rows[row];
      for (std::size_t i = body.place; i < body.bindings.size(); ++i) {
        Binding binding = body.bindings[i];
        if (i == body.place) binding.value = with_sums(binding.value);
        bindings.push_back(binding);
      }
      value = body.place == body.bindings.size() ? with_sums(body.value) : body.value;
      if (row + 1 < rows.size()) bindings.push_back({builders[row + 1], value, span});
    }
    return arena_.make<ir::Lambda>(span, parameters, join_lets(bindings, value, arena_));
  }

  // A copy of the body for one iteration: its element's parts become bindings.
  ir::Expr row_body(const ir::For& loop, ir::Expr index, ir::Symbol builder, std::vector<Binding>& bindings) {
    const ir::Expr copy = ir::clone_fresh(loop.function, arena_);
    const auto& lambda = *copy.as<ir::Lambda>();
    const ir::Symbol element = lambda.parameters[2].symbol;
    const ir::Span span = loop.function.span();
    const ir::Symbol index_symbol = arena_.fresh_symbol(lambda.parameters[1].symbol.name());
    bindings.push_back({index_symbol, index, span});
    const ir::Expr named_index = arena_.ident(index_symbol, kI64, span);

    const std::size_t num_iterators = loop.iterators.size();
    std::vector<ir::Expr> parts(num_iterators);
    const auto part = [&](std::size_t i) {
      const ir::Iterator& it = loop.iterators[i];
      if (!it.data) return named_index;
      if (!parts[i]) {
        const ir::Expr looked_up = arena_.make<ir::Lookup>(span, it.data, named_index);
        const ir::Symbol symbol = arena_.fresh_symbol(element.name());
        bindings.push_back({symbol, looked_up, span});
        parts[i] = arena_.ident(symbol, looked_up.type(), span);
      }
      return parts[i];
    };
    return ir::rewrite_bottom_up(lambda.body, arena_, [&](ir::Expr expr) {
      if (const auto* ident = expr.as<ir::Ident>()) {
        if (ident->symbol == lambda.parameters[0].symbol)
          return arena_.ident(builder, expr.type(), expr.span());
        if (ident->symbol == lambda.parameters[1].symbol) return named_index;
        if (ident->symbol == element && num_iterators == 1) return part(0);
        if (!(ident->symbol == element)) return expr;
        std::vector<ir::Expr> members;
        for (std::size_t i = 0; i < num_iterators; ++i) members.push_back(part(i));
        return arena_.make<ir::MakeStruct>(expr.span(), members);
      }
      const auto* field = expr.as<ir::GetField>();
      const auto* members = field ? field->value.as<ir::MakeStruct>() : nullptr;
      return members && ir::is_pure(field->value) ? members->members[field->index] : expr;
    });
  }

  // One loop that does the inner loops of all rows.
  ir::Expr joint_loop(const std::vector<Body>& rows) {
    const ir::Expr model_expr = rows.front().inner.as<ir::Result>()->builder;
    const auto& model = *model_expr.as<ir::For>();
    const ir::Span span = model_expr.span();
    const std::size_t num_old = model.iterators.size();
    // Iterators that do not differ between the original iterations; the others, one for each row.
    std::vector<ir::Iterator> iterators;
    std::vector<std::vector<std::size_t>> places(rows.size());  // by row and old iterator
    for (std::size_t i = 0; i < num_old; ++i) {
      const bool shared = shared_[i];
      for (std::size_t row = 0; row < rows.size(); ++row) {
        places[row].push_back(shared && row > 0 ? places[0][i] : iterators.size());
        if (!shared || row == 0)
          iterators.push_back(rows[row].inner.as<ir::Result>()->builder.as<ir::For>()->iterators[i]);
      }
    }
    const ir::Type element_type = ir::element_type(std::span<const ir::Iterator>(iterators), arena_);
    const ir::Symbol element = arena_.fresh_symbol("element");
    const auto element_at = [&](std::size_t place) {
      const ir::Expr whole = arena_.ident(element, element_type, span);
      if (iterators.size() == 1) return whole;
      return arena_.make<ir::GetField>(span, whole, static_cast<std::uint32_t>(place));
    };

    std::vector<ir::Expr> builders;
    for (const Body& row : rows)
      builders.push_back(row.inner.as<ir::Result>()->builder.as<ir::For>()->builder);
    const ir::Expr builder = arena_.make<ir::MakeStruct>(span, builders);
    const std::vector<ir::Parameter> parameters{{arena_.fresh_symbol("sums"), builder.type()},
                                                {arena_.fresh_symbol("index"), kI64},
                                                {element, element_type}};
    const ir::Expr index = arena_.ident(parameters[1].symbol, kI64, span);
    std::vector<ir::Expr> merged;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const auto& lambda =
          *rows[row].inner.as<ir::Result>()->builder.as<ir::For>()->function.as<ir::Lambda>();
      const ir::Expr all = arena_.ident(parameters[0].symbol, builder.type(), span);
      const ir::Expr own = arena_.make<ir::GetField>(span, all, static_cast<std::uint32_t>(row));
      merged.push_back(ir::rewrite_bottom_up(lambda.body, arena_, [&](ir::Expr expr) {
        if (const auto* ident = expr.as<ir::Ident>()) {
          if (ident->symbol == lambda.parameters[0].symbol) return own;
          if (ident->symbol == lambda.parameters[1].symbol) return index;
          if (!(ident->symbol == lambda.parameters[2].symbol)) return expr;
          if (num_old == 1) return element_at(places[row][0]);
          std::vector<ir::Expr> members;
          for (std::size_t place : places[row]) members.push_back(element_at(place));
          return arena_.make<ir::MakeStruct>(expr.span(), members);
        }
        const auto* field = expr.as<ir::GetField>();
        const auto* members = field ? field->value.as<ir::MakeStruct>() : nullptr;
        return members && ir::is_pure(field->value) ? members->members[field->index] : expr;
      }));
    }
    const ir::Expr body = arena_.make<ir::MakeStruct>(span, merged);
    const ir::Expr function = arena_.make<ir::Lambda>(model.function.span(), parameters, body);
    const ir::For joint{arena_.keep(iterators), builder, function, {}};
    return arena_.make<ir::Result>(span, arena_.add(joint, span, model_expr.annotations()));
  }

  PassContext& context_;
  ir::Arena& arena_;
  ir::Expr loop_;
  std::int64_t tile_ = 0;
  std::vector<bool> shared_;               // which iterators of the inner loop all iterations share
  std::unordered_set<std::uint64_t> own_;  // symbols that the outer loop's function binds, by id
};

}  // namespace

ir::Expr tile_loops(ir::Expr root, PassContext& context) {
  LoopTiler tiler(context);
  return ir::rewrite_bottom_up(root, context.arena, [&](ir::Expr expr) { return tiler.tile(expr); });
}

}  // namespace weld::passes
