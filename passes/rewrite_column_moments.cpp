#include "passes/rewrite_column_moments.h"

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/effects.h"
#include "ir/equality.h"
#include "ir/fields.h"
#include "ir/typing.h"
#include "passes/loop_shapes.h"

namespace weld::passes {
namespace {

using ir::BinaryOp;

constexpr std::int64_t kHeadRows = 64;            // the origin is their mean
constexpr std::int64_t kFewRows = 8 * kHeadRows;  // two passes over so few are as good
constexpr std::int64_t kLargestLoss = 64;         // of the squares about the origin to those about the mean

const ir::Type kI64 = ir::Type::scalar(ir::ScalarKind::kI64);

// A loop over rows that adds a value of each of a row's elements to that of its column.
struct ColumnSums {
  ir::Expr expr;  // result(for(…))
  ir::Expr for_expr;
  const ir::For* rows = nullptr;
  const ir::Lambda* function = nullptr;  // of a row
  ir::Expr zeros;                        // what the columns start from
  ir::ScalarKind kind = ir::ScalarKind::kF64;
  std::vector<Binding> bindings;  // of a row
  ir::Expr columns_expr;
  const ir::For* columns = nullptr;
  const ir::Lambda* column_function = nullptr;
  ir::Expr value;  // without lets
};

bool is_ident(ir::Expr expr, ir::Symbol symbol) {
  const auto* ident = expr.as<ir::Ident>();
  return ident && ident->symbol == symbol;
}

bool is_number(ir::Expr expr, std::int64_t number) {
  const auto* literal = expr.as<ir::Literal>();
  return literal && literal->value.as<std::int64_t>() == number;
}

// Whether one iterator says how many rows there are.
bool are_countable(const ir::For& rows) {
  if (rows.iterators.size() != 1) return false;
  const ir::Iterator& it = rows.iterators.front();
  constexpr std::uint32_t kMaxCountNodes = 8;
  if (it.kind != ir::IteratorKind::kRange) return is_whole(it) && it.data.is<ir::Ident>();
  return is_number(it.start, 0) && is_number(it.stride, 1) && ir::is_pure(it.end) &&
         it.end.record().num_nodes <= kMaxCountNodes;
}

ir::Expr without_lets(std::span<const Binding> bindings, ir::Expr expr, ir::Arena& arena) {
  ir::Substitution values;
  for (const Binding& binding : bindings)
    values.emplace(binding.symbol.id(), ir::substitute(binding.value, values, arena));
  return ir::substitute(expr, values, arena);
}

std::optional<ColumnSums> match_columns(ir::Expr expr, ir::Arena& arena) {
  constexpr std::uint32_t kMaxNodes = 300;
  const std::optional<Loop> loop = match_loop(expr);
  if (!loop || !loop->has_result || loop->node->lanes || !are_countable(*loop->node)) return std::nullopt;
  const auto* made = loop->node->builder.as<ir::NewBuilder>();
  const auto* vecmerger = made ? made->builder.as<ir::VecMergerType>() : nullptr;
  const auto* scalar = vecmerger ? vecmerger->element.as<ir::ScalarType>() : nullptr;
  if (!scalar || !ir::is_float(scalar->kind) || vecmerger->op != ir::MergeOp::kAdd || !made->argument)
    return std::nullopt;
  constexpr ir::Effects kActs = ir::Effects::kMayDiverge | ir::Effects::kForeign;
  if (any(loop->function->body.effects() & kActs) || loop->function->body.record().num_nodes > kMaxNodes)
    return std::nullopt;

  ColumnSums sums{.expr = expr,
                  .for_expr = loop->for_expr,
                  .rows = loop->node,
                  .function = loop->function,
                  .zeros = made->argument,
                  .kind = scalar->kind,
                  .bindings = {},
                  .columns_expr = {},
                  .value = {}};
  sums.columns_expr = split_lets(loop->function->body, sums.bindings);
  const std::optional<Loop> columns = match_loop(sums.columns_expr);
  if (!columns || columns->has_result || columns->node->lanes || binds_builder(sums.bindings) ||
      !is_ident(columns->node->builder, loop->builder()))
    return std::nullopt;
  for (const ir::Iterator& it : columns->node->iterators)
    if (!is_whole(it)) return std::nullopt;
  sums.columns = columns->node;
  sums.column_function = columns->function;

  std::vector<Binding> bindings;
  const ir::Expr tail = split_lets(columns->function->body, bindings);
  const auto* merge = tail.as<ir::Merge>();
  const auto* pair = merge ? merge->value.as<ir::MakeStruct>() : nullptr;
  if (!pair || binds_builder(bindings) || !is_ident(merge->builder, columns->builder()) ||
      !is_ident(pair->members[0], columns->index()))
    return std::nullopt;
  sums.value = without_lets(bindings, pair->members[1], arena);
  if (ir::may_fail_or_diverge(sums.value) || any(sums.value.effects() & ir::Effects::kLoops) ||
      !ir::is_scalar(sums.value.type()))
    return std::nullopt;
  return sums;
}

// Squares of distances of the values that `sums` adds up from a vector.
struct ColumnSquares {
  ir::Expr expr;
  ir::Symbol centre;
  ir::Type centre_type;
};

class ColumnMomentsRewriter {
 public:
  explicit ColumnMomentsRewriter(ir::Arena& arena) : arena_(arena) {}

  ir::Expr run(ir::Expr root) {
    const auto* lambda = root.as<ir::Lambda>();
    const ir::Expr chain = lambda ? lambda->body : root;
    tail_ = split_lets(chain, program_);
    for (std::size_t i = 0; i < program_.size(); ++i) share_from(i);
    if (!has_changed_) return root;
    const ir::Expr body = join_lets(program_, tail_, arena_);
    if (!lambda) return body;
    ir::Lambda changed = *lambda;
    changed.body = body;
    return arena_.add(changed, root.span(), root.annotations());
  }

 private:
  // What a value evaluates first: itself, or the vector that its loop goes through.
  static ir::Expr first_of(ir::Expr value) {
    const std::optional<Loop> loop = match_loop(value);
    if (!loop || loop->node->iterators.empty()) return value;
    const ir::Iterator& first = loop->node->iterators.front();
    return first.data && first.data.is<ir::Result>() ? first.data : value;
  }

  void share_from(std::size_t place) {
    for (const ir::Expr expr : {program_[place].value, first_of(program_[place].value)}) {
      const std::optional<ColumnSums> sums = match_columns(expr, arena_);
      if (!sums || sums->columns->iterators.size() != 1) continue;
      if (has_few_rows(*sums)) continue;
      for (std::size_t later = place + 1; later <= program_.size(); ++later) {
        const ir::Expr value = later < program_.size() ? program_[later].value : tail_;
        if (const std::optional<ColumnSquares> squares = find_squares(value, *sums, place, later)) {
          share(*sums, *squares, place, later);
          return;
        }
      }
    }
  }

  bool has_few_rows(const ColumnSums& sums) {
    const ir::Iterator& it = sums.rows->iterators.front();
    const auto* rows = it.kind == ir::IteratorKind::kRange ? it.end.as<ir::Literal>() : nullptr;
    return rows && rows->value.as<std::int64_t>() < kFewRows;
  }

  // Outside of functions, and where they are computed whatever the data.
  std::optional<ColumnSquares> find_squares(ir::Expr value, const ColumnSums& sums, std::size_t first,
                                            std::size_t later) {
    std::vector<ir::Expr> stack{value};
    while (!stack.empty()) {
      const ir::Expr expr = stack.back();
      stack.pop_back();
      if (expr.is<ir::Lambda>() || expr.is<ir::If>()) continue;
      if (expr.is<ir::Result>()) {
        if (std::optional<ColumnSquares> squares = match_squares(expr, sums, first, later)) return squares;
      }
      ir::for_each_child(expr, [&](ir::Expr part) { stack.push_back(part); });
    }
    return std::nullopt;
  }

  std::optional<ColumnSquares> match_squares(ir::Expr expr, const ColumnSums& sums, std::size_t first,
                                             std::size_t later) {
    const std::optional<ColumnSums> other = match_columns(expr, arena_);
    if (!other || other->kind != sums.kind || other->columns->iterators.size() != 2) return std::nullopt;
    const auto* square = other->value.as<ir::Binary>();
    if (!square || square->op != BinaryOp::kMul || !ir::alpha_equal(square->left, square->right))
      return std::nullopt;
    const auto* distance = square->left.as<ir::Binary>();
    if (!distance || distance->op != BinaryOp::kSub) return std::nullopt;
    if (!are_same(sums.zeros, other->zeros) ||
        !are_equal(sums.rows->iterators.front(), other->rows->iterators.front()))
      return std::nullopt;

    for (const std::uint32_t centre : {0u, 1u}) {
      const auto* name = other->columns->iterators[centre].data.as<ir::Ident>();
      if (!name || !is_bound_between(name->symbol, first, later)) continue;
      const ir::Expr row = outer_renamed(
          without_lets(other->bindings, other->columns->iterators[1 - centre].data, arena_), *other, sums);
      if (!ir::alpha_equal(row, without_lets(sums.bindings, sums.columns->iterators.front().data, arena_)))
        continue;
      for (const auto& [value, about] :
           {std::pair{distance->left, distance->right}, {distance->right, distance->left}}) {
        if (!is_member(about, *other->column_function, centre)) continue;
        const ir::Expr same = in_function_of(sums, *other, value, 1 - centre);
        if (same && ir::alpha_equal(same, without_lets(sums.bindings, sums.value, arena_)))
          return ColumnSquares{expr, name->symbol, other->columns->iterators[centre].data.type()};
      }
    }
    return std::nullopt;
  }

  // What a name of the program's chain stands for.
  ir::Expr named(ir::Expr expr) const {
    const auto* ident = expr.as<ir::Ident>();
    for (const Binding& binding : program_)
      if (ident && ident->symbol == binding.symbol) return binding.value;
    return expr;
  }

  // Whether two expressions have the same value, by themselves or by what their names are bound to.
  bool are_same(ir::Expr left, ir::Expr right) const {
    const ir::Expr value = named(left);
    return ir::alpha_equal(left, right) ||
           (!any(value.effects() & ir::Effects::kForeign) && ir::alpha_equal(value, named(right)));
  }

  bool is_bound_between(ir::Symbol symbol, std::size_t first, std::size_t later) const {
    for (std::size_t i = first; i < later && i < program_.size(); ++i)
      if (program_[i].symbol == symbol) return true;
    return false;
  }

  static bool are_equal(const ir::Iterator& left, const ir::Iterator& right) {
    if (left.kind != right.kind || static_cast<bool>(left.data) != static_cast<bool>(right.data))
      return false;
    if (left.data) return ir::alpha_equal(left.data, right.data);
    return ir::alpha_equal(left.end, right.end);  // both from 0 by 1
  }

  // `e.$field` of a function's element.
  static bool is_member(ir::Expr expr, const ir::Lambda& function, std::uint32_t field) {
    const auto* member = expr.as<ir::GetField>();
    return member && member->index == field && is_ident(member->value, function.parameters[2].symbol);
  }

  ir::Expr parameter(const ir::Lambda& function, std::size_t i) {
    return arena_.ident(function.parameters[i].symbol, function.parameters[i].type);
  }

  // An expression in a row of `other` as one in a row of `sums`.
  ir::Expr outer_renamed(ir::Expr expr, const ColumnSums& other, const ColumnSums& sums) {
    return ir::substitute(expr,
                          {{other.function->parameters[1].symbol.id(), parameter(*sums.function, 1)},
                           {other.function->parameters[2].symbol.id(), parameter(*sums.function, 2)}},
                          arena_);
  }

  // A value of the loop over columns of `other`, which is of the element's field `row`, as one of that of
  // `sums`; null where it is of more than that.
  ir::Expr in_function_of(const ColumnSums& sums, const ColumnSums& other, ir::Expr value,
                          std::uint32_t row) {
    const ir::Lambda& own = *sums.column_function;
    const ir::Lambda& function = *other.column_function;
    const ir::Expr renamed = ir::rewrite_bottom_up(value, arena_, [&](ir::Expr expr) {
      return is_member(expr, function, row) ? parameter(own, 2) : expr;
    });
    bool is_of_row = true;
    ir::for_each_node(renamed, [&](ir::Expr expr) {
      is_of_row = is_of_row && !is_ident(expr, function.parameters[2].symbol);
    });
    if (!is_of_row) return {};
    const ir::Expr same =
        ir::substitute(renamed, {{function.parameters[1].symbol.id(), parameter(own, 1)}}, arena_);
    return outer_renamed(without_lets(other.bindings, same, arena_), other, sums);
  }

  // --- Rewriting.

  ir::Expr number(std::int64_t value) { return arena_.literal(value, span_); }
  ir::Expr real(std::int64_t value) { return to_real(number(value)); }
  ir::Expr to_real(ir::Expr value) { return arena_.make<ir::Cast>(span_, kind_, value); }
  ir::Expr binary(BinaryOp op, ir::Expr left, ir::Expr right) {
    return arena_.make<ir::Binary>(span_, op, left, right);
  }
  ir::Expr field(ir::Expr structure, std::uint32_t index) {
    return arena_.make<ir::GetField>(span_, structure, index);
  }
  ir::Expr length(ir::Expr vector) { return arena_.make<ir::Length>(span_, vector); }
  ir::Expr structure(std::vector<ir::Expr> members) { return arena_.make<ir::MakeStruct>(span_, members); }
  ir::Expr merged(ir::Expr builder, ir::Expr value) { return arena_.make<ir::Merge>(span_, builder, value); }
  ir::Expr made(ir::Type builder, ir::Expr argument = {}) {
    return arena_.make<ir::NewBuilder>(span_, builder, argument);
  }
  ir::Expr use(const Binding& binding) {
    return arena_.ident(binding.symbol, binding.value.type(), binding.span);
  }
  Binding bind(std::string_view name, ir::Expr value) { return {arena_.fresh_symbol(name), value, span_}; }

  // for(iterators, builder, |b, i, e| body(b, i, e))
  template <class MakeBody>
  ir::Expr loop(std::vector<ir::Iterator> iterators, ir::Expr builder, ir::Annotations annotations,
                MakeBody&& make_body) {
    const ir::Type element = ir::element_type(std::span<const ir::Iterator>(iterators), arena_);
    const std::vector<ir::Parameter> parameters{{arena_.fresh_symbol("b"), builder.type()},
                                                {arena_.fresh_symbol("i"), kI64},
                                                {arena_.fresh_symbol("e"), element}};
    std::vector<ir::Expr> uses;
    for (const ir::Parameter& each : parameters) uses.push_back(arena_.ident(each.symbol, each.type, span_));
    const ir::Expr function =
        arena_.make<ir::Lambda>(span_, parameters, make_body(uses[0], uses[1], uses[2]));
    return arena_.add(ir::For{arena_.keep(iterators), builder, function, {}}, span_, annotations);
  }
  ir::Expr result(ir::Expr builder) { return arena_.make<ir::Result>(span_, builder); }

  // For loops that are short beside those over all rows, and faster run than compiled.
  ir::Annotations scalar() {
    return arena_.keep(
        std::vector{ir::Annotation{arena_.keep(std::string_view("vectorize")), ir::Annotation::Kind::kWord,
                                   arena_.keep(std::string_view("false"))}});
  }

  ir::Iterator first_of(ir::Expr vector, ir::Expr count) {
    ir::Iterator it{.data = vector};
    it.start = number(0);
    it.end = count;
    it.stride = number(1);
    return it;
  }

  void share(const ColumnSums& sums, const ColumnSquares& squares, std::size_t place, std::size_t later) {
    span_ = sums.expr.span();
    kind_ = sums.kind;
    const ir::Iterator& rows = sums.rows->iterators.front();
    const Binding zeros = bind("zeros", sums.zeros);
    zeros_ = sums.zeros.is<ir::Ident>() ? sums.zeros : use(zeros);
    const Binding blank = bind("blank", make_blank());
    blank_ = use(blank);
    const Binding num_rows = bind("rows", rows.data ? length(rows.data) : rows.end);
    const Binding num_head = bind("head", binary(BinaryOp::kMin, use(num_rows), number(kHeadRows)));
    const Binding origin = bind("origin", make_origin(sums, use(num_head)));
    const Binding moments = bind("moments", make_moments(sums, use(origin)));

    // The squares first: they come later in the program.
    const Binding about = bind("about", squares_about(squares, use(moments), use(origin), use(num_rows)));
    const ir::Expr is_good = binary(BinaryOp::kLogicalAnd, is_usable(squares, use(moments), use(origin)),
                                    binary(BinaryOp::kEq, field(use(about), 1), number(0)));
    const ir::Expr chosen =
        arena_.make<ir::Let>(span_, about.symbol, about.value,
                             arena_.make<ir::If>(span_, is_good, field(use(about), 0), squares.expr));
    ir::Expr& holder = later < program_.size() ? program_[later].value : tail_;
    holder = replaced(holder, squares.expr, chosen);
    program_[place].value = replaced(program_[place].value, sums.expr, field(use(moments), 0));
    std::vector<Binding> before{blank, num_rows, num_head, origin, moments};
    if (!sums.zeros.is<ir::Ident>()) before.insert(before.begin(), zeros);
    program_.insert(program_.begin() + static_cast<std::ptrdiff_t>(place), before.begin(), before.end());
    has_changed_ = true;
  }

  ir::Expr replaced(ir::Expr root, ir::Expr old, ir::Expr by) {
    return ir::rewrite_bottom_up(root, arena_,
                                 [&](ir::Expr expr) { return expr.get() == old.get() ? by : expr; });
  }

  ir::Type vecmerger() { return arena_.vecmerger(ir::Type::scalar(kind_), ir::MergeOp::kAdd); }

  // 0 for each column.
  ir::Expr make_blank() {
    return result(loop({{.data = zeros_}}, made(arena_.appender(ir::Type::scalar(kind_))), scalar(),
                       [&](ir::Expr b, ir::Expr, ir::Expr) { return merged(b, real(0)); }));
  }

  // The means of the first rows, by the same function. What fails there fails in the loop of all rows.
  ir::Expr make_origin(const ColumnSums& sums, ir::Expr count) {
    ir::Iterator rows = sums.rows->iterators.front();
    if (rows.data) {
      rows = first_of(rows.data, count);
    } else {
      rows.end = count;
    }
    const ir::For head{arena_.keep(std::vector{rows}), made(vecmerger(), blank_), head_function(sums), {}};
    const ir::Expr totals = result(arena_.add(head, sums.for_expr.span(), {}));
    const ir::Expr divisor = to_real(binary(BinaryOp::kMax, count, number(1)));
    return result(loop(
        {{.data = totals}}, made(arena_.appender(ir::Type::scalar(kind_))), scalar(),
        [&](ir::Expr b, ir::Expr, ir::Expr e) { return merged(b, binary(BinaryOp::kDiv, e, divisor)); }));
  }

  ir::Expr head_function(const ColumnSums& sums) {
    const ir::Expr scalar_columns = arena_.add(*sums.columns, sums.columns_expr.span(), scalar());
    const ir::Expr body = join_lets(sums.bindings, scalar_columns, arena_);
    ir::Lambda function = *sums.function;
    function.body = body;
    return ir::clone_fresh(arena_.add(function, sums.rows->function.span(), {}), arena_);
  }

  // Of all rows: the sums, those of distances from the origin, of their squares, and the least length.
  ir::Expr make_moments(const ColumnSums& sums, ir::Expr origin) {
    const ir::Expr builders =
        structure({made(vecmerger(), zeros_), made(vecmerger(), blank_), made(vecmerger(), blank_),
                   made(arena_.merger(kI64, ir::MergeOp::kMin))});
    const ir::Expr copy = ir::clone_fresh(sums.for_expr.as<ir::For>()->function, arena_);
    const auto& function = *copy.as<ir::Lambda>();
    const std::vector<ir::Parameter> parameters{
        {function.parameters[0].symbol, builders.type()}, function.parameters[1], function.parameters[2]};
    const ir::Expr held = arena_.ident(parameters[0].symbol, builders.type(), span_);
    std::vector<Binding> bindings;
    const auto& columns = *split_lets(function.body, bindings).as<ir::For>();
    const Binding merges = bind("columns", make_columns(columns, held, origin));
    const ir::Expr row = columns.iterators.front().data;
    const ir::Expr least = merged(field(held, 3), length(row));
    bindings.push_back(merges);
    const ir::Expr body =
        structure({field(use(merges), 0), field(use(merges), 1), field(use(merges), 2), least});
    const ir::Expr made_function =
        arena_.make<ir::Lambda>(span_, parameters, join_lets(bindings, body, arena_));
    const ir::For all{sums.rows->iterators, builders, made_function, {}};
    return result(arena_.add(all, sums.for_expr.span(), sums.for_expr.annotations()));
  }

  ir::Expr make_columns(const ir::For& columns, ir::Expr held, ir::Expr origin) {
    const auto& function = *columns.function.as<ir::Lambda>();
    const ir::Expr builders = structure({field(held, 0), field(held, 1), field(held, 2)});
    const std::vector<ir::Parameter> parameters{
        {function.parameters[0].symbol, builders.type()}, function.parameters[1], function.parameters[2]};
    const ir::Expr inside = arena_.ident(parameters[0].symbol, builders.type(), span_);
    std::vector<Binding> bindings;
    const ir::Expr merge = split_lets(function.body, bindings);
    const auto& pair = *merge.as<ir::Merge>()->value.as<ir::MakeStruct>();
    bindings.push_back(bind("value", pair.members[1]));
    const ir::Expr value = use(bindings.back());
    // Fails where the merge into the sums would.
    const ir::Expr own_origin = arena_.make<ir::Lookup>(merge.span(), origin, pair.members[0]);
    bindings.push_back(bind("distance", binary(BinaryOp::kSub, value, own_origin)));
    const ir::Expr distance = use(bindings.back());
    const auto add = [&](std::uint32_t which, ir::Expr added) {
      return arena_.make<ir::Merge>(merge.span(), field(inside, which), structure({pair.members[0], added}));
    };
    const ir::Expr body =
        structure({add(0, value), add(1, distance), add(2, binary(BinaryOp::kMul, distance, distance))});
    const ir::Expr made_function =
        arena_.make<ir::Lambda>(span_, parameters, join_lets(bindings, body, arena_));
    return arena_.add(ir::For{columns.iterators, builders, made_function, {}}, span_, {});
  }

  // Whether all rows are as long as the centre, and so are the sums.
  ir::Expr is_usable(const ColumnSquares& squares, ir::Expr moments, ir::Expr origin) {
    const ir::Expr num_columns = length(arena_.ident(squares.centre, squares.centre_type, span_));
    return binary(BinaryOp::kLogicalAnd, binary(BinaryOp::kEq, num_columns, length(origin)),
                  binary(BinaryOp::kGe, field(moments, 3), num_columns));
  }

  // The squares about the centre, and how many of them are not good.
  ir::Expr squares_about(const ColumnSquares& squares, ir::Expr moments, ir::Expr origin, ir::Expr num_rows) {
    const Binding count = bind("count", arena_.make<ir::Select>(span_, is_usable(squares, moments, origin),
                                                                length(origin), number(0)));
    const ir::Expr centre = arena_.ident(squares.centre, squares.centre_type, span_);
    const std::vector<ir::Iterator> vectors{
        first_of(field(moments, 1), use(count)), first_of(field(moments, 2), use(count)),
        first_of(origin, use(count)), first_of(centre, use(count)), first_of(zeros_, use(count))};
    const ir::Expr builders = structure(
        {made(arena_.appender(ir::Type::scalar(kind_))), made(arena_.merger(kI64, ir::MergeOp::kAdd))});
    const ir::Expr about = loop(vectors, builders, {}, [&](ir::Expr b, ir::Expr, ir::Expr e) {
      std::vector<Binding> bindings;
      bindings.push_back(bind("shift", binary(BinaryOp::kSub, field(e, 3), field(e, 2))));
      const ir::Expr shift = use(bindings.back());
      const ir::Expr twice = binary(BinaryOp::kAdd, field(e, 0), field(e, 0));
      const ir::Expr moved =
          binary(BinaryOp::kMul, shift,
                 binary(BinaryOp::kSub, twice, binary(BinaryOp::kMul, to_real(num_rows), shift)));
      bindings.push_back(bind("squares", binary(BinaryOp::kSub, field(e, 1), moved)));
      const ir::Expr all = use(bindings.back());
      const ir::Expr loses_little =
          binary(BinaryOp::kLe, field(e, 1), binary(BinaryOp::kMul, all, real(kLargestLoss)));
      const ir::Expr is_finite = binary(BinaryOp::kEq, binary(BinaryOp::kMul, field(e, 1), real(0)), real(0));
      const ir::Expr bad = arena_.make<ir::Select>(span_, binary(BinaryOp::kBitAnd, loses_little, is_finite),
                                                   number(0), number(1));
      const ir::Expr body = structure(
          {merged(field(b, 0), binary(BinaryOp::kAdd, field(e, 4), all)), merged(field(b, 1), bad)});
      return join_lets(bindings, body, arena_);
    });
    return join_lets(std::vector{count}, result(about), arena_);
  }

  ir::Arena& arena_;
  std::vector<Binding> program_;
  ir::Expr tail_;
  bool has_changed_ = false;
  ir::Span span_;  // of what is rewritten now
  ir::ScalarKind kind_ = ir::ScalarKind::kF64;
  ir::Expr zeros_;  // what the columns start from
  ir::Expr blank_;  // as many zeros
};

}  // namespace

ir::Expr rewrite_column_moments(ir::Expr root, PassContext& context) {
  return ColumnMomentsRewriter(context.arena).run(root);
}

}  // namespace weld::passes
