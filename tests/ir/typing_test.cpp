#include "ir/typing.h"

#include <gtest/gtest.h>

#include "program_builder.h"

namespace weld::ir {
namespace {

class TypingTest : public testing::Test {
 protected:
  template <class N, class... Fields>
  Expr make(const Fields&... fields) {
    return p.arena.make<N>({}, fields...);
  }
  // The type of a node, or the message with which it is rejected.
  template <class N, class... Fields>
  std::string type(const Fields&... fields) {
    std::string text;
    const std::string message = rejection([&] { text = to_string(make<N>(fields...).type()); });
    return message.empty() ? text : "! " + message;
  }
  template <class N, class... Fields>
  bool rejected(const Fields&... fields) {
    return type<N>(fields...).starts_with("! ");
  }
  Expr function(std::vector<Type> types, Expr value) {
    return p.lambda(std::move(types), [&](auto) { return value; });
  }

  ProgramBuilder p;
  Arena& a = p.arena;
  Expr i = p.i64(1);
  Expr d = p.f64(1);
  Expr flag = p.boolean(true);
  Expr ints = p.i64s({1});
  Expr floats = p.f64s({1});
  Expr lanes = make<Broadcast>(d);
  Expr pair = p.structure({i, d});
  Type sum = a.merger(kI64, MergeOp::kAdd);
  Type list = a.appender(kI64);
  Type counts = a.dictmerger(kI64, kF64, MergeOp::kAdd);
  Type groups = a.groupmerger(kI64, kF64);
  Type bins = a.vecmerger(kF64, MergeOp::kAdd);
  Expr dict = p.result(p.builder(counts));
  Expr f = function({kI64}, i);
};

TEST_F(TypingTest, LiteralsAndStrings) {
  EXPECT_EQ(type<Literal>(ScalarValue::of(std::uint8_t{1})), "u8");
  EXPECT_EQ(type<StringLiteral>(std::string_view("x")), "vec[i8]");
}

TEST_F(TypingTest, FunctionsAndApplication) {
  EXPECT_EQ(to_string(f.type()), "|i64| i64");
  EXPECT_EQ(type<Apply>(f, std::vector<Expr>{i}), "i64");
  EXPECT_EQ(type<Apply>(f, std::vector<Expr>{d}), "! argument 1 has type f64, but i64 is expected");
  EXPECT_EQ(type<Apply>(f, std::vector<Expr>{}), "! the function takes 1 arguments, but 0 are given");
  EXPECT_EQ(type<Apply>(i, std::vector<Expr>{}), "! i64 is not a function");
  EXPECT_TRUE(rejected<Lambda>(std::vector<Parameter>{{a.fresh_symbol("x"), Type()}}, i));
  EXPECT_TRUE(rejected<Lambda>(std::vector<Parameter>{}, f));
}

TEST_F(TypingTest, Casts) {
  EXPECT_EQ(type<Cast>(ScalarKind::kI8, d), "i8");
  EXPECT_EQ(type<Cast>(ScalarKind::kI32, lanes), "simd[i32]");
  EXPECT_EQ(type<Cast>(ScalarKind::kI8, ints), "! cannot convert vec[i64] to i8: a scalar is expected");
}

TEST_F(TypingTest, UnaryOperators) {
  EXPECT_EQ(type<Unary>(UnaryOp::kNeg, i), "i64");
  EXPECT_EQ(type<Unary>(UnaryOp::kNeg, flag), "! operand of - has type bool, but a number is expected");
  EXPECT_EQ(type<Unary>(UnaryOp::kNot, flag), "bool");
  EXPECT_TRUE(rejected<Unary>(UnaryOp::kNot, i));
  EXPECT_EQ(type<Unary>(UnaryOp::kExp, lanes), "simd[f64]");
  EXPECT_EQ(type<Unary>(UnaryOp::kExp, i), "! operand of exp has type i64, but f32 or f64 is expected");
  EXPECT_EQ(type<Unary>(UnaryOp::kAbs, i), "i64");
  EXPECT_EQ(type<Unary>(UnaryOp::kIsNan, d), "bool");
  EXPECT_EQ(type<Unary>(UnaryOp::kIsNan, lanes), "simd[bool]");
  EXPECT_TRUE(rejected<Unary>(UnaryOp::kSqrt, pair));
}

TEST_F(TypingTest, BinaryOperators) {
  EXPECT_EQ(type<Binary>(BinaryOp::kAdd, i, i), "i64");
  EXPECT_EQ(type<Binary>(BinaryOp::kAdd, i, d), "! operands of + have different types, i64 and f64");
  EXPECT_EQ(type<Binary>(BinaryOp::kMin, lanes, lanes), "simd[f64]");
  EXPECT_TRUE(rejected<Binary>(BinaryOp::kAdd, flag, flag));
  EXPECT_TRUE(rejected<Binary>(BinaryOp::kAdd, ints, ints));
  EXPECT_EQ(type<Binary>(BinaryOp::kEq, pair, pair), "bool");
  EXPECT_EQ(type<Binary>(BinaryOp::kLt, ints, ints), "bool");
  EXPECT_EQ(type<Binary>(BinaryOp::kLt, lanes, lanes), "simd[bool]");
  EXPECT_EQ(type<Binary>(BinaryOp::kEq, dict, dict), "! values of type dict[i64,f64] cannot be compared");
  EXPECT_EQ(type<Binary>(BinaryOp::kLogicalAnd, flag, flag), "bool");
  EXPECT_TRUE(rejected<Binary>(BinaryOp::kLogicalAnd, i, i));
  const Expr flags = make<Broadcast>(flag);
  EXPECT_TRUE(rejected<Binary>(BinaryOp::kLogicalOr, flags, flags));
  EXPECT_EQ(type<Binary>(BinaryOp::kBitOr, flags, flags), "simd[bool]");
  EXPECT_EQ(type<Binary>(BinaryOp::kShl, i, i), "i64");
  EXPECT_TRUE(rejected<Binary>(BinaryOp::kShl, flag, flag));
  EXPECT_TRUE(rejected<Binary>(BinaryOp::kXor, d, d));
  EXPECT_EQ(type<Binary>(BinaryOp::kPow, d, d), "f64");
  EXPECT_TRUE(rejected<Binary>(BinaryOp::kAtan2, i, i));
}

TEST_F(TypingTest, Conditions) {
  EXPECT_EQ(type<Assert>(flag), "bool");
  EXPECT_TRUE(rejected<Assert>(i));
  EXPECT_EQ(type<If>(flag, i, i), "i64");
  EXPECT_TRUE(rejected<If>(i, i, i));
  EXPECT_TRUE(rejected<If>(flag, f, f));
  EXPECT_EQ(type<If>(flag, i, d), "! the branches of if have different types, i64 and f64");
  EXPECT_EQ(type<If>(flag, p.builder(sum), p.builder(sum)), "merger[i64,+]");
  EXPECT_EQ(type<Select>(flag, ints, ints), "vec[i64]");
  EXPECT_EQ(type<Select>(make<Broadcast>(flag), lanes, lanes), "simd[f64]");
  EXPECT_TRUE(rejected<Select>(make<Broadcast>(flag), d, d));
  EXPECT_TRUE(rejected<Select>(flag, p.builder(sum), p.builder(sum)));
  EXPECT_EQ(type<Broadcast>(d), "simd[f64]");
  EXPECT_TRUE(rejected<Broadcast>(pair));
}

TEST_F(TypingTest, Iterate) {
  EXPECT_EQ(type<Iterate>(i, function({kI64}, p.structure({i, flag}))), "i64");
  EXPECT_TRUE(rejected<Iterate>(i, function({kF64}, p.structure({i, flag}))));
  EXPECT_TRUE(rejected<Iterate>(i, function({kI64}, p.structure({i, i}))));
  EXPECT_TRUE(rejected<Iterate>(i, function({kI64, kI64}, p.structure({i, flag}))));
  EXPECT_TRUE(rejected<Iterate>(i, i));
}

TEST_F(TypingTest, StructsAndVectors) {
  EXPECT_EQ(type<MakeStruct>(std::vector<Expr>{i, pair}), "{i64,{i64,f64}}");
  EXPECT_EQ(type<MakeStruct>(std::vector<Expr>{}), "{}");
  EXPECT_TRUE(rejected<MakeStruct>(std::vector<Expr>{f}));
  EXPECT_EQ(type<GetField>(pair, 1u), "f64");
  EXPECT_EQ(type<GetField>(pair, 2u), "! there is no field $2 in {i64,f64}");
  EXPECT_TRUE(rejected<GetField>(i, 0u));
  EXPECT_EQ(type<MakeVector>(std::vector<Expr>{}, kF32), "vec[f32]");
  EXPECT_TRUE(rejected<MakeVector>(std::vector<Expr>{i}, kF32));
  EXPECT_TRUE(rejected<MakeVector>(std::vector<Expr>{p.builder(sum)}, sum));
  EXPECT_EQ(type<Zip>(std::vector<Expr>{ints, floats}), "vec[{i64,f64}]");
  EXPECT_TRUE(rejected<Zip>(std::vector<Expr>{ints, i}));
}

TEST_F(TypingTest, LookupsAndSlices) {
  EXPECT_EQ(type<Length>(ints), "i64");
  EXPECT_EQ(type<Length>(dict), "i64");
  EXPECT_TRUE(rejected<Length>(i));
  EXPECT_EQ(type<Lookup>(floats, i), "f64");
  EXPECT_TRUE(rejected<Lookup>(floats, p.i32(1)));
  EXPECT_EQ(type<Lookup>(dict, i), "f64");
  EXPECT_TRUE(rejected<Lookup>(dict, d));
  EXPECT_TRUE(rejected<Lookup>(i, i));
  EXPECT_EQ(type<OptLookup>(dict, i), "{bool,f64}");
  EXPECT_TRUE(rejected<OptLookup>(floats, i));
  EXPECT_EQ(type<KeyExists>(dict, i), "bool");
  EXPECT_TRUE(rejected<KeyExists>(dict, d));
  EXPECT_EQ(type<Slice>(floats, i, i), "vec[f64]");
  EXPECT_TRUE(rejected<Slice>(floats, i, d));
  EXPECT_TRUE(rejected<Slice>(dict, i, i));
  EXPECT_EQ(type<ToVec>(dict), "vec[{i64,f64}]");
  EXPECT_TRUE(rejected<ToVec>(ints));
}

TEST_F(TypingTest, Sorts) {
  EXPECT_EQ(type<Sort>(ints, function({kI64}, pair)), "vec[i64]");
  EXPECT_EQ(type<Sort>(ints, function({kI64, kI64}, p.i32(1))), "vec[i64]");
  EXPECT_TRUE(rejected<Sort>(ints, function({kI64, kI64}, i)));
  EXPECT_TRUE(rejected<Sort>(ints, function({kF64}, i)));
  EXPECT_TRUE(rejected<Sort>(ints, function({kI64}, dict)));
  EXPECT_TRUE(rejected<Sort>(i, function({kI64}, i)));
}

TEST_F(TypingTest, SerializationAndForeignCalls) {
  EXPECT_EQ(type<Serialize>(pair), "vec[u8]");
  EXPECT_TRUE(rejected<Serialize>(lanes));
  EXPECT_TRUE(rejected<Serialize>(p.builder(sum)));
  const Expr bytes = make<Serialize>(i);
  EXPECT_EQ(type<Deserialize>(a.dict(kI64, kF64), bytes), "dict[i64,f64]");
  EXPECT_TRUE(rejected<Deserialize>(kI64, ints));
  EXPECT_TRUE(rejected<Deserialize>(sum, bytes));
  EXPECT_EQ(type<ForeignCall>(std::string_view("g"), kF64, std::vector<Expr>{i, ints}), "f64");
  EXPECT_TRUE(rejected<ForeignCall>(std::string_view("g"), sum, std::vector<Expr>{}));
  EXPECT_TRUE(rejected<ForeignCall>(std::string_view("g"), kF64, std::vector<Expr>{p.builder(sum)}));
  EXPECT_TRUE(rejected<ForeignCall>(std::string_view("g"), kF64, std::vector<Expr>{f}));
}

TEST_F(TypingTest, Builders) {
  const auto bare = [&](Type builder) { return type<NewBuilder>(builder, Expr()); };
  EXPECT_EQ(bare(list), "appender[i64]");
  EXPECT_TRUE(rejected<NewBuilder>(kI64, Expr()));
  EXPECT_EQ(bare(bins), "! vecmerger needs the vector that it starts from");
  EXPECT_EQ(type<NewBuilder>(bins, floats), "vecmerger[f64,+]");
  EXPECT_TRUE(rejected<NewBuilder>(bins, ints));
  EXPECT_EQ(type<NewBuilder>(list, i), "appender[i64]");
  EXPECT_TRUE(rejected<NewBuilder>(list, d));
  EXPECT_EQ(type<NewBuilder>(sum, i), "merger[i64,+]");
  EXPECT_TRUE(rejected<NewBuilder>(sum, d));
  EXPECT_EQ(type<NewBuilder>(counts, i), "dictmerger[i64,f64,+]");
  EXPECT_EQ(type<NewBuilder>(counts, dict), "dictmerger[i64,f64,+]");
  EXPECT_TRUE(rejected<NewBuilder>(counts, d));
}

TEST_F(TypingTest, Merges) {
  EXPECT_EQ(type<Merge>(p.builder(sum), i), "merger[i64,+]");
  EXPECT_EQ(type<Merge>(p.builder(sum), d), "! merge value has type f64, but the builder takes i64");
  EXPECT_EQ(type<Merge>(p.builder(sum), make<Broadcast>(i)), "merger[i64,+]");
  EXPECT_TRUE(rejected<Merge>(p.builder(sum), lanes));
  EXPECT_EQ(type<Merge>(p.builder(list), make<Broadcast>(i)), "appender[i64]");
  EXPECT_EQ(type<Merge>(p.builder(counts), pair), "dictmerger[i64,f64,+]");
  EXPECT_EQ(type<Merge>(p.builder(groups), pair), "groupmerger[i64,f64]");
  EXPECT_EQ(type<Merge>(p.builder(bins, floats), pair), "vecmerger[f64,+]");
  EXPECT_TRUE(rejected<Merge>(p.builder(counts), i));
  EXPECT_TRUE(rejected<Merge>(i, i));
  EXPECT_EQ(type<MergeMasked>(p.builder(sum), i, flag), "merger[i64,+]");
  EXPECT_EQ(type<MergeMasked>(p.builder(sum), make<Broadcast>(i), make<Broadcast>(flag)), "merger[i64,+]");
  EXPECT_TRUE(rejected<MergeMasked>(p.builder(sum), make<Broadcast>(i), flag));
}

TEST_F(TypingTest, Results) {
  EXPECT_EQ(type<Result>(p.builder(list)), "vec[i64]");
  EXPECT_EQ(type<Result>(p.builder(groups)), "dict[i64,vec[f64]]");
  EXPECT_EQ(type<Result>(p.builder(bins, floats)), "vec[f64]");
  EXPECT_EQ(type<Result>(p.structure({p.builder(sum), p.structure({p.builder(list)})})), "{i64,{vec[i64]}}");
  EXPECT_TRUE(rejected<Result>(i));
  EXPECT_TRUE(rejected<Result>(p.structure({p.builder(sum), i})));
}

TEST_F(TypingTest, Loops) {
  const auto loop = [&](std::vector<Iterator> iterators, Expr builder, std::vector<Type> types, Expr value) {
    return type<For>(iterators, builder, function(std::move(types), value));
  };
  const Expr b = p.builder(sum);
  EXPECT_EQ(loop({p.each(floats)}, b, {sum, kI64, kF64}, b), "merger[i64,+]");
  EXPECT_EQ(loop({p.each(floats), p.range(0, 1)}, b, {sum, kI64, a.structure({kF64, kI64})}, b),
            "merger[i64,+]");
  EXPECT_EQ(
      loop({{.kind = IteratorKind::kSimd, .data = floats}}, b, {sum, kI64, a.simd(ScalarKind::kF64)}, b),
      "merger[i64,+]");
  EXPECT_TRUE(loop({p.each(floats)}, b, {sum, kI64, kI64}, b).starts_with('!'));
  EXPECT_TRUE(loop({p.each(floats)}, b, {sum, kI32, kF64}, b).starts_with('!'));
  EXPECT_TRUE(loop({p.each(floats)}, b, {list, kI64, kF64}, b).starts_with('!'));
  EXPECT_TRUE(loop({p.each(floats)}, b, {sum, kI64}, b).starts_with('!'));
  EXPECT_TRUE(loop({p.each(floats)}, b, {sum, kI64, kF64}, i).starts_with('!'));
  EXPECT_TRUE(loop({p.each(i)}, b, {sum, kI64, kI64}, b).starts_with('!'));
  EXPECT_TRUE(loop({p.each(floats)}, i, {kI64, kI64, kF64}, i).starts_with('!'));
  EXPECT_TRUE(loop({}, b, {sum, kI64, kF64}, b).starts_with('!'));
  const Expr pairs = p.vector(pair.type(), {pair});
  EXPECT_TRUE(
      loop({{.kind = IteratorKind::kSimd, .data = pairs}}, b, {sum, kI64, pair.type()}, b).starts_with('!'));
  const Iterator bad{.data = floats, .start = d, .end = i, .stride = i};
  EXPECT_TRUE(loop({bad}, b, {sum, kI64, kF64}, b).starts_with('!'));
  const Iterator shaped{.kind = IteratorKind::kNd,
                        .data = floats,
                        .start = i,
                        .end = i,
                        .stride = i,
                        .shape = floats,
                        .strides = ints};
  EXPECT_TRUE(loop({shaped}, b, {sum, kI64, kF64}, b).starts_with('!'));
}

TEST_F(TypingTest, MalformedTypes) {
  EXPECT_NE(rejection([&] { a.vec(sum); }), "");
  EXPECT_NE(rejection([&] { a.vec(f.type()); }), "");
  EXPECT_NE(rejection([&] { a.dict(a.dict(kI64, kI64), kI64); }), "");
  EXPECT_NE(rejection([&] { a.dict(a.simd(ScalarKind::kI64), kI64); }), "");
  EXPECT_EQ(rejection([&] { a.dict(a.vec(a.structure({kF64})), sum.as<MergerType>()->value); }), "");
  EXPECT_NE(rejection([&] { a.merger(kBool, MergeOp::kAdd); }), "");
  EXPECT_NE(rejection([&] { a.merger(a.vec(kI64), MergeOp::kAdd); }), "");
  EXPECT_NE(rejection([&] { a.merger(a.structure({}), MergeOp::kAdd); }), "");
  EXPECT_NE(rejection([&] { a.structure({f.type()}); }), "");
  EXPECT_NE(rejection([&] { a.groupmerger(dict.type(), kI64); }), "");
  Type deep = kI64;
  EXPECT_NE(rejection([&] {
              for (int n = 0; n < 300; ++n) deep = a.vec(deep);
            }),
            "");
}

}  // namespace
}  // namespace weld::ir
