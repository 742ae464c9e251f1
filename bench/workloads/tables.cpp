#include "bench/workloads/tables.h"

#include <array>
#include <string>
#include <vector>

namespace weld::bench::workloads {
namespace {

using ir::Arena;
using ir::BinaryOp;
using ir::Expr;
using ir::Fragment;
using ir::MergeOp;
using ir::ScalarKind;
using ir::Type;

const Type kI8 = Type::scalar(ScalarKind::kI8);
const Type kI64 = Type::scalar(ScalarKind::kI64);
const Type kBool = Type::scalar(ScalarKind::kBool);

Type element_type(Expr vector) {
  return vector.type().as<ir::VecType>()->element;
}

Expr emit_binary(Arena& arena, BinaryOp op, Expr left, Expr right) {
  return arena.make<ir::Binary>({}, op, left, right);
}
Expr emit_text(Arena& arena, const std::string& text) {
  return arena.make<ir::StringLiteral>({}, std::string_view(text));
}
Expr emit_field(Arena& arena, Expr value, std::uint32_t index) {
  return arena.make<ir::GetField>({}, value, index);
}
// The first bytes of a string, as many as there are.
Expr emit_first(Arena& arena, Expr string, std::int64_t length) {
  return arena.make<ir::Slice>({}, string, arena.literal(std::int64_t{0}), arena.literal(length));
}

// One fragment that maps each element of a column.
Array map_column(const Array& column, Type type, const std::function<Expr(Arena&, Expr)>& body) {
  return Array(Fragment::make({column.fragment()}, [&](Arena& arena, std::span<const Expr> operands) {
    return emit_map(arena, operands, type ? type : element_type(operands[0]),
                    [&](std::span<const Expr> elements) { return body(arena, elements[0]); });
  }));
}

// A dictionary of what `entry` makes of the keys and the values of each row.
Array group(std::initializer_list<Array> keys, const Array& values,
            const std::function<Expr(Arena&, Expr value)>& entry) {
  std::vector<Fragment> fragments;
  for (const Array& key : keys) fragments.push_back(key.fragment());
  fragments.push_back(values.fragment());
  return Array(Fragment::make(fragments, [&](Arena& arena, std::span<const Expr> operands) {
    std::vector<Type> key_types;
    for (const Expr key : operands.first(operands.size() - 1)) key_types.push_back(element_type(key));
    const Type key_type = key_types.size() == 1 ? key_types[0] : arena.structure(key_types);
    const Expr sample = arena.ident(arena.fresh_symbol("v"), element_type(operands.back()));
    const Expr builder =
        emit_new(arena, arena.dictmerger(key_type, entry(arena, sample).type(), MergeOp::kAdd));
    return emit_result(
        arena, emit_loop(arena, operands, builder, [&](Expr b, Expr /*i*/, std::span<const Expr> elements) {
          const std::vector<Expr> parts(elements.begin(), elements.end() - 1);
          const Expr key = parts.size() == 1 ? parts[0] : arena.make<ir::MakeStruct>({}, parts);
          return emit_merge(arena, b, emit_struct(arena, {key, entry(arena, elements.back())}));
        }));
  }));
}

}  // namespace

Array starts_with(const Array& strings, std::string_view text) {
  const std::string wanted(text);
  return map_column(strings, kBool, [&](Arena& arena, Expr string) {
    const Expr first = emit_first(arena, string, static_cast<std::int64_t>(wanted.size()));
    return emit_binary(arena, BinaryOp::kEq, first, emit_text(arena, wanted));
  });
}

Array first_characters(const Array& strings, std::int64_t length) {
  return map_column(strings, {},
                    [&](Arena& arena, Expr string) { return emit_first(arena, string, length); });
}

Array equals_text(const Array& strings, std::string_view text) {
  const std::string wanted(text);
  return map_column(strings, kBool, [&](Arena& arena, Expr string) {
    return emit_binary(arena, BinaryOp::kEq, string, emit_text(arena, wanted));
  });
}

Array replace_where(const Array& strings, const Array& mask, std::string_view text) {
  const std::string replacement(text);
  return Array(Fragment::make(
      {strings.fragment(), mask.fragment()}, [&](Arena& arena, std::span<const Expr> operands) {
        return emit_map(arena, operands, element_type(operands[0]), [&](std::span<const Expr> elements) {
          return arena.make<ir::If>({}, elements[1], emit_text(arena, replacement), elements[0]);
        });
      }));
}

Array max_of(const Array& vector) {
  return Array(Fragment::make({vector.fragment()}, [](Arena& arena, std::span<const Expr> operands) {
    const Expr builder = emit_new(arena, arena.merger(element_type(operands[0]), MergeOp::kMax));
    return emit_result(
        arena, emit_loop(arena, operands, builder, [&](Expr b, Expr /*i*/, std::span<const Expr> elements) {
          return emit_merge(arena, b, elements[0]);
        }));
  }));
}

Array group_sum(std::initializer_list<Array> keys, const Array& values) {
  return group(keys, values, [](Arena&, Expr value) { return value; });
}

Array group_sum_and_count(std::initializer_list<Array> keys, const Array& values) {
  return group(keys, values, [](Arena& arena, Expr value) {
    return emit_struct(arena, {value, arena.literal(std::int64_t{1})});
  });
}

Array entries(const Array& groups) {
  return Array(Fragment::make({groups.fragment()}, [](Arena& arena, std::span<const Expr> operands) {
    return arena.make<ir::ToVec>({}, operands[0]);
  }));
}

Array unique(const Array& column) {
  return Array(Fragment::make({column.fragment()}, [](Arena& arena, std::span<const Expr> operands) {
    const Type key = element_type(operands[0]);
    const Expr builder = emit_new(arena, arena.dictmerger(key, kI8, MergeOp::kMax));
    const Expr found = emit_result(
        arena, emit_loop(arena, operands, builder, [&](Expr b, Expr /*i*/, std::span<const Expr> elements) {
          return emit_merge(arena, b, emit_struct(arena, {elements[0], arena.literal(std::int8_t{0})}));
        }));
    return emit_map(arena, std::array{arena.make<ir::ToVec>({}, found)}, key,
                    [&](std::span<const Expr> entry) { return emit_field(arena, entry[0], 0); });
  }));
}

Fragment unstack(const Array& groups, std::initializer_list<std::int8_t> columns) {
  const auto& dict = *groups.type().as<ir::DictType>();
  const Type row_type = dict.key.as<ir::StructType>()->members[0];
  const Array keys = map_column(entries(groups), row_type, [](Arena& arena, Expr entry) {
    return emit_field(arena, emit_field(arena, entry, 0), 0);
  });
  const Array distinct = unique(keys);
  const Array rows(Fragment::make({distinct.fragment()}, [&](Arena& arena, std::span<const Expr> operands) {
    const std::vector<ir::Parameter> parameters = {{arena.fresh_symbol("row"), row_type}};
    const Expr key = arena.make<ir::Lambda>({}, parameters, arena.ident(parameters[0].symbol, row_type));
    return arena.make<ir::Sort>({}, operands[0], key);
  }));
  std::vector<Fragment> parts = {rows.fragment()};
  for (const std::int8_t column : columns) {
    parts.push_back(Fragment::make(
        {rows.fragment(), groups.fragment()}, [&](Arena& arena, std::span<const Expr> operands) {
          return emit_map(arena, operands.first(1), operands[1].type().as<ir::DictType>()->value,
                          [&](std::span<const Expr> row) {
                            const Expr key = emit_struct(arena, {row[0], arena.literal(column)});
                            return emit_field(arena, arena.make<ir::OptLookup>({}, operands[1], key), 1);
                          });
        }));
  }
  return Fragment::make(parts, [](Arena& arena, std::span<const Expr> operands) {
    return arena.make<ir::MakeStruct>({}, std::vector<Expr>(operands.begin(), operands.end()));
  });
}

Array index_of(const Array& column) {
  return Array(Fragment::make({column.fragment()}, [](Arena& arena, std::span<const Expr> operands) {
    const Expr builder = emit_new(arena, arena.dictmerger(element_type(operands[0]), kI64, MergeOp::kMin));
    return emit_result(
        arena, emit_loop(arena, operands, builder, [&](Expr b, Expr i, std::span<const Expr> elements) {
          return emit_merge(arena, b, emit_struct(arena, {elements[0], i}));
        }));
  }));
}

Array rows_in_index(const Array& index, const Array& column) {
  return Array(Fragment::make({index.fragment(), column.fragment()}, [](Arena& arena,
                                                                        std::span<const Expr> operands) {
    return emit_map(arena, operands.subspan(1), kI64, [&](std::span<const Expr> elements) {
      const Expr found = arena.make<ir::OptLookup>({}, operands[0], elements[0]);
      const ir::Symbol symbol = arena.fresh_symbol("found");
      const Expr use = arena.ident(symbol, found.type());
      return arena.make<ir::Let>({}, symbol, found,
                                 arena.make<ir::If>({}, emit_field(arena, use, 0), emit_field(arena, use, 1),
                                                    arena.literal(std::int64_t{-1})));
    });
  }));
}

}  // namespace weld::bench::workloads
