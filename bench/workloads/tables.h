#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "bench/workloads/arrays.h"

namespace weld::bench::workloads {

// A lazy table library such as a pandas shim, over the columns of which tables consist: one fragment an
// operation, with what is known of the column types and nothing else.

/// `column.str.startswith(text)`.
Array starts_with(const Array& strings, std::string_view text);
/// `column.str.slice(0, length)`.
Array first_characters(const Array& strings, std::int64_t length);
/// `column == text`.
Array equals_text(const Array& strings, std::string_view text);
/// `column.mask(mask, text)`: strings where the mask is false, the text elsewhere.
Array replace_where(const Array& strings, const Array& mask, std::string_view text);

/// `vector.max()`.
Array max_of(const Array& vector);

/// A dictionary from each key, or struct of keys, to the sum of its values.
Array group_sum(std::initializer_list<Array> keys, const Array& values);
/// From each key to the struct of the sum of its values and their number (i64).
Array group_sum_and_count(std::initializer_list<Array> keys, const Array& values);
/// The entries of a dictionary: a vector of {key, value}.
Array entries(const Array& groups);
/// The distinct values, in the order in which they occur.
Array unique(const Array& column);

/// `groups.unstack()` of a dictionary whose keys are structs of two: the first parts of the keys in ascending
/// order, then for each of `columns`, values of the second part, a column of the groups' values, 0 where
/// there is no group.
ir::Fragment unstack(const Array& groups, std::initializer_list<std::int8_t> columns);

/// A dictionary from the values of a column that are different from each other to their rows.
Array index_of(const Array& column);
/// The row of each value in the index, or -1: what joining a table to another one by a key of it needs.
Array rows_in_index(const Array& index, const Array& column);

}  // namespace weld::bench::workloads
