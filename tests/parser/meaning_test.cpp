#include <fmt/format.h>

#include "ir/fields.h"
#include "programs.h"

namespace weld::parser {
namespace {

TEST(Literals, HaveTheTypesOfTheirSuffixes) {
  const std::pair<std::string_view, std::string_view> types[] = {
      {"1", "i32"},    {"1c", "i8"},   {"1C", "i8"},     {"1si", "i16"},      {"1l", "i64"},
      {"1L", "i64"},   {"1uc", "u8"},  {"1usi", "u16"},  {"1u", "u32"},       {"1ul", "u64"},
      {"1.0", "f64"},  {"1f", "f32"},  {"1F", "f32"},    {"1.0f", "f32"},     {"1e5", "f64"},
      {".5", "f64"},   {"1.", "f64"},  {"true", "bool"}, {"\"\"", "vec[i8]"}, {"0x1c", "i32"},
      {"0x1f", "i32"}, {"0b1c", "i8"}, {"0x1uc", "u8"},  {"0x1l", "i64"}};
  for (const auto& [text, type] : types) EXPECT_EQ(type_of(text), type) << text;
}

TEST(Literals, HaveTheirValues) {
  const std::pair<std::string_view, std::uint64_t> values[] = {
      {"0x1c", 28},
      {"0b101", 5},
      {"-1", 0xffffffff},
      {"-128c", 0x80},
      {"-2147483648", 0x80000000},
      {"-9223372036854775808L", 0x8000000000000000},
      {"18446744073709551615ul", ~std::uint64_t{0}},
      {"1.5", 0x3ff8000000000000},
      {"1.5f", 0x3fc00000},
      {"-0.0", 0x8000000000000000},
      {"1e-999", 0},
      {"0.00000000000000000000000000000000000000000000000000001f", 0},
      {"-0x80000000", 0x80000000}};
  for (const auto& [text, bits] : values) {
    ir::Arena arena;
    const auto* literal = parse(text, arena).as<ir::Literal>();
    ASSERT_NE(literal, nullptr) << text;
    EXPECT_EQ(literal->value.bits, bits) << text;
  }
}

TEST(Strings, ReplaceEscapesAndCountNoNul) {
  ir::Arena arena;
  using namespace std::string_view_literals;
  EXPECT_EQ(parse(R"("\n\t\r\0\"\\\x41\xfF#")", arena).as<ir::StringLiteral>()->bytes,
            "\n\t\r\0\"\\A\xff#"sv);
}

TEST(Operators, BindAsInTheGrammar) {
  EXPECT_SAME("true || true && false", "true || (true && false)");
  EXPECT_SAME("true && true | 2 == 3", "true && (true | (2 == 3))");
  EXPECT_SAME("1 | 2 ^ 3 & 4", "1 | (2 ^ (3 & 4))");
  EXPECT_SAME("true & 1 == 2", "true & (1 == 2)");
  EXPECT_SAME("true == 1 < 2", "true == (1 < 2)");
  EXPECT_SAME("1 < 2 << 3", "1 < (2 << 3)");
  EXPECT_SAME("1 << 2 + 3", "1 << (2 + 3)");
  EXPECT_SAME("1 + 2 * 3", "1 + (2 * 3)");
  EXPECT_SAME("1 - 2 - 3", "(1 - 2) - 3");
  EXPECT_SAME("8 / 4 % 3 * 2", "((8 / 4) % 3) * 2");
  EXPECT_SAME("1 * 2 : i32", "1 * (2 : i32)");
  EXPECT_SAME("let a = {1}; -a.$0", "let a = {1}; -(a.$0)");
  EXPECT_SAME("let a = {true}; !a.$0 : bool", "let a = {true}; (!(a.$0)) : bool");
}

TEST(Negation, IsPartOfALiteralThatFollowsAtOnce) {
  ir::Arena arena;
  EXPECT_TRUE(parse("-5", arena).is<ir::Literal>());
  EXPECT_TRUE(parse("-(5)", arena).is<ir::Unary>());
  EXPECT_TRUE(parse("-5u", arena).is<ir::Unary>());
  EXPECT_TRUE(parse("--5", arena).as<ir::Unary>()->value.is<ir::Literal>());
}

TEST(Bars, AreParametersOrOperators) {
  EXPECT_SAME("|a: bool, b: bool| a || b", "|a: bool, b: bool| (a) || (b)");
  EXPECT_SAME("|| 1", "| | 1");
  EXPECT_EQ(type_of("|| 1"), "|| i32");
  EXPECT_SAME("|a: i64, b: i64| a|b", "|a: i64, b: i64| a | b");
  EXPECT_SAME("let f = |x||| x; 1", "let f = |x| || x; 1");
}

TEST(Inference, FindsOmittedTypes) {
  const std::pair<std::string_view, std::string_view> types[] = {
      {"|x| x + 1L", "|i64| i64"},
      {"|x, y| {x + 1, exp(y), y < 2.0f}", "|i32,f32| {i32,f32,bool}"},
      {"|v| for(v, merger[f64,+], |b, i, x| merge(b, x))", "|vec[f64]| merger[f64,+]"},
      {"|v| result(for(v, appender, |b, i, x| merge(b, x + 1c)))", "|vec[i8]| vec[i8]"},
      {"|s| {s.$1, (s : {i64,f64}).$0}", "|{i64,f64}| {f64,i64}"},
      {"|v, i| lookup(v, i) + lookup(v : vec[f64], 0L)", "|vec[f64],i64| f64"},
      {"|d, k| if(keyexists(d, k), lookup(d : dict[i64,bool], k), false)", "|dict[i64,bool],i64| bool"},
      {"|d| optlookup(d, 1L).$1 + 1.0", "|dict[i64,f64]| f64"},
      {"|d| lookup(tovec(d), 0L).$0 + lookup(d : dict[i64,?], 1L)", "|dict[i64,i64]| i64"},
      {"|x| select(x < broadcast(1.0), x, x)", "|simd[f64]| simd[f64]"},
      {"let b = appender; let c = merge(b, {1, \"a\"}); result(c)", "vec[{i32,vec[i8]}]"},
      {"let v = []; let w = [v, [1.0]]; v", "vec[f64]"},
      {"|x: vec[?]| sort(x, |a| a.$0 + 1).$0", ""},
      {"|x| i64(x) + i64(x + 1.0f)", "|f32| i64"},
      {"|v| sort(v, |a, b| if(a < b + 1L, 0, 1))", "|vec[i64]| vec[i64]"},
      {"|n| iterate(n, |s| {s * 2ul, s < n})", "|u64| u64"},
      {"|b| for([1.0], b, |p, i, x| merge(p, {i, x}))", ""},
      {"|b: dictmerger[?,?,+]| for([1.0], b, |p, i, x| merge(p, {i, x}))",
       "|dictmerger[i64,f64,+]| dictmerger[i64,f64,+]"},
      {"|v| for(simditer(v), merger[?,+](0.0f), |b, i, x| merge(b, x))", "|vec[f32]| merger[f32,+]"},
      {"|v, w| result(for(zip(v, w), appender, |b, i, e| merge(b, e.$0 + len(\"\") - i64(e.$1 + 1.0))))",
       "|vec[i64],vec[f64]| vec[i64]"},
      {"|a| vecmerger[i64,+](a)", "|vec[i64]| vecmerger[i64,+]"},
      {"|a| dictmerger[i64,f64,+](a)", "|dict[i64,f64]| dictmerger[i64,f64,+]"},
      {"|x| assert(x)", "|bool| bool"},
      {"|v: ?| slice(v : vec[i64], 0L, 1L)", "|vec[i64]| vec[i64]"},
  };
  for (const auto& [text, type] : types) {
    if (type.empty())
      EXPECT_NE(errors_of(text), "accepted") << text;
    else
      EXPECT_EQ(errors_of(text) == "accepted" ? type_of(text) : errors_of(text), type) << text;
  }
}

TEST(Annotations, OfWrittenTypesStayThereOnly) {
  EXPECT_EQ(canonical("|v: vec[@(min:0) i64]| map(v, |x| x)"),
            "|x1: vec[@(min:0) i64]| result(for(x1, appender[i64], |x2: appender[i64], x3: i64, x4: i64| "
            "merge(x2, x4)))");
  EXPECT_EQ(canonical("type t = @(min:0) i64; |x: @(max:9) t| x"), "|x1: @(min:0, max:9) i64| x1");
}

TEST(Annotations, AroundParenthesesComeLast) {
  ir::Arena arena;
  const ir::Expr expr = parse("@(a:1)(@(a:2, b:3) exp(1.0))", arena);
  EXPECT_EQ(ir::annotated_integer(expr.annotations(), "a"), 1);
  EXPECT_EQ(ir::annotated_integer(expr.annotations(), "b"), 3);
  EXPECT_EQ(ir::print(expr), "@(a:2, b:3, a:1) exp(1.0)");
}

TEST(Annotations, OfCallsAreTheirValues) {
  EXPECT_EQ(canonical("@(k:v) abs(-1)"), "@(k:v) abs(-1)");
  EXPECT_EQ(canonical("macro m(x) = x + 1; @(k:v) m(2)"), "@(k:v) (2 + 1)");
  EXPECT_EQ(canonical("let f = |x| x + 1; @(k:v) f(2)"), "@(k:v) (let x1 = 2; x1 + 1)");
  EXPECT_EQ(canonical("macro m(x) = @(k:v) x; m(2)"), "@(k:v) 2");
}

TEST(Calls, OfNamedLambdasAreInlined) {
  EXPECT_SAME("let f = |x| x + x; let y = 1; f(y)", "let y = 1; y + y");
  EXPECT_SAME("let f = |x| x + x; f(1)", "let x = 1; x + x");
  EXPECT_SAME("let f = |x| x; {f(1), f(2.0)}", "{let x = 1; x, let x = 2.0; x}");
  EXPECT_SAME("let k = 2; let f = |x| x * k; let k = 3; f(k)", "let k = 2; let k2 = 3; k2 * k");
  EXPECT_SAME("let f = |g, x| g(g(x)); let y = 3; f(|z| z * 2, y)", "let y = 3; let z = y * 2; z * 2");
  EXPECT_SAME("let f = |x| x; let g = f; let y = 1; g(y)", "let y = 1; y");
  EXPECT_SAME("|v: vec[i64]| let f = |b, i, x| merge(b, x); for(v, appender, f)",
              "|v: vec[i64]| for(v, appender, |b, i, x| merge(b, x))");
  EXPECT_SAME("|v: vec[i64]| let f = |x| x > 0L; filter(v, f)", "|v: vec[i64]| filter(v, |x| x > 0L)");
}

TEST(Builders, ThatALoopFillsAreNamedByItsParameter) {
  const std::string_view expected = "|v: vec[i64]| let b = appender; for(v, b, |p, i, x| merge(p, x))";
  EXPECT_SAME("|v: vec[i64]| let b = appender; for(v, b, |p, i, x| merge(b, x))", expected);
  EXPECT_SAME("|v: vec[i64]| let b = appender; for(v, b, |b, i, x| merge(b, x))", expected);
  EXPECT_SAME("|v: vec[i64]| let b = appender; let f = |p, i, x| merge(b, x); for(v, b, f)", expected);
  EXPECT_SAME("macro m(u, c) = for(u, c, |p, i, x| merge(c, x)); |v: vec[i64]| let b = appender; m(v, b)",
              expected);
  EXPECT_SAME(
      "|v: vec[i64], s: {appender[i64],{appender[i64]}}| for(v, s.$1.$0, |p, i, x| merge(s.$1.$0, x))",
      "|v: vec[i64], s: {appender[i64],{appender[i64]}}| for(v, s.$1.$0, |p, i, x| merge(p, x))");
  EXPECT_SAME("|v: vec[i64], s: {i64,{appender[i64]}}| for(v, s.$1, |p, i, x| {merge(s.$1.$0, s.$0)})",
              "|v: vec[i64], s: {i64,{appender[i64]}}| for(v, s.$1, |p, i, x| {merge(p.$0, s.$0)})");
  EXPECT_SAME("|v: vec[vec[i64]], b: appender[i64]| for(v, b, |p, i, w| for(w, b, |q, j, x| merge(b, x)))",
              "|v: vec[vec[i64]], b: appender[i64]| for(v, b, |p, i, w| for(w, p, |q, j, x| merge(q, x)))");
  EXPECT_SAME("|v: vec[vec[i64]], b: appender[i64]| for(v, b, |p, i, w| for(w, p, |q, j, x| merge(p, x)))",
              "|v: vec[vec[i64]], b: appender[i64]| for(v, b, |p, i, w| for(w, p, |q, j, x| merge(q, x)))");
}

TEST(Builders, KeepTheirNamesAfterTheLoop) {
  EXPECT_SAME(
      "|v: vec[i64], b: appender[i64]| let c = for(v, b, |p, i, x| merge(b, x)); for(v, c, |q, i, x| "
      "merge(c, x))",
      "|v: vec[i64], b: appender[i64]| let c = for(v, b, |p, i, x| merge(p, x)); for(v, c, |q, i, x| "
      "merge(q, x))");
}

TEST(Macros, AreHygienic) {
  EXPECT_SAME("macro m(a) = let x = 1; a + x; let x = 2; m(x)", "let x = 2; let y = 1; x + y");
  EXPECT_SAME("macro m(f) = |x: i64| f(x + 1L); let x = 5L; (m(|y| x + y))(2L)",
              "let x = 5L; (|z: i64| let y = z + 1L; x + y)(2L)");
  EXPECT_SAME("macro swap(a, b) = {b, a}; let a = 1; let b = 2; swap(b, a)", "let a = 1; let b = 2; {a, b}");
  EXPECT_SAME("macro outer(x) = inner(x) + x; macro inner(y) = let x = 10; x * y; let x = 3; outer(x)",
              "let x = 3; (let z = 10; z * x) + x");
  EXPECT_SAME("|element: vec[i64], builder: i64| map(element, |x| x + builder)",
              "|v: vec[i64], k: i64| result(for(v, appender, |b, i, x| merge(b, x + k)))");
  EXPECT_EQ(errors_of("macro m() = x; let x = 1; m()"), "1:13: undefined name x");
}

TEST(Macros, BindArgumentsThatAreUsedTwice) {
  // A cost, and no failure: bound.
  EXPECT_SAME("macro twice(a) = a + a; twice(exp(1.0))", "let a = exp(1.0); a + a");
  EXPECT_SAME("macro twice(a) = {a, a}; twice(cudf[f,i64]())", "let a = cudf[f,i64](); {a, a}");
  EXPECT_SAME("macro twice(a) = {a, a}; twice([1])", "let a = [1]; {a, a}");
  // No cost: substituted.
  EXPECT_SAME("macro twice(a) = a + a; twice(1)", "1 + 1");
  EXPECT_SAME("macro twice(a) = a + a; |s: {i64}| twice(s.$0)", "|s: {i64}| s.$0 + s.$0");
  EXPECT_SAME("macro twice(a) = {a, a}; {twice([]) : {vec[i64],vec[f64]}}",
              "{{[] : vec[i64], [] : vec[f64]}}");
  // May fail or diverge: substituted.
  EXPECT_SAME("macro twice(a) = a + a; |v: vec[i64]| twice(lookup(v, 0L))",
              "|v: vec[i64]| lookup(v, 0L) + lookup(v, 0L)");
  EXPECT_SAME("macro twice(a) = a + a; |x: i64| twice(1L / x)", "|x: i64| 1L / x + 1L / x");
  EXPECT_SAME("macro twice(a) = a + a; |x: f64| twice(1.0 / x)", "|x: f64| let a = 1.0 / x; a + a");
  EXPECT_SAME("macro twice(a) = a + a; twice(iterate(1, |s| {s, false}))",
              "iterate(1, |s| {s, false}) + iterate(1, |s| {s, false})");
  // Lambdas and builders: substituted.
  EXPECT_SAME("macro twice(f) = f(f(1)); twice(|x| x)", "let f = |x| x; f(f(1))");
  EXPECT_SAME("macro twice(b) = {merge(b, 1), merge(b, 2)}; twice(appender)",
              "{merge(appender, 1), merge(appender, 2)}");
  EXPECT_SAME("macro twice(b) = {merge(b, 1), merge(b, 2)}; |c: bool| twice(if(c, appender, appender(9L)))",
              "|c: bool| {merge(if(c, appender, appender(9L)), 1), merge(if(c, appender, appender(9L)), 2)}");
  // Used once: substituted, whatever it is.
  EXPECT_SAME("macro once(a) = a; once(exp(1.0))", "exp(1.0)");
}

TEST(Macros, AreOnlyAppliedWhenNotShadowed) {
  EXPECT_SAME("let map = |x| x + 1; map(1)", "let x = 1; x + 1");
  EXPECT_SAME("macro map(x) = x; map(1)", "1");
  EXPECT_SAME("macro abs(x) = -x; let y = 1; abs(y)", "let y = 1; -y");
}

TEST(Macros, MayNestThirtyDeep) {
  const auto nested = [](int depth) {
    std::string text;
    for (int i = 1; i < depth; ++i) text += fmt::format("macro m{}(x) = m{}(x);\n", i, i + 1);
    return text + fmt::format("macro m{}(x) = x;\nm1(1)", depth);
  };
  EXPECT_EQ(canonical(nested(30)), "1");
  const std::string error = errors_of(nested(31));
  EXPECT_TRUE(error.starts_with("30:16: macros expand into macros more than 30 deep: m1 -> m2 -> m3 -> "))
      << error;
  EXPECT_TRUE(error.ends_with(" -> m30 -> m31")) << error;
  EXPECT_EQ(errors_of("macro a(x) = b(x) + b(x); macro b(x) = a(x) * a(x); a(1)").substr(0, 76),
            "1:40: macros expand into macros more than 30 deep: a -> b -> a -> b -> a -> ");
}

TEST(Macros, InArgumentsDoNotCount) {
  std::string text = "[1]";
  for (int i = 0; i < 100; ++i) text = "map(" + text + ", |x| x)";
  EXPECT_EQ(error_code_of(text), ErrorCode::kSuccess);
}

TEST(Macros, OverZipsLoopOverTheirVectors) {
  EXPECT_SAME("|v: vec[i64], w: vec[f64]| map(zip(v, w), |e| e.$1)",
              "|v: vec[i64], w: vec[f64]| result(for(zip(v, w), appender, |b, i, e| merge(b, e.$1)))");
}

TEST(StandardMacros, MeanWhatTheySay) {
  EXPECT_SAME("|v: vec[i64]| filter(v, |x| x > 0L)",
              "|v: vec[i64]| result(for(v, appender, |b, i, x| if(x > 0L, merge(b, x), b)))");
  EXPECT_SAME("|v: vec[vec[i64]]| flatten(v)",
              "|v: vec[vec[i64]]| result(for(v, appender, |b, i, w| for(w, b, |c, j, x| merge(c, x))))");
  EXPECT_SAME("|v: vec[f32]| sum(v)", "|v: vec[f32]| result(for(v, merger[f32,+], |b, i, x| merge(b, x)))");
  EXPECT_SAME("|a: i64, b: i64| compare(a, b)", "|a: i64, b: i64| if(a < b, -1, if(a > b, 1, 0))");
}

TEST(Spans, ArePrecise) {
  ir::Arena arena;
  const std::string_view text = "|v: vec[i64]| let x = len(v); (x + 1L) * x";
  const ir::Expr program = parse(text, arena);
  const auto* let = program.as<ir::Lambda>()->body.as<ir::Let>();
  const auto at = [&](ir::Expr expr) {
    return std::string(text.substr(expr.span().begin, expr.span().end - expr.span().begin));
  };
  EXPECT_EQ(at(program), text);
  EXPECT_EQ(at(let->value), "len(v)");
  EXPECT_EQ(at(let->body), "(x + 1L) * x");
  EXPECT_EQ(at(let->body.as<ir::Binary>()->left.as<ir::Binary>()->right), "1L");
  EXPECT_EQ(at(program.as<ir::Lambda>()->body), "let x = len(v); (x + 1L) * x");
}

}  // namespace
}  // namespace weld::parser
