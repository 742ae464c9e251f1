#include "bench/workloads/arrays.h"

#include <algorithm>
#include <array>
#include <vector>

#include "ir/arena.h"
#include "ir/error.h"

namespace weld::bench::workloads {
namespace {

using ir::Arena;
using ir::BinaryOp;
using ir::Expr;
using ir::Fragment;
using ir::MergeOp;
using ir::ScalarKind;
using ir::Type;
using ir::UnaryOp;

const Type kI64 = Type::scalar(ScalarKind::kI64);
const Type kF64 = Type::scalar(ScalarKind::kF64);

int rank(Type type) {
  int dimensions = 0;
  while (const auto* vector = type.as<ir::VecType>()) {
    ++dimensions;
    type = vector->element;
  }
  return dimensions;
}

Type element_type(Type vector) {
  const auto* vec = vector.as<ir::VecType>();
  ir::internal_check(vec != nullptr, "the operand is a vector");
  return vec->element;
}

Type array_type(Arena& arena, Type scalar, int dimensions) {
  return dimensions == 0 ? scalar : arena.vec(array_type(arena, scalar, dimensions - 1));
}

Type scalar_of(Type type) {
  while (const auto* vector = type.as<ir::VecType>()) type = vector->element;
  return type;
}

// The type that an operation on scalars of the operands' types has.
Type type_of(const ScalarOperation& operation, std::span<const Expr> operands) {
  Arena scratch;
  std::vector<Expr> scalars;
  for (const Expr operand : operands)
    scalars.push_back(scratch.ident(scratch.fresh_symbol("x"), scalar_of(operand.type())));
  return Type::scalar(operation(scratch, scalars).type().as<ir::ScalarType>()->kind);
}

// Loops over those operands that have most dimensions, again and again until all are scalars.
// `type` is that of an element of the result.
Expr emit_elementwise(Arena& arena, std::vector<Expr> operands, Type type, const ScalarOperation& operation) {
  int dimensions = 0;
  for (const Expr operand : operands) dimensions = std::max(dimensions, rank(operand.type()));
  if (dimensions == 0) return operation(arena, operands);
  std::vector<Expr> looped;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (rank(operands[i].type()) != dimensions) continue;
    looped.push_back(operands[i]);
    places.push_back(i);
  }
  return emit_map(arena, looped, array_type(arena, type, dimensions - 1),
                  [&](std::span<const Expr> elements) {
                    std::vector<Expr> inner = operands;
                    for (std::size_t i = 0; i < places.size(); ++i) inner[places[i]] = elements[i];
                    return emit_elementwise(arena, std::move(inner), type, operation);
                  });
}

Array elementwise_of(std::span<const Array> operands, const ScalarOperation& operation) {
  std::vector<Fragment> fragments;
  for (const Array& operand : operands) fragments.push_back(operand.fragment());
  return Array(Fragment::make(fragments, [&](Arena& arena, std::span<const Expr> exprs) {
    return emit_elementwise(arena, {exprs.begin(), exprs.end()}, type_of(operation, exprs), operation);
  }));
}

Array unary(UnaryOp op, const Array& value) {
  return elementwise({value}, [op](Arena& arena, std::span<const Expr> operands) {
    return arena.make<ir::Unary>({}, op, operands[0]);
  });
}

Array binary(BinaryOp op, const Array& left, const Array& right) {
  return elementwise({left, right}, [op](Arena& arena, std::span<const Expr> operands) {
    return arena.make<ir::Binary>({}, op, operands[0], operands[1]);
  });
}

Expr emit_binary(Arena& arena, BinaryOp op, Expr left, Expr right) {
  return arena.make<ir::Binary>({}, op, left, right);
}

Expr emit_sum(Arena& arena, Expr vector) {
  const Expr builder = emit_new(arena, arena.merger(element_type(vector.type()), MergeOp::kAdd));
  return emit_result(arena, emit_loop(arena, std::array{vector}, builder,
                                      [&](Expr b, Expr /*i*/, std::span<const Expr> elements) {
                                        return emit_merge(arena, b, elements[0]);
                                      }));
}

using LoopBody = std::function<Expr(Expr builder, Expr index, Expr element)>;

Expr emit_for(Arena& arena, const std::vector<ir::Iterator>& iterators, Type element, Expr builder,
              const LoopBody& body) {
  const std::vector<ir::Parameter> parameters = {{arena.fresh_symbol("b"), builder.type()},
                                                 {arena.fresh_symbol("i"), kI64},
                                                 {arena.fresh_symbol("e"), element}};
  const Expr value =
      body(arena.ident(parameters[0].symbol, builder.type()), arena.ident(parameters[1].symbol, kI64),
           arena.ident(parameters[2].symbol, element));
  return arena.make<ir::For>({}, iterators, builder, arena.make<ir::Lambda>({}, parameters, value));
}

// A vector of what `body` makes of 0, 1, … below `end`.
Expr emit_map_range(Arena& arena, Expr end, Type type, const std::function<Expr(Expr)>& body) {
  const std::vector<ir::Iterator> iterators = {{.kind = ir::IteratorKind::kRange,
                                                .start = arena.literal(std::int64_t{0}),
                                                .end = end,
                                                .stride = arena.literal(std::int64_t{1})}};
  return emit_result(arena,
                     emit_for(arena, iterators, kI64, emit_new(arena, arena.appender(type)),
                              [&](Expr b, Expr /*i*/, Expr e) { return emit_merge(arena, b, body(e)); }));
}

// `num_columns` zeros to add to.
Expr emit_zeros_builder(Arena& arena, std::int64_t num_columns) {
  const Expr zeros =
      emit_map_range(arena, arena.literal(num_columns), kF64, [&](Expr) { return arena.literal(0.0); });
  return arena.make<ir::NewBuilder>({}, arena.vecmerger(kF64, MergeOp::kAdd), zeros);
}

// Adds each element of `vectors`' rows, as `value` makes it, to its column.
Expr emit_column_sums(Arena& arena, std::span<const Expr> vectors, std::int64_t num_columns,
                      const std::function<Expr(Expr element, std::span<const Expr> outer)>& value) {
  const Expr sums = emit_loop(
      arena, vectors, emit_zeros_builder(arena, num_columns),
      [&](Expr b, Expr /*i*/, std::span<const Expr> outer) {
        return emit_loop(arena, outer.first(1), b, [&](Expr c, Expr j, std::span<const Expr> elements) {
          return emit_merge(arena, c, emit_struct(arena, {j, value(elements[0], outer)}));
        });
      });
  return emit_result(arena, sums);
}

}  // namespace

Expr emit_new(Arena& arena, Type builder) {
  return arena.make<ir::NewBuilder>({}, builder, Expr());
}
Expr emit_result(Arena& arena, Expr builder) {
  return arena.make<ir::Result>({}, builder);
}
Expr emit_merge(Arena& arena, Expr builder, Expr value) {
  return arena.make<ir::Merge>({}, builder, value);
}
Expr emit_struct(Arena& arena, std::initializer_list<Expr> members) {
  return arena.make<ir::MakeStruct>({}, std::vector<Expr>(members));
}

Expr emit_loop(Arena& arena, std::span<const Expr> vectors, Expr builder,
               const std::function<Expr(Expr, Expr, std::span<const Expr>)>& body) {
  std::vector<ir::Iterator> iterators;
  std::vector<Type> types;
  for (const Expr vector : vectors) {
    iterators.push_back({.data = vector});
    types.push_back(element_type(vector.type()));
  }
  const bool is_zip = types.size() > 1;
  const Type element = is_zip ? arena.structure(types) : types[0];
  return emit_for(arena, iterators, element, builder, [&](Expr b, Expr i, Expr e) {
    std::vector<Expr> elements;
    for (std::uint32_t k = 0; k < types.size(); ++k)
      elements.push_back(is_zip ? arena.make<ir::GetField>({}, e, k) : e);
    return body(b, i, elements);
  });
}

Expr emit_map(Arena& arena, std::span<const Expr> vectors, Type type,
              const std::function<Expr(std::span<const Expr>)>& body) {
  return emit_result(arena, emit_loop(arena, vectors, emit_new(arena, arena.appender(type)),
                                      [&](Expr b, Expr /*i*/, std::span<const Expr> elements) {
                                        return emit_merge(arena, b, body(elements));
                                      }));
}

Array elementwise(std::initializer_list<Array> operands, const ScalarOperation& operation) {
  return elementwise_of(std::span(operands.begin(), operands.size()), operation);
}

Array operator+(const Array& left, const Array& right) {
  return binary(BinaryOp::kAdd, left, right);
}
Array operator-(const Array& left, const Array& right) {
  return binary(BinaryOp::kSub, left, right);
}
Array operator*(const Array& left, const Array& right) {
  return binary(BinaryOp::kMul, left, right);
}
Array operator/(const Array& left, const Array& right) {
  return binary(BinaryOp::kDiv, left, right);
}
Array operator-(const Array& value) {
  return unary(UnaryOp::kNeg, value);
}
Array operator<(const Array& left, const Array& right) {
  return binary(BinaryOp::kLt, left, right);
}
Array operator>(const Array& left, const Array& right) {
  return binary(BinaryOp::kGt, left, right);
}
Array operator>=(const Array& left, const Array& right) {
  return binary(BinaryOp::kGe, left, right);
}
Array operator==(const Array& left, const Array& right) {
  return binary(BinaryOp::kEq, left, right);
}
Array operator&(const Array& left, const Array& right) {
  return binary(BinaryOp::kBitAnd, left, right);
}

Array abs(const Array& value) {
  return unary(UnaryOp::kAbs, value);
}
Array asin(const Array& value) {
  return unary(UnaryOp::kAsin, value);
}
Array cos(const Array& value) {
  return unary(UnaryOp::kCos, value);
}
Array erf(const Array& value) {
  return unary(UnaryOp::kErf, value);
}
Array exp(const Array& value) {
  return unary(UnaryOp::kExp, value);
}
Array log(const Array& value) {
  return unary(UnaryOp::kLog, value);
}
Array sin(const Array& value) {
  return unary(UnaryOp::kSin, value);
}
Array sqrt(const Array& value) {
  return unary(UnaryOp::kSqrt, value);
}
Array maximum(const Array& left, const Array& right) {
  return binary(BinaryOp::kMax, left, right);
}
Array minimum(const Array& left, const Array& right) {
  return binary(BinaryOp::kMin, left, right);
}
Array to_f64(const Array& value) {
  return elementwise({value}, [](Arena& arena, std::span<const Expr> operands) {
    return arena.make<ir::Cast>({}, ScalarKind::kF64, operands[0]);
  });
}
Array where(const Array& condition, const Array& on_true, const Array& on_false) {
  return elementwise({condition, on_true, on_false}, [](Arena& arena, std::span<const Expr> operands) {
    return arena.make<ir::Select>({}, operands[0], operands[1], operands[2]);
  });
}

Array outer_subtract(const Array& left, const Array& right) {
  return Array(
      Fragment::make({left.fragment(), right.fragment()}, [](Arena& arena, std::span<const Expr> operands) {
        const Type row = operands[1].type();
        return emit_map(arena, operands.first(1), row, [&](std::span<const Expr> outer) {
          return emit_map(arena, operands.subspan(1), element_type(row), [&](std::span<const Expr> inner) {
            return emit_binary(arena, BinaryOp::kSub, outer[0], inner[0]);
          });
        });
      }));
}

Array as_rows(const Array& vector, std::int64_t num_rows, std::int64_t num_columns) {
  return Array(Fragment::make({vector.fragment()}, [&](Arena& arena, std::span<const Expr> operands) {
    return emit_map_range(arena, arena.literal(num_rows), operands[0].type(), [&](Expr row) {
      const Expr first = emit_binary(arena, BinaryOp::kMul, row, arena.literal(num_columns));
      return arena.make<ir::Slice>({}, operands[0], first, arena.literal(num_columns));
    });
  }));
}

Array compress(const Array& vector, const Array& mask) {
  return Array(Fragment::make({vector.fragment(), mask.fragment()}, [](Arena& arena,
                                                                       std::span<const Expr> operands) {
    const Expr builder = emit_new(arena, arena.appender(element_type(operands[0].type())));
    return emit_result(
        arena, emit_loop(arena, operands, builder, [&](Expr b, Expr /*i*/, std::span<const Expr> elements) {
          return arena.make<ir::If>({}, elements[1], emit_merge(arena, b, elements[0]), b);
        }));
  }));
}

Array take(const Array& vector, const Array& index) {
  return Array(
      Fragment::make({vector.fragment(), index.fragment()}, [](Arena& arena, std::span<const Expr> operands) {
        return emit_map(arena, operands.subspan(1), element_type(operands[0].type()),
                        [&](std::span<const Expr> elements) {
                          return arena.make<ir::Lookup>({}, operands[0], elements[0]);
                        });
      }));
}

Array count(const Array& vector) {
  return Array(Fragment::make({vector.fragment()}, [](Arena& arena, std::span<const Expr> operands) {
    return arena.make<ir::Cast>({}, ScalarKind::kF64, arena.make<ir::Length>({}, operands[0]));
  }));
}

Array sum(const Array& vector) {
  return Array(Fragment::make({vector.fragment()}, [](Arena& arena, std::span<const Expr> operands) {
    return emit_sum(arena, operands[0]);
  }));
}

Array sum_rows(const Array& matrix) {
  return Array(Fragment::make({matrix.fragment()}, [](Arena& arena, std::span<const Expr> operands) {
    return emit_map(arena, operands, scalar_of(operands[0].type()),
                    [&](std::span<const Expr> rows) { return emit_sum(arena, rows[0]); });
  }));
}

Array sum_columns(const Array& matrix, std::int64_t num_columns) {
  return Array(Fragment::make({matrix.fragment()}, [&](Arena& arena, std::span<const Expr> operands) {
    return emit_column_sums(arena, operands, num_columns,
                            [](Expr element, std::span<const Expr>) { return element; });
  }));
}

Array matrix_vector(const Array& matrix, const Array& vector) {
  return Array(Fragment::make(
      {matrix.fragment(), vector.fragment()}, [](Arena& arena, std::span<const Expr> operands) {
        const Type element = scalar_of(operands[0].type());
        return emit_map(arena, operands.first(1), element, [&](std::span<const Expr> rows) {
          const Expr builder = emit_new(arena, arena.merger(element, MergeOp::kAdd));
          return emit_result(
              arena, emit_loop(arena, std::array{rows[0], operands[1]}, builder,
                               [&](Expr b, Expr /*i*/, std::span<const Expr> elements) {
                                 return emit_merge(
                                     arena, b, emit_binary(arena, BinaryOp::kMul, elements[0], elements[1]));
                               }));
        });
      }));
}

Array vector_matrix(const Array& vector, const Array& matrix, std::int64_t num_columns) {
  return Array(Fragment::make(
      {matrix.fragment(), vector.fragment()}, [&](Arena& arena, std::span<const Expr> operands) {
        return emit_column_sums(arena, operands, num_columns, [&](Expr element, std::span<const Expr> outer) {
          return emit_binary(arena, BinaryOp::kMul, element, outer[1]);
        });
      }));
}

Array sparse_matrix_vector(const Array& first, const Array& columns, const Array& vector) {
  return Array(Fragment::make(
      {first.fragment(), columns.fragment(), vector.fragment()},
      [](Arena& arena, std::span<const Expr> operands) {
        const Expr one = arena.literal(std::int64_t{1});
        const Expr num_rows =
            emit_binary(arena, BinaryOp::kSub, arena.make<ir::Length>({}, operands[0]), one);
        const Type element = element_type(operands[2].type());
        return emit_map_range(arena, num_rows, element, [&](Expr row) {
          const Expr begin = arena.make<ir::Lookup>({}, operands[0], row);
          const Expr end =
              arena.make<ir::Lookup>({}, operands[0], emit_binary(arena, BinaryOp::kAdd, row, one));
          const std::vector<ir::Iterator> iterators = {
              {.data = operands[1], .start = begin, .end = end, .stride = one}};
          const Expr merger = emit_new(arena, arena.merger(element, MergeOp::kAdd));
          return emit_result(
              arena, emit_for(arena, iterators, element_type(operands[1].type()), merger,
                              [&](Expr b, Expr /*i*/, Expr column) {
                                const Expr place = arena.make<ir::Cast>({}, ScalarKind::kI64, column);
                                return emit_merge(arena, b, arena.make<ir::Lookup>({}, operands[2], place));
                              }));
        });
      }));
}

Fragment bundle(std::initializer_list<Array> values) {
  std::vector<Fragment> fragments;
  for (const Array& value : values) fragments.push_back(value.fragment());
  return Fragment::make(fragments, [](Arena& arena, std::span<const Expr> operands) {
    return arena.make<ir::MakeStruct>({}, std::vector<Expr>(operands.begin(), operands.end()));
  });
}

}  // namespace weld::bench::workloads
