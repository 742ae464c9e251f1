#include "passes/inline_zips.h"

#include <algorithm>
#include <vector>

#include "ir/fields.h"
#include "ir/typing.h"

namespace weld::passes {
namespace {

// The zip that an iterator walks over from end to end; null when it walks over anything else.
const ir::Zip* walked_zip(const ir::Iterator& iterator) {
  const bool whole = iterator.kind == ir::IteratorKind::kScalar && !iterator.start;
  return whole ? iterator.data.as<ir::Zip>() : nullptr;
}

// Replaces the iterator at `index` by one per vector of its zip.
ir::Expr split_iterator(ir::Expr expr, std::size_t index, ir::Arena& arena) {
  const auto& loop = *expr.as<ir::For>();
  const auto& lambda = *loop.function.as<ir::Lambda>();
  const ir::Zip& zip = *walked_zip(loop.iterators[index]);
  const std::size_t num_vectors = zip.vectors.size();
  const std::size_t num_before = loop.iterators.size();

  std::vector<ir::Iterator> iterators(loop.iterators.begin(), loop.iterators.end());
  const auto place = iterators.begin() + static_cast<std::ptrdiff_t>(index);
  std::vector<ir::Iterator> split;
  for (ir::Expr vector : zip.vectors) split.push_back({.data = vector});
  iterators.insert(iterators.erase(place), split.begin(), split.end());

  const ir::Parameter old_element = lambda.parameters[2];
  const ir::Symbol symbol = arena.fresh_symbol(old_element.symbol.name());
  const ir::Type type = ir::element_type(std::span<const ir::Iterator>(iterators), arena);
  const ir::Span span = expr.span();
  const auto element_of = [&](std::size_t iterator) {
    const ir::Expr element = arena.ident(symbol, type, span);
    return iterators.size() == 1
               ? element
               : arena.make<ir::GetField>(span, element, static_cast<std::uint32_t>(iterator));
  };
  std::vector<ir::Expr> zipped;
  for (std::size_t i = 0; i < num_vectors; ++i) zipped.push_back(element_of(index + i));
  std::vector<ir::Expr> elements;  // what the old iterators would have given
  for (std::size_t i = 0; i < num_before; ++i) {
    elements.push_back(i == index ? arena.make<ir::MakeStruct>(span, zipped)
                                  : element_of(i < index ? i : i + num_vectors - 1));
  }
  const ir::Expr element = num_before == 1 ? elements.front() : arena.make<ir::MakeStruct>(span, elements);

  const ir::Expr body = ir::rewrite_bottom_up(lambda.body, arena, [&](ir::Expr part) {
    const auto* ident = part.as<ir::Ident>();
    if (ident && ident->symbol == old_element.symbol) return element;
    const auto* field = part.as<ir::GetField>();
    const auto* structure = field ? field->value.as<ir::MakeStruct>() : nullptr;
    const bool is_ours =
        structure && (field->value == element || std::ranges::count(elements, field->value) > 0);
    return is_ours ? structure->members[field->index] : part;
  });
  const std::vector<ir::Parameter> parameters{lambda.parameters[0], lambda.parameters[1], {symbol, type}};
  const ir::Expr function = arena.make<ir::Lambda>(loop.function.span(), parameters, body);
  const ir::For split_loop{arena.keep(iterators), loop.builder, function};
  return arena.add(split_loop, span, expr.annotations());
}

ir::Expr inline_walked_zips(ir::Expr expr, ir::Arena& arena) {
  while (const auto* loop = expr.as<ir::For>()) {
    const auto found = std::ranges::find_if(loop->iterators,
                                            [](const ir::Iterator& it) { return walked_zip(it) != nullptr; });
    if (found == loop->iterators.end()) break;
    expr = split_iterator(expr, static_cast<std::size_t>(found - loop->iterators.begin()), arena);
  }
  return expr;
}

// `result(for(zip(a, b, …), appender, |b, i, e| merge(b, e)))`.
ir::Expr append_structs(ir::Expr expr, ir::Arena& arena) {
  const auto& zip = *expr.as<ir::Zip>();
  const ir::Span span = expr.span();
  std::vector<ir::Iterator> iterators;
  for (ir::Expr vector : zip.vectors) iterators.push_back({.data = vector});
  const ir::Type struct_type = expr.type().as<ir::VecType>()->element;
  const ir::Type element_type = ir::element_type(std::span<const ir::Iterator>(iterators), arena);
  const ir::Type builder_type = arena.appender(struct_type);

  const std::vector<ir::Parameter> parameters{
      {arena.fresh_symbol("b"), builder_type},
      {arena.fresh_symbol("i"), ir::Type::scalar(ir::ScalarKind::kI64)},
      {arena.fresh_symbol("e"), element_type}};
  ir::Expr element = arena.ident(parameters[2].symbol, element_type, span);
  if (iterators.size() == 1) element = arena.make<ir::MakeStruct>(span, std::vector{element});
  const ir::Expr merge =
      arena.make<ir::Merge>(span, arena.ident(parameters[0].symbol, builder_type, span), element);
  const ir::Expr builder = arena.make<ir::NewBuilder>(span, builder_type, ir::Expr());
  const ir::Expr function = arena.make<ir::Lambda>(span, parameters, merge);
  const ir::Expr loop = arena.make<ir::For>(span, iterators, builder, function);
  return arena.make<ir::Result>(span, loop);
}

}  // namespace

ir::Expr inline_zips(ir::Expr root, PassContext& context) {
  ir::Arena& arena = context.arena;
  root = ir::rewrite_bottom_up(root, arena, [&](ir::Expr expr) { return inline_walked_zips(expr, arena); });
  bool appended = false;
  return ir::rewrite_bottom_up(root, arena, [&](ir::Expr expr) {
    if (expr.is<ir::Zip>()) {
      appended = true;
      return append_structs(expr, arena);
    }
    const auto* loop = expr.as<ir::For>();
    if (!appended || !loop || !loop->lanes) return expr;
    // Both functions may have had one zip in common; its loops have symbols of their own.
    ir::For separate = *loop;
    separate.lanes = ir::clone_fresh(loop->lanes, arena);
    return arena.add(separate, expr.span(), expr.annotations());
  });
}

}  // namespace weld::passes
