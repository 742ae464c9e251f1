#include <utility>

#include "tests/differential/generator/library_generator.h"

namespace weld::differential {

using ir::Expr;
using ir::Iterator;
using ir::IteratorKind;
using ir::MergeOp;
using ir::ScalarKind;
using ir::Type;

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

// A reduction for each row, or pair of rows.
void LibraryGenerator::nested() {
  const ScalarKind kind = random_.chance(70) ? ScalarKind::kF64 : numeric_kind();
  const Type type = Type::scalar(kind);
  const Source outer = source();
  const Expr made = loop(outer, new_builder(arena_.appender(type)), [&](Expr builder, Expr) {
    const Expr sum = inner_reduction(kind, 8);
    return arena_.make<ir::Merge>({}, builder, random_.chance(50) ? sum : element(type, 4));
  });
  name_column(arena_.make<ir::Result>({}, made), outer.rows);
}

// A column as a matrix, row by row: times a vector, or times another matrix whose columns are its rows.
void LibraryGenerator::matrix() {
  const auto is_number = [](const Column& column) {
    const Type element = column.vector.type().as<ir::VecType>()->element;
    return element.as<ir::ScalarType>() && element != kBool;
  };
  const auto cells = column_where(is_number);
  if (!cells) return nested();
  const auto vector =
      column_where([&](const Column& column) { return column.vector.type() == cells->vector.type(); });
  const Type cell = cells->vector.type().as<ir::VecType>()->element;
  const MergeOp op = random_.chance(80) ? MergeOp::kAdd : merge_op();
  const bool by_vector = random_.chance(50);
  const Expr width = by_vector ? name(binary(BinaryOp::kMax, length(vector->vector), i64(1)))
                               : i64(1 + static_cast<std::int64_t>(random_.below(5)));
  const Expr num_rows = name(binary(BinaryOp::kDiv, length(cells->vector), width));
  const auto row_of = [&](Expr row) {
    return let(binary(BinaryOp::kMul, row, width),
               [&](Expr begin) { return make_struct({begin, binary(BinaryOp::kAdd, begin, width)}); });
  };
  const auto walk_row = [&](Expr bounds) {
    return walk(cells->vector, field(bounds, 0), field(bounds, 1), i64(1));
  };
  const auto product = [&](Iterator left, Iterator right) {
    Source inner{.iterators = {left, right},
                 .element = arena_.structure({cell, cell}),
                 .rows = 0,
                 .from_start = false,
                 .rows_walked = -1};
    const Expr dot = loop(inner, new_builder(arena_.merger(cell, op)), [&](Expr within, Expr pair) {
      const Expr value =
          binary(random_.chance(80) ? BinaryOp::kMul : BinaryOp::kSub, field(pair, 0), field(pair, 1));
      return arena_.make<ir::Merge>({}, within, summand(value, op));
    });
    return arena_.make<ir::Result>({}, dot);
  };
  const auto range = [&](Expr end) {
    Source over{.iterators = {}, .element = kI64, .rows = new_rows(), .from_start = true, .rows_walked = -1};
    over.iterators.push_back({.kind = IteratorKind::kRange, .start = i64(0), .end = end, .stride = i64(1)});
    return over;
  };
  const Source over = range(num_rows);
  const Expr made = loop(over, new_builder(arena_.appender(cell)), [&](Expr builder, Expr row) {
    return let(row_of(row), [&](Expr bounds) {
      if (by_vector)
        return arena_.make<ir::Merge>({}, builder, product(walk_row(bounds), {.data = vector->vector}));
      return loop(range(i64(3)), builder, [&](Expr within, Expr column) {
        return let(row_of(binary(BinaryOp::kRem, column, num_rows)), [&](Expr other) {
          return arena_.make<ir::Merge>({}, within, product(walk_row(bounds), walk_row(other)));
        });
      });
    });
  });
  name_column(arena_.make<ir::Result>({}, made), by_vector ? over.rows : new_rows());
}

void LibraryGenerator::over_groups() {
  std::vector<Expr> groups;
  for (const Expr value : values_) {
    const auto* dict = value.type().as<ir::DictType>();
    if (dict && dict->value.as<ir::VecType>()) groups.push_back(value);
  }
  if (groups.empty() || random_.chance(60)) {
    // Groups for this alone.
    const Source grouped = source();
    const Type builder = arena_.groupmerger(scalar(), random_.chance(70) ? scalar() : element_type());
    const Expr filled = loop(grouped, new_builder(builder), [&](Expr b, Expr) { return merges(b, 8); });
    const Expr made = arena_.make<ir::Result>({}, filled);
    return reduced_groups(random_.chance(50) ? name(made) : made);
  }
  reduced_groups(random_.pick(groups));
}

// Sums, counts and so on of each group, mostly of what depends on its elements alone.
void LibraryGenerator::reduced_groups(Expr dict) {
  const Expr entries = arena_.make<ir::ToVec>({}, dict);
  const Type entry = entries.type().as<ir::VecType>()->element;
  const Type value = entry.as<ir::StructType>()->members[1].as<ir::VecType>()->element;
  Source over{.iterators = {}, .element = entry, .rows = new_rows(), .from_start = true, .rows_walked = -1};
  over.iterators.push_back({.data = entries});
  std::vector<Type> totals;
  do totals.push_back(random_.chance(80) ? Type::scalar(numeric_kind()) : scalars());
  while (totals.size() < 3 && random_.chance(40));
  const bool by_elements = random_.chance(80);
  const auto total = [&](Type type, Expr values) {
    if (type == kI64 && random_.chance(40)) return length(values);
    Source group{.iterators = {}, .element = value, .rows = 0, .from_start = false, .rows_walked = -1};
    group.iterators.push_back({.data = values});
    const bool before = std::exchange(infallible_, infallible_ || by_elements);
    const Expr sum = loop(group, new_builder(arena_.merger(type, merge_op())), [&](Expr within, Expr x) {
      if (!by_elements) return merges(within, 5);
      std::vector<Expr> outside = std::exchange(scope_, {x});
      const Expr body = merges(within, 5);
      scope_ = std::move(outside);
      return body;
    });
    infallible_ = before;
    return arena_.make<ir::Result>({}, sum);
  };
  std::vector<Type> members{entry.as<ir::StructType>()->members[0]};
  members.insert(members.end(), totals.begin(), totals.end());
  const Type appender = arena_.appender(arena_.structure(std::span<const Type>(members)));
  const Expr made = loop(over, new_builder(appender), [&](Expr builder, Expr here) {
    std::vector<Expr> all{field(here, 0)};
    for (const Type type : totals) all.push_back(total(type, field(here, 1)));
    return arena_.make<ir::Merge>({}, builder, make_struct(all));
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

// The mean of expensive values, then the variance. That is computed in several ways that round differently,
// so it is rounded to what they agree on.
void LibraryGenerator::moments() {
  const auto column = column_where([](const Column& candidate) {
    return candidate.vector.type().as<ir::VecType>()->element.as<ir::ScalarType>() != nullptr;
  });
  if (!column) return;
  const Type element = column->vector.type().as<ir::VecType>()->element;
  static constexpr ir::UnaryOp kFunctions[] = {ir::UnaryOp::kErf, ir::UnaryOp::kSin, ir::UnaryOp::kSqrt};
  const ir::UnaryOp outer = random_.pick(kFunctions);
  const auto value_of = [&](Expr from) {
    const Expr number = element == kF64 ? from : arena_.make<ir::Cast>({}, ScalarKind::kF64, from);
    const Expr inner = arena_.make<ir::Unary>({}, ir::UnaryOp::kExp, number);
    const Expr value =
        arena_.make<ir::Unary>({}, outer, arena_.make<ir::Unary>({}, ir::UnaryOp::kLog1p, inner));
    const Expr whole =
        arena_.make<ir::Cast>({}, ScalarKind::kI16, binary(BinaryOp::kMul, value, literal(100.0)));
    return arena_.make<ir::Cast>({}, ScalarKind::kF64, whole);
  };
  const auto merge = [&](Expr builder, Expr value) { return arena_.make<ir::Merge>({}, builder, value); };
  const auto sum = [&](const std::function<Expr(Expr, Expr)>& merged) {
    Source each{.iterators = {}, .element = element, .rows = 0, .from_start = true, .rows_walked = -1};
    each.iterators.push_back({.data = column->vector});
    const Expr start = arena_.make<ir::NewBuilder>({}, arena_.merger(kF64, MergeOp::kAdd), Expr());
    return arena_.make<ir::Result>(
        {}, loop(each, start, [&](Expr builder, Expr from) { return merged(builder, value_of(from)); }));
  };
  const Expr count = arena_.make<ir::Cast>({}, ScalarKind::kF64, length(column->vector));
  const Expr mean = name(binary(BinaryOp::kDiv, sum(merge), count));
  const Expr squares = sum([&](Expr builder, Expr value) {
    return let(binary(BinaryOp::kSub, value, mean),
               [&](Expr deviation) { return merge(builder, binary(BinaryOp::kMul, deviation, deviation)); });
  });
  const Expr variance = binary(BinaryOp::kAdd, binary(BinaryOp::kDiv, squares, count), literal(1.0));
  values_.push_back(name(arena_.make<ir::Cast>({}, ScalarKind::kF32, variance)));
}

// The means of the columns of a matrix, and the squares about them, rounded likewise.
void LibraryGenerator::column_moments() {
  const auto cells = column_where([](const Column& candidate) {
    return candidate.vector.type().as<ir::VecType>()->element.as<ir::ScalarType>() != nullptr;
  });
  if (!cells) return;
  const auto over = [](Expr vector) {
    return Source{.iterators = {{.data = vector}},
                  .element = vector.type().as<ir::VecType>()->element,
                  .rows = 0,
                  .from_start = true,
                  .rows_walked = -1};
  };
  const auto result_of = [&](Expr made) { return arena_.make<ir::Result>({}, made); };
  const Type kRow = arena_.vec(kF64);
  const std::size_t width = 1 + random_.below(3);
  const auto row_of = [&](Expr from) {
    const Expr whole = arena_.make<ir::Cast>({}, ScalarKind::kI8, from);
    std::vector<Expr> members;
    for (std::size_t k = 0; k < width; ++k)
      members.push_back(binary(BinaryOp::kMul, arena_.make<ir::Cast>({}, ScalarKind::kF64, whole),
                               literal(static_cast<double>(k + 1))));
    return arena_.make<ir::MakeVector>({}, members, kF64);
  };
  const Expr rows =
      name(result_of(loop(over(cells->vector), new_builder(arena_.appender(kRow)),
                          [&](Expr b, Expr from) { return arena_.make<ir::Merge>({}, b, row_of(from)); })));
  const Expr zeros = name(arena_.make<ir::MakeVector>({}, std::vector<Expr>(width, literal(0.0)), kF64));
  // The sums of what `value_of` makes of the cells of a row, column by column.
  const auto sums_of = [&](const std::function<Source(Expr)>& cells_of,
                           const std::function<Expr(Expr)>& value_of) {
    const Expr start = arena_.make<ir::NewBuilder>({}, arena_.vecmerger(kF64, MergeOp::kAdd), zeros);
    return result_of(loop(over(rows), start, [&](Expr outer, Expr row) {
      const Source inner = cells_of(row);
      const Expr function = lambda({outer.type(), kI64, inner.element}, [&](auto& uses) {
        return arena_.make<ir::Merge>({}, uses[0], make_struct({uses[1], value_of(uses[2])}));
      });
      return arena_.make<ir::For>({}, inner.iterators, outer, function, Expr());
    }));
  };
  const Expr count = name(arena_.make<ir::Cast>({}, ScalarKind::kF64, length(rows)));
  const auto mapped = [&](Expr vector, Type element, const std::function<Expr(Expr)>& value_of) {
    return name(result_of(loop(over(vector), new_builder(arena_.appender(element)), [&](Expr b, Expr from) {
      return arena_.make<ir::Merge>({}, b, value_of(from));
    })));
  };
  const Expr sums = name(sums_of(over, [](Expr cell) { return cell; }));
  const Expr means = mapped(sums, kF64, [&](Expr sum) { return binary(BinaryOp::kDiv, sum, count); });
  const Expr squares = name(sums_of(
      [&](Expr row) {
        Source both = over(row);
        both.iterators.push_back({.data = means});
        both.element = arena_.structure({kF64, kF64});
        return both;
      },
      [&](Expr cell) {
        const Expr distance = binary(BinaryOp::kSub, field(cell, 0), field(cell, 1));
        return binary(BinaryOp::kMul, distance, distance);
      }));
  const Expr variances = mapped(squares, Type::scalar(ScalarKind::kF32), [&](Expr sum) {
    const Expr variance = binary(BinaryOp::kAdd, binary(BinaryOp::kDiv, sum, count), literal(1.0));
    return arena_.make<ir::Cast>({}, ScalarKind::kF32, variance);
  });
  columns_.push_back({variances, new_rows()});
}

}  // namespace weld::differential
