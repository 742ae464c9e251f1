#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <vector>

#include "codegen/engine.h"
#include "ir/verify.h"
#include "parser/parser.h"
#include "runtime/memory.h"
#include "runtime/run_context.h"

namespace weld::codegen {

/// Compiles the text of a program.
inline std::shared_ptr<const Program> compile(std::string_view text, const CompileOptions& options = {}) {
  ir::Arena arena;
  return Program::compile(parser::parse(text, arena), options);
}

inline std::shared_ptr<runtime::Context> make_context(const runtime::ContextOptions& options = {}) {
  return std::make_shared<runtime::Context>(options);
}

/// A vector argument.
struct I64Vector {
  const std::int64_t* data;
  std::int64_t length;

  explicit I64Vector(const std::vector<std::int64_t>& elements)
      : data(elements.data()), length(static_cast<std::int64_t>(elements.size())) {}
};

inline std::vector<std::int64_t> counting(std::int64_t length) {
  std::vector<std::int64_t> elements;
  for (std::int64_t i = 0; i < length; ++i) elements.push_back(i);
  return elements;
}

inline std::int64_t as_i64(const Result& result) {
  return *static_cast<const std::int64_t*>(result.data());
}

/// Allocates in every builder, in sorts, iterate, serialisation, strings and nested loops; its value is an
/// i64.
inline constexpr std::string_view kEveryBuilder = R"(|v: vec[i64]|
  let r = result(for(v, {appender[vec[i64]], merger[f64,+], dictmerger[vec[i64],i64,+], groupmerger[i64,vec[i64]],
                         vecmerger[i64,+]([0L, 0L, 0L, 0L]), dictmerger[i64,f64,+]},
    |b, i, x| {merge(b.$0, [x, i]), merge(b.$1, f64(x)), merge(b.$2, {[x % 10L], 1L}), merge(b.$3, {x % 7L, [x]}),
               merge(b.$4, {x % 4L, x}), merge(b.$5, {x % 5L, f64(x)})}));
  let sorted = sort(v, |x| [-x]);
  let copy = deserialize[dict[vec[i64],i64]](serialize(r.$2));
  let grown = iterate({[0L], 0L}, |s| {{flatten([s.$0, s.$0]), s.$1 + 1L}, s.$1 < 5L}).$0;
  len(r.$0) + i64(r.$1) + len(tovec(copy)) + len(tovec(r.$3)) + lookup(r.$4, 1L) + lookup(sorted, 0L) + len(grown)
    + len(filter(v, |x| x > 3L)) + len(tovec(r.$5)))";

}  // namespace weld::codegen
