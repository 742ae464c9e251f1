#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "bench/tpch/result_table.h"
#include "bench/tpch/schema.h"

namespace weld::bench::tpch {

/// A day, as `YYYY-MM-DD`.
struct DateConstant {
  std::string_view date;
};
struct NumberConstant {
  std::int64_t value;
};
/// The code of a word in a column.
struct CodeConstant {
  std::string_view column;
  std::string_view word;
};
/// The number of words that a column can hold.
struct WordCount {
  std::string_view column;
};

/// What a parameter of a program stands for, with the validation parameters. One that has a column's name is
/// the column, and needs no entry.
struct ConstantParameter {
  std::string_view name;
  std::variant<DateConstant, NumberConstant, CodeConstant, WordCount> value;
};

/// The text of a column of words, by its codes.
struct WordField {
  std::string_view column;
};
/// units / 10^scale; dates and whole numbers have the scale 0.
struct ExactField {
  int scale = 0;
};
struct ApproximateField {};

/// What a field of a program's result is; its place is that of the result's column.
using ResultField = std::variant<WordField, ExactField, ApproximateField>;

/// A query as a program of the language. Its result is `vec[{…}]`, an element a row.
struct QueryProgram {
  int number;
  std::string_view text;
  std::vector<ConstantParameter> constants;
  std::vector<ResultField> fields;
};

/// The queries that run, by number.
std::span<const QueryProgram> query_programs();

/// Throws DataError when there is no such query, listing those that there are.
const QueryProgram& query_program(int number);

}  // namespace weld::bench::tpch
