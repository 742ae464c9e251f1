#include "programs.h"

namespace weld::parser {
namespace {

struct Rejected {
  std::string_view text;
  std::string_view errors;
};

class Errors : public testing::TestWithParam<Rejected> {};

TEST_P(Errors, AreWhereTheyAre) {
  EXPECT_EQ(errors_of(GetParam().text), GetParam().errors) << GetParam().text;
  EXPECT_EQ(error_code_of(GetParam().text), ErrorCode::kCompileError);
}

constexpr Rejected kLexical[] = {
    {"1 $", "1:3: expected the end of the program, found '$'"},
    {"1 ~ 2", "1:3: unexpected character '~'"},
    {"\xc3\xa9", "1:1: unexpected byte 0xc3"},
    {"2147483648", "1:1: the number does not fit i32"},
    {"1-2147483648", "1:3: the number does not fit i32"},
    {"-(2147483648)", "1:3: the number does not fit i32"},
    {"-2147483649", "1:2: the number does not fit i32"},
    {"--2147483649", "1:3: the number does not fit i32"},
    {"128c", "1:1: the number does not fit i8"},
    {"32768si", "1:1: the number does not fit i16"},
    {"9223372036854775808L", "1:1: the number does not fit i64"},
    {"99999999999999999999999L", "1:1: the number does not fit i64"},
    {"256uc", "1:1: the number does not fit u8"},
    {"-256uc", "1:2: the number does not fit u8"},
    {"18446744073709551616ul", "1:1: the number does not fit u64"},
    {"0x80000000", "1:1: the number does not fit i32"},
    {"0x", "1:1: expected hexadecimal digits after 0x"},
    {"0b2", "1:1: expected binary digits after 0b"},
    {"0b12", "1:4: 2 is no suffix of an integer"},
    {"1x", "1:2: x is no suffix of an integer"},
    {"1e", "1:2: e is no suffix of an integer"},
    {"1.5l", "1:4: l is no suffix of a float"},
    {"1e999", "1:1: the number is too large for f64"},
    {"1e39f", "1:1: the number is too large for f32"},
    {"1..2", "1:3: expected a field, $ and digits, found '.2'"},
    {"1.x", "1:3: expected a field, $ and digits, found 'x'"},
    {"\"abc", "1:1: the string has no closing quote"},
    {"\"a\\q\"", "1:3: unknown escape in a string: expected one of \\n \\t \\r \\0 \\\" \\\\ \\xHH"},
    {"\"\\x4\"", "1:2: expected two hexadecimal digits after \\x"},
    {"# only a comment", "1:17: expected an expression, found the end of the program"},
};

constexpr Rejected kSyntax[] = {
    {"", "1:1: expected an expression, found the end of the program"},
    {"1 2", "1:3: expected the end of the program, found '2'"},
    {"(1", "1:3: expected ')', found the end of the program"},
    {"(1]", "1:3: expected ')', found ']'"},
    {"{1, 2", "1:6: expected '}', found the end of the program"},
    {"[1; 2]", "1:3: expected ']', found ';'"},
    {"{,}", "1:2: expected an expression, found ','"},
    {"1 +", "1:4: expected an expression, found the end of the program"},
    {"* 2", "1:1: expected an expression, found '*'"},
    {"1 < 2 < 3", "1:7: comparisons do not associate: use parentheses"},
    {"1 == 2 != 3", "1:8: comparisons do not associate: use parentheses"},
    {"1 : 2", "1:5: expected a type, found '2'"},
    {"1 : i32 : i32", "1:9: expected the end of the program, found ':'"},
    {"let x = 1", "1:10: expected ';', found the end of the program"},
    {"let x 1; x", "1:7: expected '=', found '1'"},
    {"let for = 1; 2", "1:5: expected a name, found 'for'"},
    {"let x = 1;", "1:11: expected an expression, found the end of the program"},
    {"1 + let x = 1; x", "1:5: expected an expression, found 'let'"},
    {"|x: i64 x", "1:9: expected '|', found 'x'"},
    {"|x, 1| x", "1:5: expected a name for the parameter, found '1'"},
    {"|x: i64, x: i64| x", "1:10: parameter x is named twice"},
    {"|a: i64||b: i64| a", "1:9: a function cannot return a function"},
    {"if(true, 1)", "1:1: if takes 3 arguments, but 2 are given"},
    {"len()", "1:1: len takes 1 argument, but 0 are given"},
    {"len 1", "1:5: expected '(', found '1'"},
    {"exp(1.0, 2.0)", "1:1: exp takes 1 argument, but 2 are given"},
    {"min(1)", "1:1: min takes 2 arguments, but 1 is given"},
    {"i64(1, 2)", "1:1: i64 takes 1 argument, but 2 are given"},
    {"abs(1, 2)", "1:1: abs takes 1 argument, but 2 are given"},
    {"merge(appender, 1, true)", "1:1: merge takes 2 arguments, but 3 are given"},
    {"zip([1])", "1:1: zip takes two vectors or more"},
    {"for([1], appender)", "1:18: expected ',', found ')'"},
    {"for(zip(), appender, |b,i,x| b)", "1:5: zip takes two vectors or more"},
    {"for(zip(iter([1]), [2]) + 1, appender, |b,i,x| b)", "1:25: expected ',', found '+'"},
    {"for(zip(simditer([1]), [2]) : vec[i32], appender, |b,i,x| b)",
     "1:5: iterators with a kind or bounds stand in the zip of a for only"},
    {"for(iter([1], 0L), appender, |b,i,x| b)", "1:5: iter takes 1 or 4 arguments, but 2 are given"},
    {"for(rangeiter(0L), appender, |b,i,x| b)", "1:5: rangeiter takes 3 arguments, but 1 is given"},
    {"for(nditer([1], 0L, 1L, 1L, [1L]), appender, |b,i,x| b)",
     "1:5: nditer takes 1, 4 or 6 arguments, but 5 are given"},
    {"iter([1])", "1:1: expected an expression, found 'iter'"},
    {"{1}.0", "1:4: expected the end of the program, found '.0'"},
    {"{1}.x", "1:5: expected a field, $ and digits, found 'x'"},
    {"{1}.$", "1:5: expected a field, $ and digits, found '$'"},
    {"{1}.$99999999999", "1:5: expected a field, $ and digits, found '$99999999999'"},
    {"appender[", "1:10: expected a type, found the end of the program"},
    {"merger[i64]", "1:11: expected ',', found ']'"},
    {"merger[i64,-]", "1:12: expected one of + * min max, found '-'"},
    {"merger", "1:7: expected '[', found the end of the program"},
    {"dictmerger[i64,+]", "1:16: expected a type, found '+'"},
    {"vecmerger[i64,+]", "1:17: expected '(', found the end of the program"},
    {"groupmerger[i64,i64](1L)", "1:1: groupmerger[i64,i64] is not a function"},
    {"cudf[1,i64]()", "1:6: expected the name of a function, found '1'"},
    {"cudf[f]()", "1:7: expected ',', found ']'"},
    {"deserialize([0uc])", "1:12: expected '[', found '('"},
    {"|x: simd[vec[i64]]| x", "1:10: expected a scalar type, found 'vec'"},
    {"|x: row| x", "1:5: undefined type row"},
    {"|x: let| x", "1:5: expected a type, found 'let'"},
    {"type i64 = i64; 1", "1:6: expected a name for the type, found 'i64'"},
    {"type a = i64; type a = f64; 1", "1:20: type a is defined twice"},
    {"type a = b; type b = i64; 1", "1:10: undefined type b"},
    {"macro m(x) = x; type a = i64; 1", "1:17: type aliases come before macros"},
    {"macro len(x) = x; 1", "1:7: expected a name for the macro, found 'len'"},
    {"macro m(x) = x; macro m(y) = y; 1", "1:23: macro m is defined twice"},
    {"macro m(x, x) = x; 1", "1:12: parameter x is named twice"},
    {"macro m(x) x; 1", "1:12: expected '=', found 'x'"},
    {"@ 1", "1:3: expected '(', found '1'"},
    {"@() 1", "1:3: expected the key of an annotation, found ')'"},
    {"@(k) 1", "1:4: expected ':', found ')'"},
    {"@(k:) 1", "1:5: expected a word, a number or a string, found ')'"},
    {"@(k:v)", "1:7: expected an expression, found the end of the program"},
    {"@(k:v) -1", "1:8: expected an expression, found '-'"},
};

constexpr Rejected kNames[] = {
    {"x", "1:1: undefined name x"},
    {"let x = x; 1", "1:9: undefined name x"},
    {"(let x = 1; x) + x", "1:18: undefined name x"},
    {"f(1)", "1:1: undefined name f"},
    {"{a, b(c), 1}", "1:2: undefined name a\n1:5: undefined name b\n1:7: undefined name c"},
    {"let f = |x| y; 1", "1:13: undefined name y"},
    {"macro m(x) = y; 1", "1:14: undefined name y"},
    {"let y = 1; macro", "1:12: expected an expression, found 'macro'"},
    {"macro m(x) = x; m", "1:17: m is a macro and can only be applied"},
    {"map", "1:1: map is a macro and can only be applied"},
    {"abs + 1", "1:1: abs is a function and can only be applied"},
    {"let abs = 1; abs(1)", "1:14: i32 is not a function"},
    {"map([1])", "1:1: macro map takes 2 arguments, but 1 is given"},
    {"macro m() = 1; m(2)", "1:16: macro m takes 0 arguments, but 1 is given"},
    {"let f = |x| x; f(1, 2)", "1:16: the function takes 1 argument, but 2 are given"},
    {"(|x: i64| x)()", "1:1: the function takes 1 arguments, but 0 are given"},
};

constexpr Rejected kTypes[] = {
    {"1 + 1.0", "1:1: operands of + have different types, i32 and f64"},
    {"true + false", "1:1: operand of + has type bool, but a number is expected"},
    {"1.0 & 2.0", "1:1: operand of & has type f64, but an integer or bool is expected"},
    {"!1", "1:2: operand of ! has type i32, but bool is expected"},
    {"1 && true", "1:1: operands of && have different types, i32 and bool"},
    {"exp(1)", "1:5: operand of exp has type i32, but f32 or f64 is expected"},
    {"if(1, 2, 3)", "1:4: the condition of if has type i32, but bool is expected"},
    {"if(true, 1, 2.0)", "1:1: the branches of if have different types, i32 and f64"},
    {"[1, 2.0]", "1:5: an element of the vector has type f64, but i32 is expected"},
    {"{1}.$1", "1:1: there is no field $1 in {i32}"},
    {"1.$0", "1:1: i32 has no fields: a struct is expected"},
    {"(1).$0", "1:1: i32 has no fields: a struct is expected"},
    {"1 : f64", "1:1: the value has type i32, but f64 is expected"},
    {"let x: f64 = 1; x", "1:14: the value has type i32, but f64 is expected"},
    {"[1] : vec[f64]", "1:1: the value has type vec[i32], but vec[f64] is expected"},
    {"i64([1])", "1:5: cannot convert vec[i32] to i64: a scalar is expected"},
    {"len(1)", "1:5: i32 has no length: a vector or a dictionary is expected"},
    {"lookup([1], 0)", "1:13: the index of lookup has type i32, but i64 is expected"},
    {"1(2)", "1:1: i32 is not a function"},
    {"{|x: i64| x}", "1:2: a field of the struct is a function, but a value is expected"},
    {"let f = if(true, |x: i64| x, |x: i64| x); 1",
     "1:18: a branch of if is a function, but a value is expected"},
    {"let a = 1; |x: i64| x + 1L", "1:1: the program is a function, but does not begin with its parameters"},
    {"let f: i64 = |x| x; f(1)", "1:14: a function has no type that can be written"},
    {"let f = |x: f64| x; let y = 1; f(y)", "1:34: the argument has type i32, but f64 is expected"},
    {"let f = |x: f64| x; f(1)", "1:23: the value has type i32, but f64 is expected"},
    {"let f = |x: i64| x + 1.0; 2", "1:18: operands of + have different types, i64 and f64"},
    {"merge(appender[i64], 1)", "1:22: merge value has type i32, but the builder takes i64"},
    {"for([1], 2, |b,i,x| b)", "1:10: for takes a builder or a struct of builders, not i32"},
    {"for([1], appender[i32], 3)", "1:25: the function of for must be a function"},
    {"for([1], appender[i32], |b,i| b)", "1:25: the function of for has 2 parameters, but 3 are expected"},
    {"for(1, appender[i32], |b: appender[i32],i: i64,x: i32| b)",
     "1:5: cannot iterate over i32: a vector is expected"},
    {"sort([1], |a,b| 1L)", "1:17: the value of the comparator has type i64, but i32 is expected"},
    {"iterate(1, |s| {s, 1})",
     "1:16: the value of the update of iterate has type {i32,i32}, but {i32,bool} is expected"},
    {"select(true, appender[i64], appender[i64])",
     "1:1: select evaluates both values, so they cannot be builders: use if"},
    {"|d: dict[vec[simd[i64]],i64]| 1",
     "1:2: vec[simd[i64]] cannot be a key: keys are scalars, and structs and vectors of keys"},
    {"vec[1]", "1:1: expected an expression, found 'vec'"},
    {"merger[vec[i64],+]", "1:1: merger takes a scalar or a struct of scalars, not vec[i64]"},
    {"merger[bool,+]", "1:1: merger cannot combine values of type bool"},
    // The whole of what is wrong.
    {"let a = 1 + 1.0; let b = nothing + 2; let c = exp(3); {a, b, c, f(!4)}",
     "1:9: operands of + have different types, i32 and f64\n1:26: undefined name nothing\n"
     "1:51: operand of exp has type i32, but f32 or f64 is expected\n1:65: undefined name f\n"
     "1:68: operand of ! has type i32, but bool is expected"},
    {"|v: vec[i64]|\n  map(v, |x|\n    x + 1)", "3:5: operands of + have different types, i64 and i32"},
    // What is not known.
    {"|x| x", "1:2: the type of parameter x cannot be inferred"},
    {"|x, y| x + y", "1:2: the type of parameter x cannot be inferred"},
    {"[]", "1:1: the type of the vector's elements cannot be inferred"},
    {"appender", "1:1: the type of the builder cannot be inferred"},
    {"|x| 1 + 1.0", "1:5: operands of + have different types, i32 and f64"},
    {"deserialize[?]([0uc])", "1:1: the type of the value cannot be inferred"},
    {"cudf[f,?]()", "1:1: the type of the result of cudf cannot be inferred"},
    {"|x| if(true, x, [x])", "1:2: the type of parameter x would contain itself"},
    {"|x| x.$0", "1:2: the type of parameter x cannot be inferred"},
    // Builders that are named twice.
    {"|v: vec[i64], b: appender[i64]| for(v, b, |p, i, x| if(x > 0L, merge(p, x), b))",
     "1:77: the loop's builder is named by its parameter p and by its outer name in one body: use one of "
     "them"},
    {"|v: vec[i64], s: {appender[i64]}| for(v, s.$0, |p, i, x| if(x > 0L, merge(s.$0, x), p))",
     "1:75: the loop's builder is named by its parameter p and by its outer name in one body: use one of "
     "them"},
};

INSTANTIATE_TEST_SUITE_P(Lexical, Errors, testing::ValuesIn(kLexical));
INSTANTIATE_TEST_SUITE_P(Syntax, Errors, testing::ValuesIn(kSyntax));
INSTANTIATE_TEST_SUITE_P(Names, Errors, testing::ValuesIn(kNames));
INSTANTIATE_TEST_SUITE_P(Types, Errors, testing::ValuesIn(kTypes));

TEST(ErrorRendering, ShowsSourceAndCaret) {
  ir::Arena arena;
  try {
    parse("let x = 1;\nx + 2.0", arena, {.name = "fares.weld"});
    FAIL();
  } catch (const ir::UserError& error) {
    EXPECT_STREQ(error.what(),
                 "fares.weld:2:1: error[CompileError]: operands of + have different types, i32 and f64\n"
                 "x + 2.0\n"
                 "^~~~~~~");
  }
}

TEST(ErrorLimit, EndsTheList) {
  EXPECT_EQ(errors_of("{a, b, c, d}", {.max_errors = 2}), "1:2: undefined name a\n1:5: undefined name b");
  EXPECT_EQ(errors_of("{1 + 1.0, a}", {.max_errors = 1}), "1:11: undefined name a");
  EXPECT_EQ(errors_of("{a, b}", {.max_errors = 0}), "1:2: undefined name a");
}

TEST(Errors, OfMacrosAreReportedOnce) {
  EXPECT_EQ(errors_of("macro m(x) = x + 1.0; {m(1), m(2), m(3)}"),
            "1:14: operands of + have different types, i32 and f64");
}

TEST(Errors, InStandardMacrosAreAtTheCall) {
  EXPECT_EQ(errors_of("1 + compare(1, 2.0)"),
            "1:5: operands of < have different types, i32 and f64\n"
            "1:5: operands of > have different types, i32 and f64");
  EXPECT_EQ(errors_of("map(1, |x| 2)"), "1:5: cannot iterate over i32: a vector is expected");
}

}  // namespace
}  // namespace weld::parser
