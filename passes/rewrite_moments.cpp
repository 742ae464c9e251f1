#include "passes/rewrite_moments.h"

#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ir/effects.h"
#include "ir/equality.h"
#include "ir/fields.h"
#include "ir/typing.h"
#include "passes/expression_cost.h"
#include "passes/loop_shapes.h"

namespace weld::passes {
namespace {

using ir::BinaryOp;

constexpr std::int64_t kChunk = 2048;
constexpr std::uint32_t kMaxValueNodes = 500;
// Cycles. Cheaper values are faster computed twice: a second pass over 20 M numbers, from memory, took as
// long as one pass by chunks (0.68 ns an element), and less than half of it from the second cache; with one
// exponential a value the chunks are ahead by 5 %.
constexpr double kExpensiveValue = 40;

const ir::Type kI64 = ir::Type::scalar(ir::ScalarKind::kI64);

// A loop that adds up one float for each element of a vector.
struct Sum {
  ir::Expr expr;  // result(for(…))
  ir::Expr vector;
  const ir::Lambda* function = nullptr;
  ir::Expr value;  // what is merged, without lets
  ir::ScalarKind kind = ir::ScalarKind::kF64;
};

std::optional<Sum> match_sum(ir::Expr expr, ir::Arena& arena) {
  const std::optional<Loop> loop = match_loop(expr);
  if (!loop || !loop->has_result || loop->node->lanes || loop->node->iterators.size() != 1)
    return std::nullopt;
  const ir::Iterator& iterator = loop->node->iterators.front();
  const auto* builder = loop->node->builder.as<ir::NewBuilder>();
  const auto* merger = builder ? builder->builder.as<ir::MergerType>() : nullptr;
  const auto* scalar = merger ? merger->value.as<ir::ScalarType>() : nullptr;
  if (!scalar || !ir::is_float(scalar->kind) || merger->op != ir::MergeOp::kAdd || builder->argument)
    return std::nullopt;
  if (!is_whole(iterator) || !iterator.data.is<ir::Ident>()) return std::nullopt;
  if (loop->function->body.record().num_nodes > kMaxValueNodes) return std::nullopt;

  std::vector<Binding> bindings;
  const ir::Expr tail = split_lets(loop->function->body, bindings);
  const auto* merge = tail.as<ir::Merge>();
  const auto* held = merge ? merge->builder.as<ir::Ident>() : nullptr;
  if (!held || !(held->symbol == loop->builder()) || merge->value.type().as<ir::SimdType>())
    return std::nullopt;
  ir::Substitution values;
  for (const Binding& binding : bindings) {
    if (ir::contains_builder(binding.value.type())) return std::nullopt;
    values.emplace(binding.symbol.id(), ir::substitute(binding.value, values, arena));
  }
  const ir::Expr value = ir::substitute(merge->value, values, arena);
  if (ir::may_fail_or_diverge(value) || any(value.effects() & ir::Effects::kLoops)) return std::nullopt;
  return Sum{expr, iterator.data, loop->function, value, scalar->kind};
}

// `kind(len(vector))`.
bool is_length_of(ir::Expr expr, ir::Expr vector) {
  const auto* cast = expr.as<ir::Cast>();
  const auto* length = cast ? cast->value.as<ir::Length>() : nullptr;
  return length && length->value == vector;
}

// `let symbol = sum / f64(len(v))`.
struct Mean {
  ir::Symbol symbol;
  Sum sum;
};

// What a mean and its squares are computed of.
struct Chunks {
  Mean mean;
  ir::Symbol symbol;  // null: nobody needs squares
  ir::Type type;      // of its value: three vectors
};

class MomentsRewriter {
 public:
  explicit MomentsRewriter(PassContext& context) : context_(context), arena_(context.arena) {}

  ir::Expr run(ir::Expr root) {
    find_means(root);
    if (means_.empty()) return root;
    ir::for_each_node(root, [&](ir::Expr expr) {
      if (expr.is<ir::Result>()) find_squares(expr);
    });
    if (squares_.empty()) return root;
    return ir::rewrite_bottom_up(root, arena_, [&](ir::Expr expr) {
      if (const auto found = squares_.find(expr.get()); found != squares_.end())
        return squares_of_chunks(*found->second, expr);
      const auto* let = expr.as<ir::Let>();
      return let ? with_chunks(*let, expr) : expr;
    });
  }

 private:
  void find_means(ir::Expr root) {
    std::unordered_map<std::uint64_t, Sum> sums;  // with names, by symbol id
    ir::for_each_node(root, [&](ir::Expr expr) {
      const auto* let = expr.as<ir::Let>();
      if (!let) return;
      if (std::optional<Sum> sum = match_sum(let->value, arena_)) {
        sums.emplace(let->symbol.id(), *std::move(sum));
        return;
      }
      const auto* mean = let->value.as<ir::Binary>();
      if (!mean || mean->op != BinaryOp::kDiv || !ir::is_scalar(let->value.type())) return;
      const auto* name = mean->left.as<ir::Ident>();
      const auto named = name ? sums.find(name->symbol.id()) : sums.end();
      std::optional<Sum> sum = named != sums.end() ? named->second : match_sum(mean->left, arena_);
      if (!sum || !is_length_of(mean->right, sum->vector)) return;
      // By address: rewriting finds the sum again where it stands.
      means_.emplace(let->symbol.id(), Chunks{{let->symbol, *std::move(sum)}, {}, {}});
    });
  }

  // A sum of squared deviations from one of the means.
  void find_squares(ir::Expr expr) {
    const std::optional<Sum> squares = match_sum(expr, arena_);
    const auto* square = squares ? squares->value.as<ir::Binary>() : nullptr;
    if (!square || square->op != BinaryOp::kMul || !ir::alpha_equal(square->left, square->right)) return;
    const auto* deviation = square->left.as<ir::Binary>();
    if (!deviation || deviation->op != BinaryOp::kSub) return;
    for (const auto& [value, mean] :
         {std::pair{deviation->left, deviation->right}, {deviation->right, deviation->left}}) {
      const auto* name = mean.as<ir::Ident>();
      const auto found = name ? means_.find(name->symbol.id()) : means_.end();
      if (found == means_.end()) continue;
      Chunks& chunks = found->second;
      const Sum& sum = chunks.mean.sum;
      if (!(sum.vector == squares->vector) || sum.kind != squares->kind) continue;
      // The same value, with the parameters of the other function.
      const auto renamed = [&](std::size_t i) {
        const ir::Parameter& parameter = sum.function->parameters[i];
        return arena_.ident(parameter.symbol, parameter.type);
      };
      const ir::Expr same = ir::substitute(value,
                                           {{squares->function->parameters[1].symbol.id(), renamed(1)},
                                            {squares->function->parameters[2].symbol.id(), renamed(2)}},
                                           arena_);
      if (!ir::alpha_equal(same, sum.value)) {
        context_.remarks.push_back(
            {"rewrite_moments",
             "the squares are computed in a second pass: they are of other values than the "
             "mean",
             expr.span()});
        continue;
      }
      if (expression_cost(sum.value) <= kExpensiveValue) {
        context_.remarks.push_back(
            {"rewrite_moments",
             "the squares are computed in a second pass: the values are cheap, and faster read again",
             expr.span()});
        return;
      }
      if (!chunks.symbol) chunks.symbol = arena_.fresh_symbol("chunks");
      const ir::Type sums = arena_.vec(ir::Type::scalar(sum.kind));
      chunks.type = arena_.structure({sums, sums, sums});
      sums_.emplace(sum.expr.get(), &chunks);
      squares_.emplace(expr.get(), &chunks);
      return;
    }
  }

  // --- Rewriting.

  ir::Expr number(std::int64_t value, ir::Span span) { return arena_.literal(value, span); }
  ir::Expr binary(BinaryOp op, ir::Expr left, ir::Expr right) {
    return arena_.make<ir::Binary>(left.span(), op, left, right);
  }
  ir::Expr use(const Binding& binding) {
    return arena_.ident(binding.symbol, binding.value.type(), binding.span);
  }
  Binding bind(std::string_view name, ir::Expr value) {
    return {arena_.fresh_symbol(name), value, value.span()};
  }
  ir::Annotation annotation(std::string_view key, std::string_view word) {
    return {arena_.keep(key), ir::Annotation::Kind::kWord, arena_.keep(word)};
  }

  // result(for(iterators, builder, |b, i, e| body(b, i, e)))
  template <class MakeBody>
  ir::Expr loop(std::vector<ir::Iterator> iterators, ir::Expr builder, ir::Annotations annotations,
                ir::Span span, MakeBody&& make_body) {
    const ir::Type element = ir::element_type(std::span<const ir::Iterator>(iterators), arena_);
    const std::vector<ir::Parameter> parameters{{arena_.fresh_symbol("b"), builder.type()},
                                                {arena_.fresh_symbol("i"), kI64},
                                                {arena_.fresh_symbol("e"), element}};
    std::vector<ir::Expr> uses;
    for (const ir::Parameter& parameter : parameters)
      uses.push_back(arena_.ident(parameter.symbol, parameter.type, span));
    const ir::Expr function = arena_.make<ir::Lambda>(span, parameters, make_body(uses[0], uses[1], uses[2]));
    const ir::For node{arena_.keep(iterators), builder, function, {}};
    return arena_.make<ir::Result>(span, arena_.add(node, span, annotations));
  }

  ir::Expr sum_builder(const Sum& sum) {
    const ir::Type merger = arena_.merger(ir::Type::scalar(sum.kind), ir::MergeOp::kAdd);
    return arena_.make<ir::NewBuilder>(sum.expr.span(), merger, ir::Expr());
  }

  // The sums of all chunks, and those of deviations from the chunk's own mean and of their squares. (The
  // former are not 0, because the mean is rounded.)
  ir::Expr make_chunks(const Sum& sum) {
    const ir::Span span = sum.expr.span();
    const ir::Type scalar = ir::Type::scalar(sum.kind);
    const ir::Expr length = arena_.make<ir::Length>(span, sum.vector);
    const ir::Iterator starts{.kind = ir::IteratorKind::kRange,
                              .data = {},
                              .start = number(0, span),
                              .end = length,
                              .stride = number(kChunk, span),
                              .shape = {},
                              .strides = {}};
    const ir::Expr appender = arena_.make<ir::NewBuilder>(span, arena_.appender(scalar), ir::Expr());
    const ir::Expr appenders = arena_.make<ir::MakeStruct>(span, std::vector{appender, appender, appender});
    return loop({starts}, appenders, {}, span, [&](ir::Expr builders, ir::Expr, ir::Expr start) {
      std::vector<Binding> bindings;
      const ir::Expr rest = binary(BinaryOp::kSub, length, start);
      bindings.push_back(bind("size", binary(BinaryOp::kMin, number(kChunk, span), rest)));
      const ir::Expr size = use(bindings.back());
      ir::Iterator chunk{.data = sum.vector};
      chunk.start = start;
      chunk.end = binary(BinaryOp::kAdd, start, size);
      chunk.stride = number(1, span);
      bindings.push_back(bind("values", inner_loop(chunk, appender, [&](ir::Expr i, ir::Expr e) {
                                return value_at(sum, binary(BinaryOp::kAdd, start, i), e);
                              })));
      chunk = {.data = use(bindings.back())};
      bindings.push_back(
          bind("sum", inner_loop(chunk, sum_builder(sum), [](ir::Expr, ir::Expr e) { return e; })));
      const ir::Expr chunk_sum = use(bindings.back());
      const ir::Expr divisor = arena_.make<ir::Cast>(span, sum.kind, size);
      bindings.push_back(bind("mean", binary(BinaryOp::kDiv, chunk_sum, divisor)));
      const ir::Expr mean = use(bindings.back());
      const ir::Expr about_mean =
          arena_.make<ir::MakeStruct>(span, std::vector{sum_builder(sum), sum_builder(sum)});
      const ir::Expr deviations =
          loop({chunk}, about_mean, alone(), span, [&](ir::Expr held, ir::Expr, ir::Expr e) {
            const Binding deviation = bind("deviation", binary(BinaryOp::kSub, e, mean));
            const ir::Expr square = binary(BinaryOp::kMul, use(deviation), use(deviation));
            const std::vector<ir::Expr> parts{merged(held, 0, use(deviation)), merged(held, 1, square)};
            return join_lets(std::vector{deviation}, arena_.make<ir::MakeStruct>(span, parts), arena_);
          });
      bindings.push_back(bind("about_mean", deviations));
      const auto about = [&](std::uint32_t field) {
        return arena_.make<ir::GetField>(span, use(bindings.back()), field);
      };
      const std::vector<ir::Expr> parts{merged(builders, 0, chunk_sum), merged(builders, 1, about(0)),
                                        merged(builders, 2, about(1))};
      return join_lets(bindings, arena_.make<ir::MakeStruct>(span, parts), arena_);
    });
  }

  template <class MakeValue>
  ir::Expr inner_loop(const ir::Iterator& chunk, ir::Expr builder, MakeValue&& make_value) {
    return loop({chunk}, builder, alone(), builder.span(), [&](ir::Expr held, ir::Expr i, ir::Expr e) {
      return arena_.make<ir::Merge>(builder.span(), held, make_value(i, e));
    });
  }

  // For loops inside of a chunk.
  ir::Annotations alone() { return arena_.keep(std::vector{annotation("parallel", "false")}); }

  ir::Expr merged(ir::Expr builders, std::uint32_t field, ir::Expr value) {
    return arena_.make<ir::Merge>(value.span(), arena_.make<ir::GetField>(value.span(), builders, field),
                                  value);
  }

  // The value that a sum adds, at another index and element.
  ir::Expr value_at(const Sum& sum, ir::Expr index, ir::Expr element) {
    const ir::Substitution parameters{{sum.function->parameters[1].symbol.id(), index},
                                      {sum.function->parameters[2].symbol.id(), element}};
    return ir::substitute(ir::clone_fresh(sum.value, arena_), parameters, arena_);
  }

  ir::Expr column(const Chunks& chunks, std::uint32_t field, ir::Span span) {
    return arena_.make<ir::GetField>(span, arena_.ident(chunks.symbol, chunks.type, span), field);
  }

  // The chunks come before the first name that needs their sums.
  ir::Expr with_chunks(const ir::Let& let, ir::Expr expr) {
    const auto* mean = let.value.as<ir::Binary>();
    const ir::Expr sum_expr = mean && !sums_.contains(let.value.get()) ? mean->left : let.value;
    const auto found = sums_.find(sum_expr.get());
    if (found == sums_.end()) return expr;
    Chunks& chunks = *found->second;
    const ir::Span span = sum_expr.span();
    const ir::Expr made = make_chunks(chunks.mean.sum);
    const ir::Annotation scalar = annotation("vectorize", "false");
    const ir::Expr total =
        loop({ir::Iterator{.data = column(chunks, 0, span)}}, sum_builder(chunks.mean.sum),
             arena_.keep(std::vector{scalar}), span,
             [&](ir::Expr b, ir::Expr, ir::Expr e) { return arena_.make<ir::Merge>(span, b, e); });
    const ir::Expr value =
        sum_expr.get() == let.value.get()
            ? total
            : arena_.add(ir::Binary{mean->op, total, mean->right}, let.value.span(), let.value.annotations());
    const ir::Expr bound = arena_.add(ir::Let{let.symbol, value, let.body}, expr.span(), expr.annotations());
    return arena_.make<ir::Let>(expr.span(), chunks.symbol, made, bound);
  }

  ir::Expr squares_of_chunks(const Chunks& chunks, ir::Expr expr) {
    const Sum& sum = chunks.mean.sum;
    const ir::Span span = expr.span();
    const ir::Expr length = arena_.make<ir::Length>(span, sum.vector);
    const ir::Expr mean = arena_.ident(chunks.mean.symbol, ir::Type::scalar(sum.kind), span);
    const ir::Annotation scalar = annotation("vectorize", "false");
    std::vector<ir::Iterator> columns;
    for (const std::uint32_t field : {0u, 1u, 2u}) columns.push_back({.data = column(chunks, field, span)});
    return loop(
        columns, sum_builder(sum), arena_.keep(std::vector{scalar}), span,
        [&](ir::Expr b, ir::Expr i, ir::Expr e) {
          const auto part = [&](std::uint32_t field) { return arena_.make<ir::GetField>(span, e, field); };
          const ir::Expr chunk = number(kChunk, span);
          const ir::Expr rest = binary(BinaryOp::kSub, length, binary(BinaryOp::kMul, i, chunk));
          const ir::Expr count = binary(BinaryOp::kMin, chunk, rest);
          const Binding size = bind("size", arena_.make<ir::Cast>(span, sum.kind, count));
          const ir::Expr own_mean = binary(BinaryOp::kDiv, part(0), use(size));
          const Binding distance = bind("distance", binary(BinaryOp::kSub, own_mean, mean));
          // Σ (x - m)² = Σ (x - o)² + d (2 Σ (x - o) + n d), where d = o - m
          const ir::Expr twice = binary(BinaryOp::kAdd, part(1), part(1));
          const ir::Expr moved =
              binary(BinaryOp::kAdd, twice, binary(BinaryOp::kMul, use(size), use(distance)));
          const ir::Expr added =
              binary(BinaryOp::kAdd, part(2), binary(BinaryOp::kMul, use(distance), moved));
          return join_lets(std::vector{size, distance}, arena_.make<ir::Merge>(span, b, added), arena_);
        });
  }

  PassContext& context_;
  ir::Arena& arena_;
  std::unordered_map<std::uint64_t, Chunks> means_;  // by symbol id
  std::unordered_map<const ir::ExprRecord*, Chunks*> sums_;
  std::unordered_map<const ir::ExprRecord*, const Chunks*> squares_;
};

}  // namespace

ir::Expr rewrite_moments(ir::Expr root, PassContext& context) {
  return MomentsRewriter(context).run(root);
}

}  // namespace weld::passes
