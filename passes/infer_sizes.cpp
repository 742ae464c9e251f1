#include "passes/infer_sizes.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

#include "ir/effects.h"
#include "ir/fields.h"
#include "passes/paths.h"

namespace weld::passes {
namespace {

using ir::BinaryOp;

constexpr std::int64_t kMaxKeys = std::int64_t{1} << 24;  // larger claims say nothing

const ir::Type kI64 = ir::Type::scalar(ir::ScalarKind::kI64);

bool uses_any(ir::Expr expr, std::span<const ir::Parameter> parameters) {
  while (const auto* field = expr.as<ir::GetField>()) expr = field->value;
  const auto* ident = expr.as<ir::Ident>();
  return ident && std::ranges::any_of(parameters, [&](const ir::Parameter& parameter) {
           return parameter.symbol == ident->symbol;
         });
}

// May be evaluated once more.
bool is_cheap(ir::Expr expr) {
  return !ir::may_fail_or_diverge(expr) && expr.record().num_nodes <= 6;
}

bool is_cheap(const ir::Iterator& it) {
  if (it.data && !is_path(it.data)) return false;
  for (const ir::Expr part : {it.start, it.end, it.stride, it.shape, it.strides}) {
    if (part && !is_cheap(part)) return false;
  }
  return true;
}

// How often a loop's function merges into its builder: directly, and in inner loops.
struct Merges {
  std::int64_t direct = 0;
  std::vector<const ir::For*> inner;
};

class SizeInference {
 public:
  explicit SizeInference(PassContext& context) : arena_(context.arena) {}

  ir::Expr run(ir::Expr root) {
    if (const auto* lambda = root.as<ir::Lambda>()) {
      for (const ir::Parameter& parameter : lambda->parameters)
        parameters_.emplace(parameter.symbol.id(), parameter.type);
    }
    return ir::rewrite_bottom_up(root, arena_, [&](ir::Expr expr) {
      const auto* result = expr.as<ir::Result>();
      const auto* loop = result ? result->builder.as<ir::For>() : nullptr;
      if (!loop || loop->lanes) return expr;
      const ir::Expr sized = with_size(result->builder);
      return sized ? arena_.add(ir::Result{sized}, expr.span(), expr.annotations()) : expr;
    });
  }

 private:
  // The loop with an argument for its new builder; null where there is nothing to say.
  ir::Expr with_size(ir::Expr expr) {
    std::vector<ir::Expr> loops{expr};  // one around the other, from the last one to run on
    while (loops.back().as<ir::For>()->builder.is<ir::For>())
      loops.push_back(loops.back().as<ir::For>()->builder);
    const auto* made = loops.back().as<ir::For>()->builder.as<ir::NewBuilder>();
    if (!made || made->argument) return {};
    ir::Expr size;
    if (made->builder.as<ir::AppenderType>()) {
      size = appended(loops);
    } else if (made->builder.as<ir::DictMergerType>() && loops.size() == 1) {
      size = num_keys(*loops.front().as<ir::For>());
    }
    if (!size) return {};
    const ir::Expr old = loops.back().as<ir::For>()->builder;
    ir::Expr builder = arena_.add(ir::NewBuilder{made->builder, size}, old.span(), old.annotations());
    for (auto it = loops.rbegin(); it != loops.rend(); ++it) {
      ir::For loop = *it->as<ir::For>();
      loop.builder = builder;
      builder = arena_.add(loop, it->span(), it->annotations());
    }
    return builder;
  }

  ir::Expr times(ir::Expr left, std::int64_t right) {
    return right == 1 ? left : binary(BinaryOp::kMul, left, arena_.literal(right, left.span()));
  }
  ir::Expr binary(BinaryOp op, ir::Expr left, ir::Expr right) {
    return arena_.make<ir::Binary>(left.span(), op, left, right);
  }

  // How many iterations a loop has, from what is at hand before it; null where that may fail.
  ir::Expr iterations(const ir::For& loop) {
    for (const ir::Iterator& it : loop.iterators) {
      if (it.kind == ir::IteratorKind::kScalar && !it.start && is_path(it.data))
        return arena_.make<ir::Length>(it.data.span(), it.data);
      const auto* stride = it.stride.as<ir::Literal>();
      const bool counts = it.kind == ir::IteratorKind::kScalar || it.kind == ir::IteratorKind::kRange;
      if (!counts || !stride || stride->value.as<std::int64_t>() <= 0) continue;
      if (!is_cheap(it.start) || !is_cheap(it.end)) continue;
      const auto* start = it.start.as<ir::Literal>();
      const bool from_start = start && start->value.bits == 0;
      const ir::Expr end = ir::clone_fresh(it.end, arena_);
      const ir::Expr distance =
          from_start ? end : binary(BinaryOp::kSub, end, ir::clone_fresh(it.start, arena_));
      if (stride->value.as<std::int64_t>() == 1) return distance;
      return binary(BinaryOp::kDiv, distance, it.stride);  // near enough
    }
    return {};
  }

  // What loops append together, if that is known and they do not see it themselves; null otherwise.
  ir::Expr appended(const std::vector<ir::Expr>& loops) {
    ir::Expr total;
    bool seen = loops.size() == 1;
    for (auto it = loops.rbegin(); it != loops.rend(); ++it) {
      const auto& loop = *it->as<ir::For>();
      const std::optional<Merges> merges = count_merges(loop);
      if (!merges) return {};
      const ir::Expr count = iterations(loop);
      if (!count) return {};
      ir::Expr size = merges->direct > 0 ? times(count, merges->direct) : ir::Expr();
      for (const ir::For* inner : merges->inner) {
        seen = false;
        const ir::Expr inside = appended_inside(loop, *inner, count, it->span());
        if (!inside) return {};
        size = size ? binary(BinaryOp::kAdd, size, inside) : inside;
      }
      if (size) total = total ? binary(BinaryOp::kAdd, total, size) : size;
    }
    return seen ? ir::Expr() : total;
  }

  // What an inner loop appends in all iterations of the outer one.
  ir::Expr appended_inside(const ir::For& loop, const ir::For& inner, ir::Expr count, ir::Span span) {
    const auto& outside = *loop.function.as<ir::Lambda>();
    const std::optional<Merges> merges = count_merges(inner);
    if (!merges || !merges->inner.empty() || merges->direct == 0) return {};
    const ir::Expr length = iterations(inner);
    if (length && is_known_outside(length, outside))
      return times(binary(BinaryOp::kMul, count, length), merges->direct);
    if (!std::ranges::all_of(loop.iterators, [](const ir::Iterator& it) { return is_cheap(it); })) return {};
    for (const ir::Iterator& it : inner.iterators) {
      if (it.kind != ir::IteratorKind::kScalar || it.start || !is_path(it.data)) continue;
      if (!uses_any(it.data, std::span(outside.parameters).subspan(2))) continue;
      return times(sum_of_lengths(loop, it.data, span), merges->direct);
    }
    return {};
  }

  // Whether an expression without functions uses nothing that the function binds.
  static bool is_known_outside(ir::Expr expr, const ir::Lambda& function) {
    std::unordered_map<std::uint64_t, bool> used;
    for (const ir::Parameter& free : ir::free_symbols(expr)) used.emplace(free.symbol.id(), true);
    bool known = std::ranges::none_of(function.parameters, [&](const ir::Parameter& parameter) {
      return used.contains(parameter.symbol.id());
    });
    ir::for_each_node(function.body, [&](ir::Expr part) {
      const auto* let = part.as<ir::Let>();
      known = known && !(let && used.contains(let->symbol.id()));
      const auto* lambda = part.as<ir::Lambda>();
      for (std::size_t i = 0; lambda && i < lambda->parameters.size(); ++i)
        known = known && !used.contains(lambda->parameters[i].symbol.id());
    });
    return known;
  }

  // A loop over the vectors that a loop walks over, which adds their lengths: it reads none of their
  // elements.
  ir::Expr sum_of_lengths(const ir::For& loop, ir::Expr vector, ir::Span span) {
    const ir::Parameter element = loop.function.as<ir::Lambda>()->parameters[2];
    const ir::Type merger = arena_.merger(kI64, ir::MergeOp::kAdd);
    const std::vector<ir::Parameter> parameters{{arena_.fresh_symbol("sum"), merger},
                                                {arena_.fresh_symbol("i"), kI64},
                                                {arena_.fresh_symbol(element.symbol.name()), element.type}};
    const ir::Expr renamed = arena_.ident(parameters[2].symbol, element.type, span);
    const ir::Expr measured = ir::substitute(vector, {{element.symbol.id(), renamed}}, arena_);
    const ir::Expr body = arena_.make<ir::Merge>(span, arena_.ident(parameters[0].symbol, merger, span),
                                                 arena_.make<ir::Length>(span, measured));
    const ir::Expr function = arena_.make<ir::Lambda>(span, parameters, body);
    const ir::Expr builder = arena_.make<ir::NewBuilder>(span, merger, ir::Expr());
    const ir::For sum{loop.iterators, builder, function, {}};
    return ir::clone_fresh(arena_.make<ir::Result>(span, arena_.add(sum, span, {})), arena_);
  }

  // Nothing where it depends on data, or is of another form.
  static std::optional<Merges> count_merges(const ir::For& loop) {
    const auto& function = *loop.function.as<ir::Lambda>();
    Merges merges;
    ir::Expr expr = function.body;
    std::unordered_map<std::uint64_t, ir::Expr> named;
    for (int steps = 0; steps < 64; ++steps) {
      if (const auto* let = expr.as<ir::Let>()) {
        if (ir::contains_builder(let->value.type())) named.emplace(let->symbol.id(), let->value);
        expr = let->body;
      } else if (const auto* merge = expr.as<ir::Merge>()) {
        if (merge->value.type().as<ir::SimdType>()) return std::nullopt;
        ++merges.direct;
        expr = merge->builder;
      } else if (const auto* inner = expr.as<ir::For>()) {
        merges.inner.push_back(inner);
        expr = inner->builder;
      } else if (const auto* ident = expr.as<ir::Ident>()) {
        if (ident->symbol == function.parameters[0].symbol) return merges;
        const auto found = named.find(ident->symbol.id());
        if (found == named.end()) return std::nullopt;
        expr = found->second;
      } else {
        return std::nullopt;
      }
    }
    return std::nullopt;
  }

  // --- Dictionaries.

  ir::Expr num_keys(const ir::For& loop) {
    std::optional<std::int64_t> claimed;
    for (ir::Annotations said : {loop.builder.annotations(), loop.builder.type().annotations()})
      if (!claimed) claimed = ir::annotated_integer(said, "num_keys");
    if (!claimed) claimed = claimed_keys(loop);
    if (!claimed || *claimed <= 0 || *claimed > kMaxKeys) return {};
    // What is merged in inner loops is not counted, and a claim alone is not trusted.
    const ir::Expr count = iterations(loop);
    if (!count) return {};
    return binary(BinaryOp::kMin, count, arena_.literal(*claimed, count.span()));
  }

  // The most keys that all merges of the loop can have, by what the caller says of its vectors.
  std::optional<std::int64_t> claimed_keys(const ir::For& loop) {
    const auto& function = *loop.function.as<ir::Lambda>();
    std::optional<std::int64_t> most;
    bool known = true;
    ir::for_each_node(function.body, [&](ir::Expr expr) {
      if (expr.is<ir::For>()) known = false;
      const auto* merge = expr.as<ir::Merge>();
      if (!merge || !merge->builder.type().as<ir::DictMergerType>()) return;
      const auto* entry = merge->value.as<ir::MakeStruct>();
      const std::optional<std::int64_t> values =
          entry ? distinct_values(entry->members.front(), loop, 0) : std::nullopt;
      if (!values || (most && *most != *values)) known = false;
      most = values;
    });
    return known ? most : std::nullopt;
  }

  // How many values an expression can have in a loop, by what is said of the vectors that it walks over.
  std::optional<std::int64_t> distinct_values(ir::Expr expr, const ir::For& loop, int depth) {
    constexpr int kMaxDepth = 8;
    if (depth > kMaxDepth) return std::nullopt;
    if (expr.is<ir::Literal>()) return 1;
    if (const ir::Type vector = walked_column(expr, loop)) return distinct_elements(vector);
    if (const auto* cast = expr.as<ir::Cast>()) return distinct_values(cast->value, loop, depth + 1);
    if (const auto* unary = expr.as<ir::Unary>()) return distinct_values(unary->value, loop, depth + 1);
    if (const auto* binary = expr.as<ir::Binary>())
      return product(
          {distinct_values(binary->left, loop, depth + 1), distinct_values(binary->right, loop, depth + 1)});
    if (const auto* structure = expr.as<ir::MakeStruct>()) {
      std::vector<std::optional<std::int64_t>> parts;
      for (ir::Expr member : structure->members) parts.push_back(distinct_values(member, loop, depth + 1));
      return product(parts);
    }
    return std::nullopt;
  }

  static std::optional<std::int64_t> product(const std::vector<std::optional<std::int64_t>>& parts) {
    std::int64_t product = 1;
    for (const std::optional<std::int64_t>& part : parts) {
      if (!part || *part > kMaxKeys / product) return std::nullopt;
      product *= std::max<std::int64_t>(*part, 1);
    }
    return product;
  }

  // The type of the caller's vector whose element the expression is; null where it is none.
  ir::Type walked_column(ir::Expr expr, const ir::For& loop) const {
    const auto* field = expr.as<ir::GetField>();
    const auto* ident = (field ? field->value : expr).as<ir::Ident>();
    if (!ident || !(ident->symbol == loop.function.as<ir::Lambda>()->parameters[2].symbol)) return {};
    if ((loop.iterators.size() == 1) == (field != nullptr)) return {};
    const ir::Expr data = loop.iterators[field ? field->index : 0].data;
    const auto* vector = data.as<ir::Ident>();
    const auto found = vector ? parameters_.find(vector->symbol.id()) : parameters_.end();
    return found == parameters_.end() ? ir::Type() : found->second;
  }

  static std::optional<std::int64_t> distinct_elements(ir::Type vector) {
    const ir::Type element = vector.as<ir::VecType>()->element;
    std::optional<std::int64_t> fewest;
    for (ir::Annotations said : {vector.annotations(), element.annotations()}) {
      const auto distinct = ir::annotated_integer(said, "distinct");
      const auto least = ir::annotated_integer(said, "min");
      const auto most = ir::annotated_integer(said, "max");
      std::int64_t range;
      const auto* scalar = element.as<ir::ScalarType>();
      const bool counts = scalar && ir::is_integer(scalar->kind);
      if (distinct && *distinct > 0) fewest = std::min(*distinct, fewest.value_or(*distinct));
      if (counts && least && most && *most >= *least && !__builtin_sub_overflow(*most, *least, &range) &&
          range < kMaxKeys)
        fewest = std::min(range + 1, fewest.value_or(range + 1));
    }
    return fewest;
  }

  ir::Arena& arena_;
  std::unordered_map<std::uint64_t, ir::Type> parameters_;  // of the program, by symbol id
};

}  // namespace

ir::Expr infer_sizes(ir::Expr root, PassContext& context) {
  return SizeInference(context).run(root);
}

}  // namespace weld::passes
