#pragma once

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "tests/differential/generator/program_writer.h"

namespace weld::differential {

/// Writes programs the way libraries do that emit a fragment an operation: a chain of lets over shared
/// columns, each a loop over one or several of them, used once, often or never.
class LibraryGenerator : ProgramWriter {
 public:
  LibraryGenerator(Random& random, ir::Arena& arena, Sums sums) : ProgramWriter(random, arena, sums) {}

  ir::Expr program();

 private:
  /// Vectors with the same `rows` are equally long.
  struct Column {
    Expr vector;
    int rows;
  };
  /// What a loop walks over.
  struct Source {
    std::vector<Iterator> iterators;
    Type element;
    int rows;         ///< of a vector with an element for each iteration
    bool from_start;  ///< whether iteration i is at row i
    int rows_walked;  ///< of the columns; -1 for others
  };

  // --- Fragments.
  void fragment();
  void map();
  void filter();
  void flatten();
  void reduction();
  void many_builders();
  void keyed();
  void scatter();
  void sorted();
  void sliced();
  void zipped();
  void chosen();
  void iterated();
  void nested();
  void matrix();
  void over_groups();
  void reduced_groups(Expr dict);
  void moments();
  void column_moments();
  void number();
  void again();
  void in_lanes();
  void unused();

  // --- Loops.
  Source source();
  Iterator walk(Expr vector, Expr start, Expr end, Expr stride);
  /// `body` gets the builder and the element.
  Expr loop(const Source& over, Expr builder, const std::function<Expr(Expr, Expr)>& body);
  Expr annotated(Expr loop);
  Expr new_builder(Type builder);
  /// The builder after merges under random conditions.
  Expr merges(Expr builder, int budget);
  Expr merge_into(Expr builder, int budget);
  Type random_builder();

  // --- Elements.
  Type element_type();
  Expr element(Type type, int budget);
  Expr scalar_of(ScalarKind kind, int budget);
  Expr condition(int budget);
  Expr leaf_of(ScalarKind kind);
  Expr looked_up(ScalarKind kind, int budget);
  Expr guarded_division(ScalarKind kind, int budget);
  Expr inner_reduction(ScalarKind kind, int budget);
  Expr checked(Expr value, int budget);

  // --- Names.
  Expr name(Expr value);
  void name_column(Expr value, int rows);
  std::optional<Column> any_column();
  std::optional<Column> column_where(const std::function<bool(const Column&)>& holds);
  int new_rows() { return num_rows_++; }

  std::vector<ir::Parameter> parameters_;
  std::vector<std::pair<ir::Symbol, Expr>> lets_;
  std::vector<Column> columns_;
  std::vector<Expr> values_;  // that are no columns
  int num_rows_ = 0;
  int loop_depth_ = 0;
  int rows_here_ = -1;  // of the columns that the innermost loop walks over row by row
  Expr row_here_;       // its index
};

}  // namespace weld::differential
