#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "ir/fields.h"
#include "programs.h"

namespace weld::parser {
namespace {

bool equal(std::string_view left, std::string_view right) {
  ir::Arena arena;
  const ir::Expr l = parse(left, arena);
  const ir::Expr r = parse(right, arena);
  const bool equal = ir::alpha_equal(l, r);
  EXPECT_EQ(equal, ir::alpha_equal(r, l)) << left << "   " << right;
  EXPECT_EQ(equal, ir::structural_hash(l) == ir::structural_hash(r)) << left << "   " << right;
  EXPECT_EQ(equal, ir::print_canonical(l) == ir::print_canonical(r)) << left << "   " << right;
  return equal;
}

TEST(AlphaEquality, IgnoresNamesAndLayout) {
  EXPECT_TRUE(equal("|x: i64| x + 1L", "|y: i64|\n  y+1L # the same"));
  EXPECT_TRUE(equal("let a = 1; let b = 2; a - b", "let b = 1; let a = 2; b - a"));
  EXPECT_TRUE(equal("let a = 1; let a = a; a", "let a = 1; let b = a; b"));
  EXPECT_TRUE(equal("0x10", "16"));
}

TEST(AlphaEquality, SeesStructure) {
  EXPECT_FALSE(equal("let a = 1; let b = 2; a - b", "let a = 1; let b = 2; b - a"));
  EXPECT_FALSE(equal("|x: i64, y: i64| x", "|x: i64, y: i64| y"));
  EXPECT_FALSE(equal("|x: i64| x", "|x: f64| x"));
  EXPECT_FALSE(equal("let a = 1; let a = a; a", "let a = 1; let b = a; a"));
  EXPECT_FALSE(equal("0.0", "-0.0"));
  EXPECT_FALSE(equal("1", "1l"));
  EXPECT_FALSE(equal("{1, 2}", "{{1}, 2}"));
  EXPECT_FALSE(equal("[] : vec[i64]", "[] : vec[f64]"));
  EXPECT_FALSE(equal("\"ab\"", "\"ac\""));
  EXPECT_FALSE(equal("merger[i64,+]", "merger[i64,*]"));
  EXPECT_FALSE(equal("|v: vec[f64]| for(v, merger[f64,+], |b,i,x| b)",
                     "|v: vec[f64]| for(fringeiter(v), merger[f64,+], |b,i,x| b)"));
  EXPECT_FALSE(equal("cudf[f,i64](1)", "cudf[g,i64](1)"));
}

TEST(AlphaEquality, ComparesAnnotations) {
  EXPECT_FALSE(equal("@(a:1) 1", "1"));
  EXPECT_FALSE(equal("@(a:1) 1", "@(a:2) 1"));
  EXPECT_FALSE(equal("@(a:b) 1", "@(a:\"b\") 1"));
  EXPECT_FALSE(equal("|x: vec[@(min:0) i64]| x", "|x: vec[i64]| x"));
  EXPECT_TRUE(equal("@(a:1, b:2) 1", "@(a:1)@(b:2) 1"));
}

TEST(AlphaEquality, TellsAllProgramsApart) {
  // The corpus holds a few programs twice in other words; equality, hash and canonical text must agree on
  // all.
  std::vector<std::string_view> few;
  for (std::size_t i = 0; i < valid_programs().size(); i += 3) few.push_back(valid_programs()[i]);
  for (const std::string_view left : few) {
    for (const std::string_view right : few) equal(left, right);
  }
}

TEST(AlphaEquality, OfFreeSymbols) {
  ir::Arena arena;
  const ir::Type i64 = ir::Type::scalar(ir::ScalarKind::kI64);
  const ir::Symbol a = arena.fresh_symbol("a");
  const ir::Symbol b = arena.fresh_symbol("a");
  EXPECT_TRUE(ir::alpha_equal(arena.ident(a, i64), arena.ident(a, i64)));
  EXPECT_FALSE(ir::alpha_equal(arena.ident(a, i64), arena.ident(b, i64)));
  const auto identity = [&](ir::Symbol symbol, ir::Symbol used) {
    return arena.make<ir::Lambda>({}, std::vector{ir::Parameter{symbol, i64}}, arena.ident(used, i64));
  };
  EXPECT_TRUE(ir::alpha_equal(identity(a, a), identity(b, b)));
  EXPECT_FALSE(ir::alpha_equal(identity(a, b), identity(b, b)));
  EXPECT_FALSE(ir::alpha_equal(identity(a, b), identity(b, a)));
  EXPECT_TRUE(ir::alpha_equal({}, {}));
  EXPECT_FALSE(ir::alpha_equal(identity(a, a), {}));
}

std::string hash_text() {
  ir::Arena arena;
  const auto hash =
      ir::structural_hash(parse("|v: vec[i64]| result(for(v, merger[i64,+], |b, i, x| merge(b, x)))", arena));
  return fmt::format("hash {:016x}{:016x}", hash[0], hash[1]);
}

// Run by the next test in a process of its own.
TEST(StructuralHash, DISABLED_PrintsOne) {
  std::puts(hash_text().c_str());
}

TEST(StructuralHash, IsThatOfEveryProcess) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string command =
      self + " --gtest_also_run_disabled_tests --gtest_filter=StructuralHash.DISABLED_PrintsOne";
  std::FILE* output = popen(command.c_str(), "r");
  ASSERT_NE(output, nullptr);
  std::string text;
  for (int c = std::fgetc(output); c != EOF; c = std::fgetc(output)) text += static_cast<char>(c);
  pclose(output);
  EXPECT_NE(text.find(hash_text()), std::string::npos) << text;
}

TEST(StructuralHash, IsKeptByClones) {
  for (const std::string_view text : valid_programs()) {
    ir::Arena arena;
    const ir::Expr program = parse(text, arena);
    const ir::Expr clone = ir::clone_fresh(program, arena);
    EXPECT_TRUE(ir::alpha_equal(program, clone)) << text;
    EXPECT_EQ(ir::structural_hash(program), ir::structural_hash(clone)) << text;
  }
}

}  // namespace
}  // namespace weld::parser
