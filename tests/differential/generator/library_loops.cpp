#include <algorithm>

#include "tests/differential/generator/library_generator.h"

namespace weld::differential {

using ir::BinaryOp;
using ir::Expr;
using ir::Iterator;
using ir::IteratorKind;
using ir::ScalarKind;
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

// --- Fragments that are loops.

void LibraryGenerator::map() {
  const Source over = source();
  const Type type = element_type();
  const Expr made = loop(over, new_builder(arena_.appender(type)), [&](Expr builder, Expr) {
    return arena_.make<ir::Merge>({}, builder, element(type, 2 + static_cast<int>(random_.below(10))));
  });
  name_column(arena_.make<ir::Result>({}, made), over.rows);
}

void LibraryGenerator::filter() {
  const Source over = source();
  const Type type = random_.chance(50) ? over.element : element_type();
  const Expr made = loop(over, new_builder(arena_.appender(type)), [&](Expr builder, Expr) {
    const Expr value = in_scope(type) ? *in_scope(type) : element(type, 4);
    const Expr kept = arena_.make<ir::Merge>({}, builder, value);
    return random_.chance(80) ? arena_.make<ir::If>({}, condition(6), kept, builder)
                              : arena_.make<ir::If>({}, condition(6), builder, kept);
  });
  name_column(arena_.make<ir::Result>({}, made), new_rows());
}

void LibraryGenerator::flatten() {
  const Source outer = source();
  const Type type = element_type();
  const Expr made = loop(outer, new_builder(arena_.appender(type)), [&](Expr builder, Expr) {
    Source inner = source();
    if (random_.chance(50)) {
      inner = {.iterators = {}, .element = kI64, .rows = 0, .from_start = false, .rows_walked = -1};
      const Expr count = binary(BinaryOp::kBitAnd, scalar_of(ScalarKind::kI64, 3), i64(3));
      inner.iterators.push_back(
          {.kind = IteratorKind::kRange, .start = i64(0), .end = count, .stride = i64(1)});
    }
    return loop(inner, builder, [&](Expr within, Expr) { return merges(within, 6); });
  });
  name_column(arena_.make<ir::Result>({}, made), new_rows());
}

void LibraryGenerator::reduction() {
  const Source over = source();
  const Type builder = arena_.merger(scalars(), merge_op());
  const Expr made = loop(over, new_builder(builder), [&](Expr b, Expr) { return merges(b, 8); });
  values_.push_back(name(arena_.make<ir::Result>({}, made)));
}

void LibraryGenerator::many_builders() {
  const Source over = source();
  std::vector<Type> members;
  do members.push_back(random_builder());
  while (members.size() < 2 || random_.chance(40));
  const Type builders = arena_.structure(std::span<const Type>(members));
  const Expr made = loop(over, new_builder(builders), [&](Expr b, Expr) { return merges(b, 12); });
  const Expr result = name(arena_.make<ir::Result>({}, made));
  values_.push_back(result);
  for (std::uint32_t i = 0; i < members.size(); ++i) {
    if (members[i].as<ir::AppenderType>() && random_.chance(60)) name_column(field(result, i), new_rows());
  }
}

void LibraryGenerator::keyed() {
  const Source over = source();
  const Type key = random_.chance(80) ? scalar() : key_type(1);
  const bool groups = random_.chance(30);
  const Type builder =
      groups ? arena_.groupmerger(key, element_type()) : arena_.dictmerger(key, scalars(), merge_op());
  const Expr made = loop(over, new_builder(builder), [&](Expr b, Expr) { return merges(b, 8); });
  const Expr dict = name(arena_.make<ir::Result>({}, made));
  values_.push_back(dict);
  if (random_.chance(50)) name_column(arena_.make<ir::ToVec>({}, dict), new_rows());
}

void LibraryGenerator::scatter() {
  const Source over = source();
  const Type builder = arena_.vecmerger(Type::scalar(numeric_kind()), merge_op());
  const Expr made = loop(over, new_builder(builder), [&](Expr b, Expr) { return merges(b, 8); });
  name_column(arena_.make<ir::Result>({}, made), new_rows());
}

// Over the four lanes that the author wrote, and the rest of the rows.
void LibraryGenerator::in_lanes() {
  const auto column = column_where([](const Column& candidate) {
    return candidate.vector.type().as<ir::VecType>()->element.as<ir::ScalarType>() != nullptr;
  });
  if (!column) return;
  const Type element = column->vector.type().as<ir::VecType>()->element;
  if (ir::element_kind(element) == ScalarKind::kBool) return;
  const Type builder = random_.chance(50) ? arena_.appender(element) : arena_.merger(element, merge_op());
  const MergeOp op = builder.as<ir::MergerType>() ? builder.as<ir::MergerType>()->op : MergeOp::kMin;
  const auto walked = [&](IteratorKind kind, Expr into) {
    Source over{.iterators = {}, .element = {}, .rows = 0, .from_start = false, .rows_walked = -1};
    over.iterators.push_back({.kind = kind, .data = column->vector});
    over.element = kind == IteratorKind::kSimd ? arena_.simd(ir::element_kind(element)) : element;
    return loop(over, into, [&](Expr b, Expr value) {
      return arena_.make<ir::Merge>({}, b, summand(binary(BinaryOp::kMul, value, value), op));
    });
  };
  const Expr lanes = walked(IteratorKind::kSimd, new_builder(builder));
  const Expr made = arena_.make<ir::Result>({}, walked(IteratorKind::kFringe, lanes));
  if (builder.as<ir::AppenderType>()) {
    name_column(made, column->rows);
  } else {
    values_.push_back(name(made));
  }
}

// Nested reductions: a matrix of rows of eight by a vector of eight, or all pairs.
void LibraryGenerator::matrix() {
  const ScalarKind kind = random_.chance(70) ? ScalarKind::kF64 : numeric_kind();
  const Type type = Type::scalar(kind);
  const Type total = arena_.merger(type, random_.chance(80) ? ir::MergeOp::kAdd : merge_op());
  const Source outer = source();
  const Expr made = loop(outer, new_builder(arena_.appender(type)), [&](Expr builder, Expr) {
    const Expr sum = inner_reduction(kind, 8);
    return arena_.make<ir::Merge>({}, builder, random_.chance(50) ? sum : element(type, 4));
  });
  const Expr column = arena_.make<ir::Result>({}, made);
  if (random_.chance(50)) {
    name_column(column, outer.rows);
    return;
  }
  const auto cells = column_where([&](const Column& candidate) {
    return candidate.vector.type().as<ir::VecType>()->element.as<ir::ScalarType>() != nullptr;
  });
  if (!cells) return;
  // Row r is cells [3r, 3r + 3), by three cells from the start.
  const Expr rows = binary(BinaryOp::kDiv, length(cells->vector), i64(3));
  const Type cell = cells->vector.type().as<ir::VecType>()->element;
  Source over{.iterators = {}, .element = kI64, .rows = new_rows(), .from_start = true, .rows_walked = -1};
  over.iterators.push_back({.kind = IteratorKind::kRange, .start = i64(0), .end = rows, .stride = i64(1)});
  const Expr product = loop(over, new_builder(arena_.appender(type)), [&](Expr builder, Expr row) {
    const Expr begin = binary(BinaryOp::kMul, row, i64(3));
    Source inner{.iterators = {}, .element = {}, .rows = 0, .from_start = true, .rows_walked = -1};
    inner.iterators.push_back(walk(cells->vector, begin, binary(BinaryOp::kAdd, begin, i64(3)), i64(1)));
    inner.iterators.push_back(walk(cells->vector, i64(0), i64(3), i64(1)));
    inner.element = arena_.structure({cell, cell});
    const Expr dot = loop(inner, new_builder(total), [&](Expr within, Expr pair) {
      Expr value = field(pair, 0);
      if (cell != kBool) value = binary(BinaryOp::kMul, value, field(pair, 1));
      if (cell != type) value = arena_.make<ir::Cast>({}, kind, value);
      return arena_.make<ir::Merge>({}, within, summand(value, total.as<ir::MergerType>()->op));
    });
    return arena_.make<ir::Merge>({}, builder, arena_.make<ir::Result>({}, dot));
  });
  name_column(arena_.make<ir::Result>({}, product), over.rows);
}

void LibraryGenerator::over_groups() {
  std::vector<Expr> groups;
  for (const Expr value : values_) {
    const auto* dict = value.type().as<ir::DictType>();
    if (dict && dict->value.as<ir::VecType>()) groups.push_back(value);
  }
  if (groups.empty()) return keyed();
  const Expr dict = random_.pick(groups);
  const Expr entries = arena_.make<ir::ToVec>({}, dict);
  const Type entry = entries.type().as<ir::VecType>()->element;
  const Type value = entry.as<ir::StructType>()->members[1].as<ir::VecType>()->element;
  const Type total = arena_.merger(scalars(), merge_op());
  Source over{.iterators = {}, .element = entry, .rows = new_rows(), .from_start = true, .rows_walked = -1};
  over.iterators.push_back({.data = entries});
  const Type pair =
      arena_.structure({entry.as<ir::StructType>()->members[0], total.as<ir::MergerType>()->value});
  const Expr made = loop(over, new_builder(arena_.appender(pair)), [&](Expr builder, Expr here) {
    Source group{.iterators = {}, .element = value, .rows = 0, .from_start = false, .rows_walked = -1};
    group.iterators.push_back({.data = field(here, 1)});
    const Expr sum = loop(group, new_builder(total), [&](Expr within, Expr) { return merges(within, 5); });
    return arena_.make<ir::Merge>({}, builder,
                                  make_struct({field(here, 0), arena_.make<ir::Result>({}, sum)}));
  });
  name_column(arena_.make<ir::Result>({}, made), over.rows);
}

// Some rounds of a loop over its own result.
void LibraryGenerator::iterated() {
  const auto column = any_column();
  if (!column) return;
  const Type element_here = column->vector.type().as<ir::VecType>()->element;
  const Expr initial = make_struct({column->vector, i64(0)});
  const auto rounds = static_cast<std::int64_t>(random_.below(3));
  const Expr update = lambda({initial.type()}, [&](auto& uses) {
    Source over{.iterators = {}, .element = element_here, .rows = 0, .from_start = true, .rows_walked = -1};
    over.iterators.push_back({.data = field(uses[0], 0)});
    const Expr next = loop(over, new_builder(arena_.appender(element_here)), [&](Expr b, Expr) {
      return arena_.make<ir::Merge>({}, b, element(element_here, 5));
    });
    const Expr counter = field(uses[0], 1);
    return make_struct(
        {make_struct({arena_.make<ir::Result>({}, next), binary(BinaryOp::kAdd, counter, i64(1))}),
         binary(BinaryOp::kLt, counter, i64(rounds))});
  });
  name_column(field(arena_.make<ir::Iterate>({}, initial, update), 0), column->rows);
}

}  // namespace weld::differential
