#include <algorithm>

#include "tests/differential/generator/library_generator.h"

namespace weld::differential {

using ir::Expr;
using ir::Iterator;
using ir::IteratorKind;
using ir::Type;

Iterator LibraryGenerator::walk(Expr vector, Expr start, Expr end, Expr stride) {
  Iterator it{.kind = IteratorKind::kScalar, .data = vector};
  it.start = start;
  it.end = end;
  it.stride = stride;
  return it;
}

// One column or several of equal length, whole or in part; rarely of lengths that may differ.
LibraryGenerator::Source LibraryGenerator::source() {
  Source over{.iterators = {}, .element = {}, .rows = 0, .from_start = true, .rows_walked = 0};
  std::vector<Type> elements;
  if (columns_.empty() || random_.chance(5)) {
    const std::int64_t count = random_.chance(70) ? static_cast<std::int64_t>(random_.below(20)) : 100;
    over.iterators.push_back(
        {.kind = IteratorKind::kRange, .start = i64(0), .end = i64(count), .stride = i64(1)});
    over.element = kI64;
    over.rows = new_rows();
    over.rows_walked = -1;
    return over;
  }
  const Column first = *any_column();
  std::vector<Expr> vectors{first.vector};
  while (vectors.size() < 4 && random_.chance(35)) {
    const auto other = risks()
                           ? any_column()
                           : column_where([&](const Column& column) { return column.rows == first.rows; });
    vectors.push_back(other->vector);
  }
  over.rows = over.rows_walked = first.rows;
  Expr start;
  Expr end;
  Expr stride;
  if (random_.chance(12)) {
    // Bounds that hold for any length: all, from 0 in steps, or the part before a row.
    const Expr size = length(first.vector);
    start = i64(0);
    end = size;
    stride = i64(1);
    if (random_.chance(40)) {
      stride = i64(2 + static_cast<std::int64_t>(random_.below(2)));
      over.from_start = false;
      over.rows = new_rows();
    } else if (random_.chance(40)) {
      end = binary(BinaryOp::kMin, size, i64(static_cast<std::int64_t>(random_.below(80))));
      over.rows = new_rows();
    }
    if (risks()) start = leaf(kI64);
  }
  for (const Expr vector : vectors) {
    if (start && !random_.chance(5)) {
      over.iterators.push_back(walk(vector, start, end, stride));
    } else {
      over.iterators.push_back({.data = vector});
    }
  }
  if (!start && random_.chance(8)) {
    over.iterators.push_back(
        {.kind = IteratorKind::kRange, .start = i64(0), .end = length(first.vector), .stride = i64(1)});
  }
  for (const Iterator& it : over.iterators) elements.push_back(element_of(it));
  over.element = elements.size() == 1 ? elements[0] : arena_.structure(std::span<const Type>(elements));
  return over;
}

Expr LibraryGenerator::loop(const Source& over, Expr builder, const std::function<Expr(Expr, Expr)>& body) {
  const Expr row_before = row_here_;
  const int rows_before = rows_here_;
  ++loop_depth_;
  const Expr function = lambda({builder.type(), kI64, over.element}, [&](auto& uses) {
    row_here_ = over.from_start ? uses[1] : Expr();
    rows_here_ = over.rows_walked;
    const std::size_t before = scope_.size();
    // Structs from columns of structs, within the element of several iterators.
    const auto* structure = over.element.as<ir::StructType>();
    for (std::uint32_t i = 0; structure && i < structure->members.size(); ++i) {
      if (structure->members[i].as<ir::StructType>()) scope_.push_back(field(uses[2], i));
    }
    const Expr made = body(uses[0], uses[2]);
    scope_.resize(before);
    return made;
  });
  --loop_depth_;
  row_here_ = row_before;
  rows_here_ = rows_before;
  return annotated(arena_.make<ir::For>({}, over.iterators, builder, function, Expr()));
}

Expr LibraryGenerator::annotated(Expr loop) {
  std::vector<ir::Annotation> annotations;
  static constexpr std::string_view kBlocks[] = {"1", "2", "16", "63", "64", "65", "100"};
  if (random_.chance(8)) annotations = numbers({{"block", random_.pick(kBlocks)}});
  if (random_.chance(4)) annotations.push_back(word("vectorize", random_.chance(50) ? "true" : "false"));
  if (random_.chance(3)) annotations.push_back(numbers({{"tile_size", "4"}})[0]);
  if (random_.chance(3)) annotations.push_back(numbers({{"loopsize", "1000"}})[0]);
  if (random_.chance(3)) annotations.push_back(numbers({{"branch_selectivity", "0.01"}})[0]);
  return annotations.empty() ? loop : arena_.with_annotations(loop, annotations);
}

Type LibraryGenerator::random_builder() {
  const auto number = [&] { return Type::scalar(random_.chance(70) ? ScalarKind::kF64 : numeric_kind()); };
  switch (random_.below(7)) {
    case 0:
    case 1:
      return arena_.appender(element_type());
    case 2:
      return arena_.merger(scalars(), merge_op());
    case 3:
      return arena_.dictmerger(random_.chance(80) ? scalar() : key_type(1), scalars(), merge_op());
    case 4:
      return arena_.groupmerger(random_.chance(80) ? scalar() : key_type(1), element_type());
    case 5:
      return arena_.vecmerger(number(), merge_op());
    default:
      return arena_.merger(number(), merge_op());
  }
}

Expr LibraryGenerator::new_builder(Type builder) {
  if (const auto* structure = builder.as<ir::StructType>()) {
    std::vector<Expr> members;
    for (const Type member : structure->members) members.push_back(new_builder(member));
    return make_struct(members);
  }
  Expr argument;
  if (const auto* vecmerger = builder.as<ir::VecMergerType>()) {
    // Eight elements: of a literal, or a loop that makes as many.
    if (random_.chance(50)) {
      std::vector<Expr> elements;
      for (int i = 0; i < 8; ++i) elements.push_back(summand(leaf(vecmerger->element), vecmerger->op));
      argument = arena_.make<ir::MakeVector>({}, elements, vecmerger->element);
    } else {
      Source eight{.iterators = {}, .element = kI64, .rows = 0, .from_start = false, .rows_walked = -1};
      eight.iterators.push_back(
          {.kind = IteratorKind::kRange, .start = i64(0), .end = i64(8), .stride = i64(1)});
      const Type appender = arena_.appender(vecmerger->element);
      argument =
          arena_.make<ir::Result>({}, loop(eight, new_builder(appender), [&](Expr b, Expr) {
                                    const Expr value = element(vecmerger->element, 2);
                                    return arena_.make<ir::Merge>({}, b, summand(value, vecmerger->op));
                                  }));
    }
  } else if (random_.chance(15)) {
    if (const auto* merger = builder.as<ir::MergerType>()) {
      argument = summand(element(merger->value, 2), merger->op);
    } else if (builder.as<ir::AppenderType>()) {
      argument = columns_.empty() ? i64(10) : length(any_column()->vector);
    }
  }
  return arena_.make<ir::NewBuilder>({}, builder, argument);
}

Expr LibraryGenerator::merges(Expr builder, int budget) {
  if (budget > 3 && random_.chance(20)) {
    return let(element(element_type(), budget / 3), [&](Expr ident) {
      scope_.push_back(ident);
      const Expr body = merges(builder, budget * 2 / 3);
      scope_.pop_back();
      return body;
    });
  }
  if (budget > 3 && random_.chance(45)) {
    Expr on_true = merges(builder, budget / 2);
    Expr on_false = random_.chance(80) ? builder : merges(builder, budget / 2);
    if (random_.chance(15)) std::swap(on_true, on_false);
    const Expr branch = arena_.make<ir::If>({}, condition(budget / 2), on_true, on_false);
    if (!random_.chance(15)) return branch;
    const std::vector<ir::Annotation> annotations{word("predicate", random_.chance(50) ? "true" : "false")};
    return arena_.with_annotations(branch, annotations);
  }
  if (const auto* structure = builder.type().as<ir::StructType>()) {
    std::vector<Expr> members;
    const int share = budget / static_cast<int>(std::max<std::size_t>(1, structure->members.size())) + 2;
    for (std::uint32_t i = 0; i < structure->members.size(); ++i)
      members.push_back(merges(field(builder, i), share));
    return make_struct(members);
  }
  if (random_.chance(3)) return builder;
  const Expr merged = merge_into(builder, budget);
  return random_.chance(8) ? merge_into(merged, budget / 2) : merged;
}

Expr LibraryGenerator::merge_into(Expr builder, int budget) {
  const Type type = builder.type();
  const auto merge = [&](Expr value) { return arena_.make<ir::Merge>({}, builder, value); };
  // Integers from a small range, mostly, so that they meet again.
  const auto key = [&](Type of) {
    const Expr made = element(of, budget / 2);
    const auto* scalar = of.as<ir::ScalarType>();
    if (!scalar || !ir::is_integer(scalar->kind) || random_.chance(20)) return made;
    return binary(BinaryOp::kBitAnd, made, arena_.make<ir::Cast>({}, scalar->kind, i64(7)));
  };
  if (const auto* appender = type.as<ir::AppenderType>()) return merge(element(appender->element, budget));
  if (const auto* merger = type.as<ir::MergerType>())
    return merge(summand(element(merger->value, budget), merger->op));
  if (const auto* dict = type.as<ir::DictMergerType>())
    return merge(make_struct({key(dict->key), summand(element(dict->value, budget / 2), dict->op)}));
  if (const auto* group = type.as<ir::GroupMergerType>())
    return merge(make_struct({key(group->key), element(group->value, budget / 2)}));
  const auto* vecmerger = type.as<ir::VecMergerType>();
  const Expr index = scalar_of(ScalarKind::kI64, budget / 2);
  return merge(make_struct({risks() ? index : binary(BinaryOp::kBitAnd, index, i64(7)),
                            summand(element(vecmerger->element, budget / 2), vecmerger->op)}));
}

}  // namespace weld::differential
