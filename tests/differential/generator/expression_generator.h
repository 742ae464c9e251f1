#pragma once

#include <optional>
#include <vector>

#include "tests/differential/generator/program_writer.h"

namespace weld::differential {

/// Writes a program as one expression of every form, type, builder and iterator, nested at random.
class ExpressionGenerator : ProgramWriter {
 public:
  ExpressionGenerator(Random& random, ir::Arena& arena, Sums sums) : ProgramWriter(random, arena, sums) {}

  ir::Expr program();

 private:
  // --- Values of any type.
  Expr value(Type type, int budget);
  // Forms that give values of whatever type.
  Expr any_form(Type type, int budget);
  // An element of a vector; in range, mostly.
  Expr vector_element(Type type, int budget);
  Expr dict_element(Type type, int budget);
  Expr iterated(Type type, int budget);
  Expr condition(int budget);

  // --- Scalars.
  Expr scalar_value(ScalarKind kind, int budget);
  Expr foreign(int budget);
  Expr bool_value(int budget);
  Expr unary(ScalarKind kind, int budget);
  Expr arithmetic(Type type, ScalarKind kind, int budget);

  // --- Structs.
  Expr struct_value(Type type, const ir::StructType& structure, int budget);
  // A struct of builders that gives a struct of that type, if there is one.
  std::optional<Type> builders_for(Type type);

  // --- Vectors.
  Expr vector_value(Type element, int budget);
  Expr sorted(Type type, Type element, int budget);
  Expr dict_value(const ir::DictType& dict, int budget);
  Expr merged(Type type, int budget) { return built(arena_.merger(type, merge_op()), budget); }

  // --- Builders.
  Expr new_builder(Type type, int budget);
  // A value from a builder, or a struct of builders, that loops and merges fill.
  Expr built(Type type, int budget);
  Expr iterated_builder(Expr builder, int budget);
  Expr loop(Expr builder, int budget);
  Expr annotated_loop(Expr loop);
  // A vector by name, so that it can be walked over and measured, or any vector.
  Expr loop_data(int budget);
  void iterate_over(std::vector<Iterator>& iterators, int budget);
  void bound(Iterator& it, Expr stride);
  // All of a vector, forwards, backwards, or one element again and again.
  Iterator nd_iterator(Expr data);
  // The builder after some merges: the body of a loop, if `in_loop`.
  Expr filled(Expr builder, int budget, bool in_loop, std::optional<Expr> lanes);
  Expr merge_value(Type builder, int budget, const std::optional<Expr>& lanes);
  // Keys of integers come from a small range, mostly, so that they meet again.
  Expr key(Type type, int budget);

  // --- Simd values.
  Expr simd_value(ScalarKind kind, Expr lanes, int budget);

  static constexpr int kMaxLoopDepth = 3;
  static constexpr int kVecMergerLength = 8;

  int loop_depth_ = 0;
};

}  // namespace weld::differential
