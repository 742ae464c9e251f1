#include <cstdint>
#include <cstring>
#include <random>
#include <string>

#include "tests/codegen/engine_fixture.h"

// Sorts of every kind of key against the interpreter. Elements are {key, position}, so that stability shows.

namespace weld::codegen {
namespace {

struct KeyCase {
  std::string_view name;
  std::string_view type;
  std::string_view key;  // of x: i64
};

constexpr KeyCase kKeys[] = {
    {"I8", "i8", "i8(x)"},
    {"U8", "u8", "u8(x)"},
    {"I16", "i16", "i16(x)"},
    {"U16", "u16", "u16(x)"},
    {"I32", "i32", "i32(x)"},
    {"U32", "u32", "u32(x)"},
    {"I64", "i64", "x"},
    {"U64", "u64", "u64(x)"},
    {"F32", "f32",
     "if(x % 7L == 0L, 0.0f / 0.0f, if(x % 5L == 0L, -0.0f, f32(x % 100L) * 0.0f + f32(x % 9L)))"},
    {"F64", "f64",
     "if(x % 7L == 0L, 0.0 / 0.0, if(x % 5L == 0L, -0.0, if(x % 3L == 0L, 0.0, 1.0 / f64(x % 1000L))))"},
    {"F64Spread", "f64", "f64(x) * 1.0e-3"},
    {"Bool", "bool", "x % 3L == 0L"},
    {"String", "vec[i8]",
     "result(for(rangeiter(0L, x & 15L, 1L), appender[i8], |c, j, y| merge(c, i8(x >> (y % 9L)))))"},
    {"StringOfBytes", "vec[u8]",
     "result(for(rangeiter(0L, x & 15L, 1L), appender[u8], |c, j, y| merge(c, u8((x >> y) & 129L))))"},
    {"StringWithPrefix", "vec[i8]",
     R"(result(for(rangeiter(0L, 12L + (x & 31L), 1L), appender[i8], |c, j, y|
          merge(c, if(y < 20L, 97c, i8(97L + ((x >> y) & 1L)))))))"},
    {"StringOfOneByte", "vec[i8]",
     "result(for(rangeiter(0L, x & 63L, 1L), appender[i8], |c, j, y| merge(c, -128c)))"},
    {"Struct", "{i32,i64}", "{i32(x % 10L), x}"},
    {"StructOfFloats", "{f64,bool,f32}",
     "{f64(x % 5L), x % 2L == 0L, if(x % 3L == 0L, -0.0f, f32(x % 50L))}"},
    {"StructOfSmall", "{i8,u16,bool}", "{i8(x), u16(x >> 8L), x % 2L == 0L}"},
    {"StructAcrossWords", "{i32,i64,i64,u8}", "{i32(x % 2L), x % 3L - 1L, x % 5L, u8(x)}"},
    {"StructOfMany", "{i64,i64,i64,i64,i64}", "{x % 2L, x % 3L, x % 2L, x % 2L, x}"},
    {"StructWithString", "{i64,vec[i8],i64}",
     "{x % 3L, result(for(rangeiter(0L, x & 7L, 1L), appender[i8], |c, j, y| merge(c, i8(x % 4L)))), x % "
     "5L}"},
    {"Nested", "{{i8,f32},{},bool}", "{{i8(x % 4L), f32(x % 6L)}, {}, x % 2L == 0L}"},
    {"Vector", "vec[i64]", "[x % 3L, x]"},
};

class Sorts : public testing::TestWithParam<KeyCase> {
 protected:
  static std::string program(std::string_view sort) {
    const KeyCase& key = GetParam();
    std::string text = "|v: vec[i64]| let elements = result(for(v, appender[{" + std::string(key.type) +
                       ",i64}], |b, i, x| merge(b, {" + std::string(key.key) + ", i}))); serialize(";
    return text + std::string(sort) + ")";
  }

  // Elements of a length, in several orders.
  static std::vector<std::vector<std::int64_t>> inputs(std::int64_t length) {
    std::mt19937_64 random(static_cast<std::uint64_t>(length) + 7);
    std::vector<std::vector<std::int64_t>> all(5);
    for (std::int64_t i = 0; i < length; ++i) {
      all[0].push_back(static_cast<std::int64_t>(random()));
      all[1].push_back(i);
      all[2].push_back(-i);
      all[3].push_back(i == length / 2 ? INT64_MIN : 42);
      all[4].push_back(static_cast<std::int64_t>(random() % 1000));
    }
    return all;
  }

  static std::string bytes_of(const Result& result) {
    runtime::VecView view;
    std::memcpy(&view, result.data(), sizeof view);
    return {reinterpret_cast<const char*>(view.data), static_cast<std::size_t>(view.length)};
  }

  static void check(std::string_view sort, std::initializer_list<std::int64_t> lengths) {
    CompileOptions interpreted;
    interpreted.interpret = true;
    const auto expected_program = compile(program(sort), interpreted);
    const auto compiled = compile(program(sort));
    const auto context = make_context();
    for (const std::int64_t length : lengths) {
      for (const auto& v : inputs(length)) {
        const I64Vector args(v);
        const auto expected = expected_program->run(context, &args, {});
        ASSERT_TRUE(expected) << expected.error().render();
        for (const int num_threads : {1, 2, 8}) {
          for (const auto executor : {runtime::ExecutorKind::kTbb, runtime::ExecutorKind::kThreads}) {
            if (num_threads == 1 && executor == runtime::ExecutorKind::kThreads) continue;
            const auto result =
                compiled->run(context, &args, {.num_threads = num_threads, .executor = executor});
            ASSERT_TRUE(result) << result.error().render();
            ASSERT_TRUE(bytes_of(*result) == bytes_of(*expected))
                << sort << ", " << length << " elements, " << num_threads << " threads, first " << v.front();
          }
        }
      }
    }
    EXPECT_EQ(context->bytes_in_use(), 0);
  }
};

TEST_P(Sorts, ByMember) {
  check("sort(elements, |e| e.$0)", {1, 2, 3, 25, 33, 1000});
}

TEST_P(Sorts, ByMemberInParallel) {
  check("sort(elements, |e| e.$0)", {70'001});
}

TEST_P(Sorts, ByComputedKey) {
  check("sort(elements, |e| {e.$0, e.$1 % 3L})", {1, 40, 3000});
}

TEST_P(Sorts, ByThemselves) {
  check("sort(result(for(elements, appender, |b, i, e| merge(b, e.$0))), |k| k)", {1, 2, 100, 5000});
}

TEST_P(Sorts, TheFirst) {
  check("slice(sort(elements, |e| e.$0), 0L, 7L)", {1, 7, 8, 500, 6000});
  check("slice(sort(result(for(elements, appender, |b, i, e| merge(b, e.$0))), |k| k), 0L, 40L)",
        {1, 300, 5000});
}

TEST_P(Sorts, TheFirstMany) {
  check("slice(sort(elements, |e| e.$0), 0L, 2000L)", {1000, 2001, 20'000});
}

INSTANTIATE_TEST_SUITE_P(Keys, Sorts, testing::ValuesIn(kKeys),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(SortErrors, KeysThatFailReportTheFirst) {
  const auto context = make_context();
  std::vector<std::int64_t> v = counting(200'000);
  const auto program = compile("|v: vec[i64]| len(sort(v, |x| 100L / (x - 150000L)))");
  const auto plain = compile("|v: vec[i64]| lookup(sort(v, |x| lookup(v, x)), 3L)");
  v[100'000] = -1;
  const I64Vector args(v);
  for (const int num_threads : {1, 2, 8}) {
    const auto division = program->run(context, &args, {.num_threads = num_threads});
    ASSERT_FALSE(division);
    EXPECT_EQ(division.error().code, ErrorCode::kArithmeticError);
    const auto lookup = plain->run(context, &args, {.num_threads = num_threads});
    ASSERT_FALSE(lookup);
    EXPECT_EQ(lookup.error().code, ErrorCode::kArrayOutOfBounds);
  }
  EXPECT_EQ(context->bytes_in_use(), 0);
}

TEST(SortErrors, StringsFromOutsideAreChecked) {
  const runtime::VecView strings[] = {{nullptr, 0}, {nullptr, 3}};
  const struct {
    const runtime::VecView* data;
    std::int64_t length;
  } args{strings, 2};
  for (const std::string_view text : {"|v: vec[vec[i8]]| sort(v, |s| s)", "|v: vec[vec[u8]]| sort(v, |s| s)",
                                      "|v: vec[vec[i8]]| sort(v, |s| {s, 1L})"}) {
    const auto result = compile(text)->run(make_context(), &args, {});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kArrayOutOfBounds);
  }
}

}  // namespace
}  // namespace weld::codegen
