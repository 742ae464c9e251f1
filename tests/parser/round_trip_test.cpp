#include "ir/fields.h"
#include "ir/nodes.h"
#include "programs.h"

namespace weld::parser {
namespace {

struct Case {
  std::string_view text;
  bool internal;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::string_view text : valid_programs()) all.push_back({text, false});
  for (const std::string_view text : valid_programs()) all.push_back({text, true});
  for (const std::string_view text : internal_programs()) all.push_back({text, true});
  return all;
}

class RoundTrip : public testing::TestWithParam<Case> {};

TEST_P(RoundTrip, ReadsBackWhatIsPrinted) {
  const ParseOptions options{.internal = GetParam().internal};
  ir::Arena arena;
  ir::Expr program;
  try {
    program = parse(GetParam().text, arena, options);
  } catch (const ir::UserError& error) {
    FAIL() << error.what();
  }
  EXPECT_TRUE(ir::free_symbols(program).empty());
  ir::for_each_node(program, [&](ir::Expr expr) {
    EXPECT_TRUE(expr.span()) << GetParam().text;
    EXPECT_LE(expr.span().begin, expr.span().end);
    EXPECT_LE(expr.span().end, GetParam().text.size());
  });

  const std::string readable = ir::print(program);
  const std::string canonical = ir::print_canonical(program);
  EXPECT_EQ(canonical.find('\n'), std::string::npos);
  EXPECT_EQ(readable.find(" \n"), std::string::npos) << readable;
  for (const std::string& text : {readable, canonical}) {
    SCOPED_TRACE(text);
    ir::Arena other;
    ir::Expr again;
    try {
      again = parse(text, other, options);
    } catch (const ir::UserError& error) {
      FAIL() << error.what();
    }
    EXPECT_TRUE(ir::alpha_equal(program, again));
    EXPECT_EQ(ir::structural_hash(program), ir::structural_hash(again));
    EXPECT_EQ(ir::print_canonical(again), canonical);
    EXPECT_EQ(ir::to_string(again.type()), ir::to_string(program.type()));
  }
}

INSTANTIATE_TEST_SUITE_P(Programs, RoundTrip, testing::ValuesIn(cases()));

TEST(InternalForms, AreRejectedWithoutTheOption) {
  int rejected = 0;
  for (const std::string_view text : internal_programs()) {
    if (error_code_of(text) == ErrorCode::kCompileError) ++rejected;
  }
  EXPECT_EQ(rejected, 22);
  EXPECT_EQ(errors_of("|b: appender[i64]| merge(b, 1L, true)"),
            "1:20: merge takes 2 arguments, but 3 are given");
  EXPECT_EQ(errors_of("|x: simd[f64,8]| x"), "1:13: expected ']', found ','");
}

ir::Expr made(ir::Arena& arena, std::string_view text) {
  return parse(text, arena);
}

TEST(Printer, ChangesNamesThatWouldHideOthers) {
  ir::Arena arena;
  EXPECT_EQ(ir::print(made(arena, "|x: i64| let x = x + 1L; let x = x * 2L; x")),
            "|x: i64|\n  let x_2 = x + 1L;\n  let x_3 = x_2 * 2L;\n  x_3");
  EXPECT_EQ(ir::print(made(arena, "{let x = 1; x, let x = 2; x}")),
            "{\n  let x = 1;\n  x,\n  let x = 2;\n  x}");
}

TEST(Printer, ChangesNamesThatAreNone) {
  ir::Arena arena;
  const ir::Type i64 = ir::Type::scalar(ir::ScalarKind::kI64);
  for (const auto& [name, printed] : {std::pair{"", "x"},
                                      {"let", "let_"},
                                      {"abs", "abs_"},
                                      {"a b", "a_b"},
                                      {"1st", "_1st"},
                                      {"map", "map"}}) {
    const ir::Symbol symbol = arena.fresh_symbol(name);
    const ir::Expr program =
        arena.make<ir::Lambda>({}, std::vector{ir::Parameter{symbol, i64}}, arena.ident(symbol, i64));
    EXPECT_EQ(ir::print(program), std::string("|") + printed + ": i64| " + printed);
  }
}

TEST(Printer, KeepsTheNamesOfFreeSymbols) {
  ir::Arena arena;
  const ir::Type i64 = ir::Type::scalar(ir::ScalarKind::kI64);
  const ir::Symbol free = arena.fresh_symbol("x1");
  const ir::Symbol bound = arena.fresh_symbol("x1");
  const ir::Expr program = arena.make<ir::Let>(
      {}, bound, arena.ident(free, i64),
      arena.make<ir::Binary>({}, ir::BinaryOp::kAdd, arena.ident(bound, i64), arena.ident(free, i64)));
  EXPECT_EQ(ir::print(program), "let x1_2 = x1;\nx1_2 + x1");
  EXPECT_EQ(ir::print_canonical(program), "let x2 = x1; x2 + x1");
}

TEST(Printer, BreaksLinesAtLoopsAndLets) {
  ir::Arena arena;
  EXPECT_EQ(ir::print(made(
                arena,
                "|v: vec[i64]| let s = result(for(v, merger[i64,+], |b,i,x| let y = x * x; merge(b, y)));"
                "s / len(v)")),
            "|v: vec[i64]|\n"
            "  let s = result(for(\n"
            "    v,\n"
            "    merger[i64,+],\n"
            "    |b: merger[i64,+], i: i64, x: i64|\n"
            "      let y = x * x;\n"
            "      merge(b, y)));\n"
            "  s / len(v)");
}

TEST(Printer, PrintsEveryFloatExactly) {
  for (const std::uint64_t bits :
       {0x0ul, 0x8000000000000000ul, 0x1ul, 0x000ffffffffffffful, 0x0010000000000000ul, 0x3ff0000000000000ul,
        0x3fb999999999999aul, 0x7fefffffffffffffUL, 0x7ff0000000000000ul, 0xfff0000000000000ul,
        0x7ff8000000000000ul, 0xfff8000000000001ul, 0x7ff4000000000000ul, 0x4340000000000001ul}) {
    ir::Arena arena;
    const ir::Expr literal = arena.literal(ir::ScalarValue{ir::ScalarKind::kF64, bits});
    const ir::Expr again = parse(ir::print(literal), arena, {.internal = true});
    EXPECT_EQ(again.as<ir::Literal>()->value.bits, bits) << ir::print(literal);
  }
  for (const std::uint64_t bits : {0x0ul, 0x80000000ul, 0x1ul, 0x7f7ffffful, 0x3dcccccdul, 0x7f800000ul,
                                   0xff800000ul, 0x7fc00000ul, 0xffc00001ul, 0x7fa00000ul}) {
    ir::Arena arena;
    const ir::Expr literal = arena.literal(ir::ScalarValue{ir::ScalarKind::kF32, bits});
    const ir::Expr again = parse(ir::print(literal), arena, {.internal = true});
    EXPECT_EQ(again.as<ir::Literal>()->value.bits, bits) << ir::print(literal);
  }
}

TEST(Printer, PrintsEveryByteOfAString) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  ir::Arena arena;
  const ir::Expr literal = arena.make<ir::StringLiteral>({}, std::string_view(bytes));
  EXPECT_EQ(parse(ir::print(literal), arena).as<ir::StringLiteral>()->bytes, bytes);
}

TEST(Printer, PutsParenthesesWhereTheyAreNeeded) {
  for (const std::string_view text :
       {"x1 - (x2 - x3)", "x1 - x2 - x3", "(x1 + x2) * x3", "x1 + x2 * x3", "-(x1 + x2)", "(-x1 + x2) % x3",
        "x1 - -x2", "--x1", "-(1L)", "-1L", "-(-1L)", "if(!(x1 < x2), x1, x2)", "x1 << (x2 << x3)",
        "if((x1 == x2) == (x2 == x3), x1, x2)", "if((x1 < x2) == (x2 < x3), x1, x2)", "{x1, x2}.$0 + x3"}) {
    const std::string program = "|x1: i64, x2: i64, x3: i64| " + std::string(text);
    const std::string printed = canonical(program);
    // A comparison binds more tightly than an equality.
    if (text == "if((x1 < x2) == (x2 < x3), x1, x2)")
      EXPECT_EQ(printed, "|x1: i64, x2: i64, x3: i64| if(x1 < x2 == x2 < x3, x1, x2)");
    else
      EXPECT_EQ(printed, program);
  }
}

}  // namespace
}  // namespace weld::parser
