#include "tests/differential/generator/library_generator.h"

#include <algorithm>

namespace weld::differential {

using ir::Expr;
using ir::ScalarKind;
using ir::Type;

Expr LibraryGenerator::program() {
  const int rows = new_rows();
  const std::size_t num_columns = 1 + random_.below(5);
  const auto parameter = [&](Type type) {
    parameters_.push_back({arena_.fresh_symbol("p"), annotated_parameter(type)});
    const Expr ident = arena_.ident(parameters_.back().symbol, parameters_.back().type);
    scope_.push_back(ident);
    return ident;
  };
  for (std::size_t i = 0; i < num_columns; ++i) {
    Type type = vec(element_type());
    if (random_.chance(8)) type = vec(vec(Type::scalar(ScalarKind::kI8)));
    columns_.push_back({parameter(type), rows});
  }
  while (random_.chance(40)) values_.push_back(parameter(scalar()));

  const std::size_t num_fragments = random_.chance(10) ? 12 + random_.below(12) : 1 + random_.below(9);
  for (std::size_t i = 0; i < num_fragments; ++i) fragment();

  // Some of what was made, the last more often.
  std::vector<Expr> made;
  for (const auto& [symbol, value] : lets_) made.push_back(arena_.ident(symbol, value.type()));
  std::vector<Expr> results;
  const std::size_t num_results = made.empty() ? 0 : 1 + random_.below(4);
  for (std::size_t i = 0; i < num_results; ++i) {
    results.push_back(random_.chance(50) ? made.back() : random_.pick(made));
  }
  if (results.empty()) results.push_back(scope_.front());
  Expr body = results.size() == 1 && random_.chance(60) ? results[0] : make_struct(results);
  for (std::size_t i = lets_.size(); i-- > 0;)
    body = arena_.make<ir::Let>({}, lets_[i].first, lets_[i].second, body);
  return arena_.make<ir::Lambda>({}, parameters_, body);
}

void LibraryGenerator::fragment() {
  const std::size_t choice = random_.below(100);
  if (choice < 24) return map();
  if (choice < 36) return filter();
  if (choice < 41) return flatten();
  if (choice < 53) return reduction();
  if (choice < 60) return many_builders();
  if (choice < 66) return keyed();
  if (choice < 69) return scatter();
  if (choice < 74) return sorted();
  if (choice < 77) return sliced();
  if (choice < 80) return zipped();
  if (choice < 83) return chosen();
  if (choice < 85) return iterated();
  if (choice < 87) return nested();
  if (choice < 89) return matrix();
  if (choice < 93) return over_groups();
  if (choice < 94) return random_.chance(50) ? moments() : column_moments();
  if (choice < 96) return again();
  if (choice < 97) return in_lanes();
  if (choice < 98) return unused();
  number();
}

// By a key, or by a comparator of keys that cannot fail; all of it or the first few.
void LibraryGenerator::sorted() {
  const auto column = any_column();
  if (!column) return;
  const Type type = column->vector.type().as<ir::VecType>()->element;
  const Expr row_before = std::exchange(row_here_, Expr());
  const bool before = std::exchange(infallible_, true);
  ++loop_depth_;
  const auto key_of = [&](Expr) { return element(random_.chance(80) ? scalar() : comparable_type(1), 3); };
  Expr function;
  if (random_.chance(60)) {
    function = lambda({type}, [&](auto& uses) { return key_of(uses[0]); });
  } else {
    ScalarKind kind = scalar_kind();
    while (ir::is_float(kind)) kind = scalar_kind();
    const Expr of_one = lambda({type}, [&](auto&) { return scalar_of(kind, 3); });
    const bool descends = random_.chance(50);
    function = lambda({type, type}, [&](auto& uses) {
      const Expr left = arena_.make<ir::Apply>({}, of_one, std::vector{uses[0]});
      const Expr right = arena_.make<ir::Apply>({}, ir::clone_fresh(of_one, arena_), std::vector{uses[1]});
      const auto order = [&](Expr a, Expr b) {
        const Expr greater = arena_.make<ir::If>({}, binary(descends ? BinaryOp::kLt : BinaryOp::kGt, a, b),
                                                 literal(std::int32_t{1}), literal(std::int32_t{0}));
        return arena_.make<ir::If>({}, binary(descends ? BinaryOp::kGt : BinaryOp::kLt, a, b),
                                   literal(std::int32_t{-1}), greater);
      };
      return let(left, [&](Expr a) { return let(right, [&](Expr b) { return order(a, b); }); });
    });
  }
  --loop_depth_;
  infallible_ = before;
  row_here_ = row_before;
  const Expr made = arena_.make<ir::Sort>({}, column->vector, function);
  if (random_.chance(50)) return name_column(made, column->rows);
  const bool first = random_.chance(85);
  const Expr all = first && random_.chance(50) ? made : name(made);
  const Expr start = first ? i64(0) : binary(BinaryOp::kMin, length(all), i64(2));
  const auto count = static_cast<std::int64_t>(random_.below(12));
  name_column(arena_.make<ir::Slice>({}, all, start, i64(count)), new_rows());
}

void LibraryGenerator::sliced() {
  const auto column = any_column();
  if (!column) return;
  const Expr start = risks() ? i64(5) : binary(BinaryOp::kMin, length(column->vector), i64(3));
  const Expr count = risks() ? leaf(kI64) : i64(static_cast<std::int64_t>(random_.below(90)));
  name_column(arena_.make<ir::Slice>({}, column->vector, random_.chance(40) ? i64(0) : start, count),
              new_rows());
}

void LibraryGenerator::zipped() {
  const auto first = any_column();
  if (!first) return;
  std::vector<Expr> vectors{first->vector};
  do {
    const auto other = column_where([&](const Column& column) { return column.rows == first->rows; });
    vectors.push_back(other->vector);
  } while (random_.chance(30));
  name_column(arena_.make<ir::Zip>({}, vectors), first->rows);
}

// One of two columns.
void LibraryGenerator::chosen() {
  const auto first = any_column();
  if (!first) return;
  const auto other = column_where([&](const Column& column) {
    return column.rows == first->rows && column.vector.type() == first->vector.type();
  });
  const bool lazy = random_.chance(60);
  const Expr holds = condition(4);
  name_column(lazy ? arena_.make<ir::If>({}, holds, first->vector, other->vector)
                   : arena_.make<ir::Select>({}, holds, first->vector, other->vector),
              first->rows);
}

void LibraryGenerator::number() {
  values_.push_back(name(element(element_type(), 8)));
}

// The same computation once more, as libraries write it that do not look for it.
void LibraryGenerator::again() {
  if (lets_.empty()) return map();
  const auto& [symbol, value] = random_.pick(lets_);
  const Expr copy = ir::clone_fresh(value, arena_);
  for (const Column& column : columns_) {
    const auto* ident = column.vector.as<ir::Ident>();
    if (ident && ident->symbol == symbol) {
      const int rows = column.rows;
      return name_column(copy, rows);
    }
  }
  values_.push_back(name(copy));
}

// Nobody's value, which may fail.
void LibraryGenerator::unused() {
  const Expr value = random_.chance(50) ? checked(literal(true), 4) : looked_up(ScalarKind::kI64, 4);
  lets_.emplace_back(arena_.fresh_symbol("x"), value);
}

Expr LibraryGenerator::name(Expr value) {
  lets_.emplace_back(arena_.fresh_symbol("x"), value);
  scope_.push_back(arena_.ident(lets_.back().first, value.type()));
  return scope_.back();
}

void LibraryGenerator::name_column(Expr value, int rows) {
  const Expr ident = name(value);
  columns_.push_back({ident, rows});
}

std::optional<LibraryGenerator::Column> LibraryGenerator::any_column() {
  return column_where([](const Column&) { return true; });
}

// The later ones more often: chains are longer than they are wide.
std::optional<LibraryGenerator::Column> LibraryGenerator::column_where(
    const std::function<bool(const Column&)>& holds) {
  std::vector<Column> found;
  for (const Column& column : columns_) {
    if (holds(column)) found.push_back(column);
  }
  if (found.empty()) return std::nullopt;
  const std::size_t least = random_.chance(50) ? found.size() / 2 : 0;
  return found[least + random_.below(found.size() - least)];
}

}  // namespace weld::differential
