#include <fmt/format.h>
#include <pthread.h>

#include <chrono>
#include <functional>
#include <random>

#include "ir/fields.h"
#include "programs.h"

namespace weld::parser {
namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#endif

// Runs on a thread with that much stack.
void on_stack(std::size_t stack_bytes, std::function<void()> body) {
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, stack_bytes), 0);
  pthread_t thread;
  const auto run = [](void* argument) -> void* {
    (*static_cast<std::function<void()>*>(argument))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, run, &body), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

constexpr std::size_t kSmallStack = 256 << 10;
constexpr std::size_t kUsualStack = 8 << 20;

TEST(LongPrograms, OfManyLetsNeedLittleStack) {
  on_stack(kSmallStack, [] {
    std::string text = "|x0: i64|\n";
    for (int i = 0; i < 100'000; ++i) text += fmt::format("let x{} = x{} + x0;\n", i + 1, i);
    text += "x100000";
    ir::Arena arena;
    const ir::Expr program = parse(text, arena);
    const std::string printed = ir::print(program);
    const std::string canonical = ir::print_canonical(program);
    ir::Arena other;
    const ir::Expr again = parse(printed, other);
    EXPECT_TRUE(ir::alpha_equal(program, again));
    EXPECT_EQ(ir::structural_hash(program), ir::structural_hash(again));
    EXPECT_EQ(ir::print_canonical(again), canonical);
  });
}

TEST(LongPrograms, OfManyLetsOfOneNameAreNamedApart) {
  on_stack(kSmallStack, [] {
    std::string text = "let x = 1;\n";
    for (int i = 0; i < 50'000; ++i) text += "let x = x + 1;\n";
    ir::Arena arena;
    const ir::Expr program = parse(text + "x", arena);
    EXPECT_TRUE(ir::alpha_equal(program, parse(ir::print(program), arena)));
  });
}

TEST(LongPrograms, OfManyFunctionsOrBuilders) {
  on_stack(kSmallStack, [] {
    std::string text;
    for (int i = 0; i < 20'000; ++i)
      text += fmt::format("let g{} = |x| x + {};\nlet y{} = g{}({});\n", i, i, i, i, i);
    EXPECT_EQ(error_code_of(text + "y19999"), ErrorCode::kSuccess);
    text = "let b0 = appender;\n";
    for (int i = 0; i < 20'000; ++i) text += fmt::format("let b{} = merge(b{}, {});\n", i + 1, i, i);
    EXPECT_EQ(error_code_of(text + "result(b20000)"), ErrorCode::kSuccess);
  });
}

TEST(LongPrograms, InferBackwards) {
  // Nothing is known before the last line.
  on_stack(kSmallStack, [] {
    std::string text = "|s|\n";
    for (int i = 0; i < 20'000; ++i)
      text += fmt::format("let x{} = lookup(s, {}L) + {};\n", i, i,
                          i == 0 ? "lookup(s, 1L)" : fmt::format("x{}", i - 1));
    EXPECT_EQ(error_code_of(text + "x19999 + lookup(s : vec[f64], 0L)"), ErrorCode::kSuccess);
  });
}

struct Nest {
  std::string_view open;
  std::string_view middle;
  std::string_view close;
  int levels;  // of expressions that one layer makes
};

constexpr Nest kNests[] = {
    {"(", "1", ")", 1},
    {"-", "x", "", 1},
    {"-(", "x", ")", 1},
    {"!", "true", "", 1},
    {"exp(", "1.0", ")", 1},
    {"{", "1", "}", 1},
    {"", "{1}", ".$0", 1},
    {"1 + (", "1", ")", 1},
    {"1 - ", "1", "", 1},
    {"if(true, 1, ", "1", ")", 1},
    {"let x = ", "1", "; x", 1},
    {"let x = 1; exp(", "1.0", ")", 1},
    {"(|x: i64| ", "1", ")(1L)", 2},
    {"map(", "[1]", ", |x| x)", 2},
    {"for([1], ", "appender[i32]", ", |b, i, x| b)", 1},
    {"for([1], appender[i64], |b, i, x| ", "b", ")", 2},
    {"@(k:v) (", "1", ")", 1},
    {"|x: i64| ", "1", "", 1},
    {"{1, {2, [", "1", "]}}", 3},
    {"abs(", "1", ")", 1},
    {"let f = |x| x; f(", "1", ")", 1},
    {"iterate(1, |s| {", "1", ", false})", 3},
    {"true || true && 1 == 1 | 1 < 1 + 1 * (", "1", ")", 7},
};

std::string nested(const Nest& nest, int layers) {
  std::string text;
  for (int i = 0; i < layers; ++i) text += nest.open;
  text += nest.middle;
  for (int i = 0; i < layers; ++i) text += nest.close;
  return text;
}

TEST(DeepPrograms, NeverOverflowTheStack) {
  for (const Nest& nest : kNests) {
    SCOPED_TRACE(nest.open);
    for (const int layers : {10, 900 / nest.levels, 998 / nest.levels, 1000, 1001, 2000, 100'000}) {
      on_stack(kUsualStack, [&] {
        ir::Arena arena;
        try {
          const ir::Expr program = parse(nested(nest, layers), arena);
          EXPECT_EQ(error_code_of(ir::print(program)), ErrorCode::kSuccess) << layers;
          EXPECT_EQ(error_code_of(ir::print_canonical(program)), ErrorCode::kSuccess) << layers;
        } catch (const ir::UserError& error) {
          if (layers > 2000) EXPECT_EQ(error.code(), ErrorCode::kBudgetExceeded) << error.what();
        }
      });
    }
  }
}

TEST(DeepPrograms, AreAcceptedUpToTheBudget) {
  on_stack(kUsualStack, [] {
    EXPECT_EQ(error_code_of(nested({"(", "1", ")", 1}, 999)), ErrorCode::kSuccess);
    EXPECT_EQ(error_code_of(nested({"exp(", "1.0", ")", 1}, 999)), ErrorCode::kSuccess);
    EXPECT_EQ(error_code_of(nested({"exp(", "1.0", ")", 1}, 1000)), ErrorCode::kBudgetExceeded);
    EXPECT_EQ(error_code_of(nested({"1 - (", "1", ")", 1}, 999)), ErrorCode::kSuccess);
    EXPECT_EQ(error_code_of(nested({"1 + ", "1", "", 1}, 999)), ErrorCode::kSuccess);
    EXPECT_EQ(error_code_of(nested({"1 + ", "1", "", 1}, 1000)), ErrorCode::kBudgetExceeded);
    EXPECT_EQ(error_code_of(nested({"map(", "[1]", ", |x| x)", 2}, 490)), ErrorCode::kSuccess);
    EXPECT_EQ(errors_of(nested({"(", "1", ")", 1}, 5000)),
              "1:1001: expressions are nested more than 1000 deep");
  });
}

TEST(Budgets, OfSourceBytes) {
  std::string text(kMaxSourceBytes - 1, ' ');
  EXPECT_EQ(error_code_of(text + "1"), ErrorCode::kSuccess);
  EXPECT_EQ(error_code_of(text + " 1"), ErrorCode::kBudgetExceeded);
}

TEST(Budgets, OfNodes) {
  std::string text = "[1";
  for (int i = 0; i < 1'000'000; ++i) text += ",1";
  EXPECT_EQ(error_code_of(text + "]"), ErrorCode::kBudgetExceeded);
}

TEST(Budgets, OfTypes) {
  EXPECT_EQ(error_code_of("|x: " + nested({"vec[", "i64", "]", 1}, 200) + "| 1"), ErrorCode::kSuccess);
  EXPECT_EQ(error_code_of("|x: " + nested({"vec[", "i64", "]", 1}, 300) + "| 1"), ErrorCode::kBudgetExceeded);
  EXPECT_EQ(error_code_of("|x: " + nested({"{", "i64", "}", 1}, 100'000) + "| 1"),
            ErrorCode::kBudgetExceeded);
  std::string text = "type t0 = i64;";
  for (int i = 0; i < 60; ++i) text += fmt::format("type t{} = {{t{},t{}}};", i + 1, i, i);
  EXPECT_EQ(error_code_of(text + "1"), ErrorCode::kBudgetExceeded);
  text = "let x0 = {1};";
  for (int i = 0; i < 300; ++i) text += fmt::format("let x{} = {{x{}}};", i + 1, i);
  EXPECT_EQ(error_code_of(text + "x300"), ErrorCode::kBudgetExceeded);
}

TEST(Budgets, OfExpansion) {
  std::string text;
  for (int i = 1; i < 30; ++i) text += fmt::format("macro m{}(x) = {{m{}(x), m{}(x)}};", i, i + 1, i + 1);
  EXPECT_EQ(error_code_of(text + "macro m30(x) = x; m1(1)"), ErrorCode::kBudgetExceeded);
  text = "let g0 = |x| x;";
  for (int i = 0; i < 60; ++i) text += fmt::format("let g{} = |x| g{}(x) + g{}(x);", i + 1, i, i);
  EXPECT_EQ(error_code_of(text + "g60(1)"), ErrorCode::kBudgetExceeded);
  text = "let g0 = |x| x;";
  for (int i = 0; i < 300; ++i) text += fmt::format("let g{} = |x| g{}(x);", i + 1, i);
  EXPECT_EQ(error_code_of(text + "g250(1)"), ErrorCode::kSuccess);
  EXPECT_EQ(error_code_of(text + "g300(1)"), ErrorCode::kBudgetExceeded);
  std::string program = "lookup(v, 0L)";
  for (int i = 0; i < 60; ++i) program = "twice(" + program + ")";
  EXPECT_EQ(error_code_of("macro twice(x) = x + x; |v: vec[i64]| " + program), ErrorCode::kBudgetExceeded);
}

// Changes a few bytes or pieces of a valid program.
class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::string mutate() {
    std::string text(any());
    for (std::size_t i = below(4) + 1; i > 0; --i) change(text);
    return text;
  }

 private:
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  std::string_view any() {
    const std::size_t index = below(valid_programs().size() + internal_programs().size());
    return index < valid_programs().size() ? valid_programs()[index]
                                           : internal_programs()[index - valid_programs().size()];
  }
  std::string piece() {
    static constexpr std::string_view kPieces[] = {"(",
                                                   ")",
                                                   "{",
                                                   "}",
                                                   "[",
                                                   "]",
                                                   "|",
                                                   "||",
                                                   ",",
                                                   ";",
                                                   ":",
                                                   ".",
                                                   ".$0",
                                                   "@(a:b)",
                                                   "let x = 1;",
                                                   "macro m(x) = m(x);",
                                                   "type t = t;",
                                                   "for(",
                                                   "zip(",
                                                   "if(",
                                                   "\"",
                                                   "\\",
                                                   "#",
                                                   "-",
                                                   "!",
                                                   "1",
                                                   "1.5",
                                                   "0x",
                                                   "99999999999999999999",
                                                   "x",
                                                   "b",
                                                   "?",
                                                   "vec[",
                                                   "simd[",
                                                   "appender",
                                                   "merger[i64,+]",
                                                   "result(",
                                                   "merge(",
                                                   "|b,i,x|",
                                                   "iterate(",
                                                   "map(",
                                                   "flatten(",
                                                   "i64",
                                                   "bool(",
                                                   "\n",
                                                   "\0",
                                                   "\xff",
                                                   "$",
                                                   "<<",
                                                   "==",
                                                   "abs",
                                                   "let f = |x| f(x);"};
    return std::string(kPieces[below(std::size(kPieces))]);
  }
  void change(std::string& text) {
    const std::size_t at = below(text.size() + 1);
    switch (below(6)) {
      case 0:
        text.erase(at, below(8) + 1);
        break;
      case 1:
        text.insert(at, piece());
        break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(random_());
        break;
      case 3: {
        const std::string_view other = any();
        const std::size_t from = below(other.size() + 1);
        text.insert(at, other.substr(from, below(20)));
        break;
      }
      case 4:
        text.insert(at, text.substr(below(text.size() + 1), below(30)));
        break;
      default: {
        const std::string taken = text.substr(at, below(10));
        text.erase(at, taken.size());
        text.insert(below(text.size() + 1), taken);
      }
    }
  }

  std::mt19937_64 random_;
};

TEST(Mutations, NeverCrashOrHang) {
  Mutator mutator(20240501);
  int accepted = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string text = mutator.mutate();
    SCOPED_TRACE(text);
    const ParseOptions options{.internal = i % 2 == 1};
    const auto start = std::chrono::steady_clock::now();
    try {
      ir::Arena arena;
      const ir::Expr program = parse(text, arena, options);
      ++accepted;
      const ir::Expr again = parse(ir::print(program), arena, options);
      EXPECT_TRUE(ir::alpha_equal(program, again)) << ir::print(program) << "\n" << ir::print(again);
      EXPECT_EQ(ir::structural_hash(program), ir::structural_hash(again));
    } catch (const ir::UserError& error) {
      EXPECT_FALSE(error.diagnostics().empty());
      for (const ir::Diagnostic& diagnostic : error.diagnostics()) EXPECT_TRUE(diagnostic.location.known());
    }
    const auto elapsed = std::chrono::steady_clock::now() - start;
    EXPECT_LT(elapsed, std::chrono::seconds(kSanitized ? 60 : 10));
  }
  EXPECT_GT(accepted, 500);
}

}  // namespace
}  // namespace weld::parser
