#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>

#include "ir/fragment.h"

namespace weld::bench::workloads {

template <class T>
concept ConstantOf = std::same_as<T, double> || std::same_as<T, std::int64_t> ||
                     std::same_as<T, std::int8_t> || std::same_as<T, std::uint8_t> || std::same_as<T, bool>;

/// A lazy array or scalar of an array library such as a NumPy shim: it knows ranks and element types, and
/// emits one fragment an operation, with a loop for each dimension and no knowledge of the operations around
/// it.
///
/// An array of two dimensions is a vector of rows. Operands of fewer dimensions are broadcast as in NumPy: a
/// vector is combined with every row of a matrix, a scalar with every element.
class Array {
 public:
  explicit Array(ir::Fragment fragment) : fragment_(std::move(fragment)) {}
  /// A constant.
  template <ConstantOf T>
  Array(T value)  // NOLINT(google-explicit-constructor): as a number in an expression of arrays
      : fragment_(ir::Fragment::make(
            {}, [value](ir::Arena& arena, std::span<const ir::Expr>) { return arena.literal(value); })) {}

  const ir::Fragment& fragment() const { return fragment_; }
  ir::Type type() const { return fragment_.type(); }

 private:
  ir::Fragment fragment_;
};

/// An operation on scalars: makes its expression of the operands' ones.
using ScalarOperation = std::function<ir::Expr(ir::Arena&, std::span<const ir::Expr>)>;

/// Any element-wise operation.
Array elementwise(std::initializer_list<Array> operands, const ScalarOperation& operation);

Array operator+(const Array& left, const Array& right);
Array operator-(const Array& left, const Array& right);
Array operator*(const Array& left, const Array& right);
Array operator/(const Array& left, const Array& right);
Array operator-(const Array& value);
Array operator<(const Array& left, const Array& right);
Array operator>(const Array& left, const Array& right);
Array operator>=(const Array& left, const Array& right);
Array operator==(const Array& left, const Array& right);
Array operator&(const Array& left, const Array& right);

Array abs(const Array& value);
Array asin(const Array& value);
Array cos(const Array& value);
Array erf(const Array& value);
Array exp(const Array& value);
Array log(const Array& value);
Array sin(const Array& value);
Array sqrt(const Array& value);
Array maximum(const Array& left, const Array& right);
Array minimum(const Array& left, const Array& right);
Array to_f64(const Array& value);
/// `numpy.where`: both sides are computed.
Array where(const Array& condition, const Array& on_true, const Array& on_false);

/// `left[i] - right[j]` at row i and column j.
Array outer_subtract(const Array& left, const Array& right);
/// Consecutive parts of a vector as rows of a matrix, without copies. `num_columns` elements each.
Array as_rows(const Array& vector, std::int64_t num_rows, std::int64_t num_columns);

/// Elements where the mask, of equal length, is true.
Array compress(const Array& vector, const Array& mask);
/// `vector[index]`.
Array take(const Array& vector, const Array& index);
/// The number of elements, as f64.
Array count(const Array& vector);

/// Of a vector.
Array sum(const Array& vector);
/// Of each row.
Array sum_rows(const Array& matrix);
/// Of each column of a matrix with that many.
Array sum_columns(const Array& matrix, std::int64_t num_columns);
/// Matrix times vector.
Array matrix_vector(const Array& matrix, const Array& vector);
/// Vector times matrix, of that many columns.
Array vector_matrix(const Array& vector, const Array& matrix, std::int64_t num_columns);
/// The product of a sparse matrix of ones, given by rows (`first` has the place of each row's first column in
/// `columns`, and one more), and a vector.
Array sparse_matrix_vector(const Array& first, const Array& columns, const Array& vector);

/// Several results of one program.
ir::Fragment bundle(std::initializer_list<Array> values);

// What other libraries of emitters are made of.

/// `for(vectors…, builder, |b, i, elements…| body)`.
ir::Expr emit_loop(ir::Arena& arena, std::span<const ir::Expr> vectors, ir::Expr builder,
                   const std::function<ir::Expr(ir::Expr builder, ir::Expr index,
                                                std::span<const ir::Expr> elements)>& body);
/// A vector of what `body(elements)`, of that type, makes of each element.
ir::Expr emit_map(ir::Arena& arena, std::span<const ir::Expr> vectors, ir::Type type,
                  const std::function<ir::Expr(std::span<const ir::Expr> elements)>& body);
ir::Expr emit_new(ir::Arena& arena, ir::Type builder);
ir::Expr emit_result(ir::Arena& arena, ir::Expr builder);
ir::Expr emit_merge(ir::Arena& arena, ir::Expr builder, ir::Expr value);
ir::Expr emit_struct(ir::Arena& arena, std::initializer_list<ir::Expr> members);

}  // namespace weld::bench::workloads
