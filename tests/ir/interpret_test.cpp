#include "ir/interpret.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>

#include "ir/verify.h"
#include "program_builder.h"

namespace weld::ir {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class InterpretTest : public testing::Test {
 protected:
  template <class N, class... Fields>
  Expr make(const Fields&... fields) {
    return p.arena.make<N>({}, fields...);
  }
  Expr length(Expr value) { return make<Length>(value); }
  Expr lookup(Expr container, Expr key) { return make<Lookup>(container, key); }
  Expr slice(Expr v, std::int64_t start, std::int64_t count) {
    return make<Slice>(v, p.i64(start), p.i64(count));
  }
  Expr kv(Expr key, Expr value) { return p.structure({key, value}); }
  Iterator strided(Expr v, std::int64_t start, std::int64_t end, std::int64_t stride,
                   IteratorKind kind = IteratorKind::kScalar) {
    return {.kind = kind, .data = v, .start = p.i64(start), .end = p.i64(end), .stride = p.i64(stride)};
  }
  // The elements that an iterator gives.
  std::string elements(std::vector<Iterator> iterators) {
    Type element;
    p.loop(iterators, p.builder(p.arena.appender(kBool)), [&](Expr b, Expr, Expr e) {
      element = e.type();
      return b;
    });
    return run(p.result(p.loop(iterators, p.builder(p.arena.appender(element)),
                               [&](Expr b, Expr, Expr e) { return p.merge(b, e); })));
  }
  // The dictionary {1: 10, 2: 20}.
  Expr small_dict() {
    Expr b = p.builder(p.arena.dictmerger(kI64, kI64, MergeOp::kAdd));
    b = p.merge(b, kv(p.i64(1), p.i64(4)));
    b = p.merge(b, kv(p.i64(2), p.i64(20)));
    return p.result(p.merge(b, kv(p.i64(1), p.i64(6))));
  }

  ProgramBuilder p;
};

TEST_F(InterpretTest, ScalarsStructsAndFunctions) {
  EXPECT_EQ(run(p.add(p.i64(2), p.mul(p.i64(3), p.i64(4)))), "14");
  EXPECT_EQ(run(make<StringLiteral>(std::string_view("ab"))), "[97,98]");
  EXPECT_EQ(run(p.field(p.structure({p.i64(1), p.f64(2.5)}), 1)), "2.5");
  EXPECT_EQ(run(p.structure({})), "{}");
  EXPECT_EQ(run(p.cast(ScalarKind::kI8, p.i64(300))), "44");
  EXPECT_EQ(run(p.unary(UnaryOp::kNot, p.boolean(true))), "false");
  EXPECT_EQ(run(p.let(p.lambda({kI64}, [&](auto x) { return p.add(x[0], p.i64(1)); }),
                      [&](Expr f) { return p.apply(f, {p.apply(f, {p.i64(1)})}); })),
            "3");
  EXPECT_EQ(run(p.lambda({kI64, kF64}, [&](auto x) { return p.structure({x[1], x[0]}); }),
                {Value::of(std::int64_t{1}), Value::of(0.5)}),
            "{0.5,1}");
}

TEST_F(InterpretTest, BranchesAreLazyAndSelectIsNot) {
  const Expr fails = p.binary(BinaryOp::kDiv, p.i64(1), p.i64(0));
  EXPECT_EQ(run(fails), "ArithmeticError");
  EXPECT_EQ(run(p.if_(p.boolean(true), p.i64(1), fails)), "1");
  EXPECT_EQ(run(p.select(p.boolean(true), p.i64(1), fails)), "ArithmeticError");
  const Expr fails_bool = p.less(fails, p.i64(0));
  EXPECT_EQ(run(p.binary(BinaryOp::kLogicalAnd, p.boolean(false), fails_bool)), "false");
  EXPECT_EQ(run(p.binary(BinaryOp::kLogicalOr, p.boolean(true), fails_bool)), "true");
  EXPECT_EQ(run(p.binary(BinaryOp::kLogicalAnd, p.boolean(true), fails_bool)), "ArithmeticError");
  EXPECT_EQ(run(make<Assert>(p.boolean(false))), "AssertionError");
  EXPECT_EQ(run(make<Assert>(p.boolean(true))), "true");
}

TEST_F(InterpretTest, StructuresCompareAtTheFirstDifference) {
  const auto compare = [&](BinaryOp op, Expr l, Expr r) { return run(p.binary(op, l, r)); };
  EXPECT_EQ(compare(BinaryOp::kLt, p.i64s({1, 2}), p.i64s({1, 2, 0})), "true");
  EXPECT_EQ(compare(BinaryOp::kGt, p.i64s({1, 3}), p.i64s({1, 2, 0})), "true");
  EXPECT_EQ(compare(BinaryOp::kLe, p.i64s({}), p.i64s({})), "true");
  EXPECT_EQ(compare(BinaryOp::kEq, p.f64s({0.0}), p.f64s({-0.0})), "true");
  EXPECT_EQ(compare(BinaryOp::kEq, p.f64s({kNan}), p.f64s({kNan})), "false");
  EXPECT_EQ(compare(BinaryOp::kNe, p.f64s({kNan, 1}), p.f64s({kNan, 1})), "true");
  EXPECT_EQ(compare(BinaryOp::kLt, p.f64s({kNan, 1}), p.f64s({kNan, 2})), "false");
  EXPECT_EQ(compare(BinaryOp::kGe, kv(p.i64(1), p.boolean(true)), kv(p.i64(1), p.boolean(false))), "true");
  EXPECT_EQ(compare(BinaryOp::kLt, make<StringLiteral>(std::string_view("\xff")),
                    make<StringLiteral>(std::string_view("a"))),
            "true");  // i8 is signed
}

TEST_F(InterpretTest, VectorsAndSlices) {
  const Expr v = p.i64s({1, 2, 3});
  EXPECT_EQ(run(v), "[1,2,3]");
  EXPECT_EQ(run(length(v)), "3");
  EXPECT_EQ(run(lookup(v, p.i64(2))), "3");
  EXPECT_EQ(run(lookup(v, p.i64(3))), "ArrayOutOfBounds");
  EXPECT_EQ(run(lookup(v, p.i64(-1))), "ArrayOutOfBounds");
  EXPECT_EQ(run(slice(v, 1, 1)), "[2]");
  EXPECT_EQ(run(slice(v, 1, INT64_MAX)), "[2,3]");
  EXPECT_EQ(run(slice(v, 3, 5)), "[]");
  EXPECT_EQ(run(slice(v, 4, 0)), "ArrayOutOfBounds");
  EXPECT_EQ(run(slice(v, 0, -1)), "ArrayOutOfBounds");
  EXPECT_EQ(run(lookup(slice(slice(v, 1, 2), 1, 1), p.i64(0))), "3");
  EXPECT_EQ(run(make<Zip>(std::vector<Expr>{v, p.f64s({1, 2, 3})})), "[{1,1},{2,2},{3,3}]");
  EXPECT_EQ(run(make<Zip>(std::vector<Expr>{v, p.f64s({1})})), "MismatchedZipSize");
}

TEST_F(InterpretTest, Simd) {
  const Expr one = make<Broadcast>(p.f64(1.5));
  EXPECT_EQ(run(p.add(one, one)), "<3,3,3,3>");
  EXPECT_EQ(run(p.unary(UnaryOp::kFloor, one)), "<1,1,1,1>");
  EXPECT_EQ(run(p.cast(ScalarKind::kI32, one)), "<1,1,1,1>");
  EXPECT_EQ(run(p.less(one, make<Broadcast>(p.f64(2)))), "<true,true,true,true>");
  EXPECT_EQ(run(p.select(p.less(one, one), one, make<Broadcast>(p.f64(2)))), "<2,2,2,2>");
  EXPECT_EQ(run(p.binary(BinaryOp::kDiv, make<Broadcast>(p.i64(1)), make<Broadcast>(p.i64(0)))),
            "ArithmeticError");
  const Expr v = p.f64s({1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  const Iterator groups{.kind = IteratorKind::kSimd, .data = v};
  const Iterator rest{.kind = IteratorKind::kFringe, .data = v};
  EXPECT_EQ(elements({groups}), "[<1,2,3,4>,<5,6,7,8>]");
  EXPECT_EQ(elements({rest}), "[9,10]");
  EXPECT_EQ(elements({strided(v, 1, 6, 1, IteratorKind::kSimd)}), "[<2,3,4,5>]");
  EXPECT_EQ(elements({strided(v, 1, 6, 1, IteratorKind::kFringe)}), "[6]");
  EXPECT_EQ(elements({strided(v, 1, 6, 2, IteratorKind::kSimd)}), "BadIteratorLength");
  // simd values in an appender and a merger of scalars
  const auto filled = [&](Type builder) {
    return run(
        p.result(p.loop({groups}, p.builder(builder), [&](Expr b, Expr, Expr e) { return p.merge(b, e); })));
  };
  EXPECT_EQ(filled(p.arena.appender(kF64)), "[1,2,3,4,5,6,7,8]");
  EXPECT_EQ(filled(p.arena.merger(kF64, MergeOp::kAdd)), "36");
}

TEST_F(InterpretTest, MaskedMerges) {
  const auto masked = [&](Type builder, Expr value, Expr mask) {
    return run(p.result(make<MergeMasked>(p.builder(builder), value, mask)));
  };
  const Type sum = p.arena.merger(kI64, MergeOp::kMul);
  EXPECT_EQ(masked(sum, p.i64(3), p.boolean(true)), "3");
  EXPECT_EQ(masked(sum, p.i64(3), p.boolean(false)), "1");
  const Expr e = p.cast(ScalarKind::kI64, make<Broadcast>(p.i64(2)));
  EXPECT_EQ(masked(sum, e, make<Broadcast>(p.boolean(true))), "16");
  EXPECT_EQ(masked(p.arena.appender(kI64), e, make<Broadcast>(p.boolean(false))), "[]");
  const Expr mixed = p.loop(
      {{.kind = IteratorKind::kSimd, .data = p.i64s({1, 2, 3, 4})}}, p.builder(p.arena.appender(kI64)),
      [&](Expr b, Expr, Expr v) { return make<MergeMasked>(b, v, p.less(v, make<Broadcast>(p.i64(3)))); });
  EXPECT_EQ(run(p.result(mixed)), "[1,2]");
  // Any number of lanes.
  std::vector<ScalarValue> lanes;
  for (int i = 1; i <= 8; ++i) lanes.push_back(ScalarValue::of<double>(i));
  const Expr eight = p.lambda({p.arena.simd(ScalarKind::kF64, 8)}, [&](auto x) {
    return p.structure(
        {p.add(x[0], x[0]), p.result(p.merge(p.builder(p.arena.merger(kF64, MergeOp::kAdd)), x[0]))});
  });
  EXPECT_EQ(run(eight, {Value::simd(lanes)}), "{<2,4,6,8,10,12,14,16>,36}");
}

TEST_F(InterpretTest, Iterators) {
  const Expr v = p.i64s({0, 10, 20, 30, 40});
  EXPECT_EQ(elements({p.each(v)}), "[0,10,20,30,40]");
  EXPECT_EQ(elements({strided(v, 1, 5, 2)}), "[10,30]");
  EXPECT_EQ(elements({strided(v, 0, 5, 2)}), "[0,20,40]");
  EXPECT_EQ(elements({strided(v, 5, 5, 1)}), "[]");
  EXPECT_EQ(elements({strided(v, 0, 5, 0)}), "BadIteratorLength");
  EXPECT_EQ(elements({strided(v, 3, 2, 1)}), "BadIteratorLength");
  EXPECT_EQ(elements({strided(v, INT64_MIN, INT64_MAX, 1)}), "BadIteratorLength");
  EXPECT_EQ(elements({strided(v, 0, 6, 1)}), "ArrayOutOfBounds");
  EXPECT_EQ(elements({strided(v, -1, 2, 1)}), "ArrayOutOfBounds");
  EXPECT_EQ(elements({p.range(-2, 5, 3)}), "[-2,1,4]");
  EXPECT_EQ(elements({p.range(5, -2)}), "BadIteratorLength");
  EXPECT_EQ(elements({p.range(INT64_MIN, INT64_MAX)}), "BadIteratorLength");
  EXPECT_EQ(elements({p.each(v), p.range(0, 5)}), "[{0,0},{10,1},{20,2},{30,3},{40,4}]");
  EXPECT_EQ(elements({p.each(v), p.range(0, 4)}), "MismatchedZipSize");
  EXPECT_EQ(elements({p.each(v), strided(v, 0, 5, 0)}), "BadIteratorLength");
}

TEST_F(InterpretTest, NdIterators) {
  const Expr v = p.i64s({0, 1, 2, 3, 4, 5});
  const auto nd = [&](std::int64_t start, std::int64_t end, std::int64_t stride,
                      std::initializer_list<std::int64_t> shape,
                      std::initializer_list<std::int64_t> strides) {
    return elements({Iterator{.kind = IteratorKind::kNd,
                              .data = v,
                              .start = p.i64(start),
                              .end = p.i64(end),
                              .stride = p.i64(stride),
                              .shape = p.i64s(shape),
                              .strides = p.i64s(strides)}});
  };
  EXPECT_EQ(nd(0, 6, 1, {2, 3}, {3, 1}), "[0,1,2,3,4,5]");
  EXPECT_EQ(nd(0, 6, 1, {3, 2}, {1, 3}), "[0,3,1,4,2,5]");
  EXPECT_EQ(nd(5, 11, 1, {6}, {-1}), "[5,4,3,2,1,0]");
  EXPECT_EQ(nd(1, 4, 1, {3}, {0}), "[1,1,1]");
  EXPECT_EQ(nd(2, 3, 1, {}, {}), "[2]");
  EXPECT_EQ(nd(0, 0, 1, {0, 5}, {1, 1}), "[]");
  EXPECT_EQ(nd(0, 5, 1, {2, 3}, {3, 1}), "BadIteratorLength");
  EXPECT_EQ(nd(0, 6, 2, {2, 3}, {3, 1}), "BadIteratorLength");
  EXPECT_EQ(nd(0, 6, 1, {2, 3}, {1}), "BadIteratorLength");
  EXPECT_EQ(nd(0, 6, 1, {-2, -3}, {3, 1}), "BadIteratorLength");
  EXPECT_EQ(nd(0, 6, 1, {2, 3}, {3, 2}), "ArrayOutOfBounds");
  EXPECT_EQ(nd(0, 6, 1, {2, 3}, {-3, 1}), "ArrayOutOfBounds");
  EXPECT_EQ(nd(0, 2, 1, {2}, {INT64_MAX}), "ArrayOutOfBounds");
  EXPECT_EQ(nd(INT64_MAX - 2, INT64_MAX, 1, {2}, {INT64_MAX}), "ArrayOutOfBounds");
}

TEST_F(InterpretTest, Iterate) {
  const Expr program =
      p.iterate(p.i64(1), [&](Expr s) { return p.structure({p.mul(s, p.i64(2)), p.less(s, p.i64(100))}); });
  EXPECT_EQ(run(program), "256");
}

TEST_F(InterpretTest, MergersHoldTheirIdentityAndInitialValue) {
  const auto empty = [&](Type value, MergeOp op) {
    return run(p.result(p.builder(p.arena.merger(value, op))));
  };
  EXPECT_EQ(empty(kI64, MergeOp::kAdd), "0");
  EXPECT_EQ(empty(kF64, MergeOp::kMul), "1");
  EXPECT_EQ(empty(kI8, MergeOp::kMin), "127");
  EXPECT_EQ(empty(kI8, MergeOp::kMax), "-128");
  EXPECT_EQ(empty(kU8, MergeOp::kMax), "0");
  EXPECT_EQ(empty(kF64, MergeOp::kMin), "Infinity");
  EXPECT_EQ(empty(kF32, MergeOp::kMax), "-Infinity");
  const Type pair = p.arena.structure({kI64, kF64});
  EXPECT_EQ(empty(pair, MergeOp::kAdd), "{0,0}");
  const Expr initial = kv(p.i64(1), p.f64(0.5));
  const Expr b = p.builder(p.arena.merger(pair, MergeOp::kAdd), initial);
  EXPECT_EQ(run(p.result(p.merge(b, initial))), "{2,1}");
  const Expr least = p.merge(p.builder(p.arena.merger(kF64, MergeOp::kMin)), p.f64(kNan));
  EXPECT_EQ(run(p.result(p.merge(least, p.f64(1)))), "NaN");
}

TEST_F(InterpretTest, Dictionaries) {
  const Expr d = small_dict();
  EXPECT_EQ(run(d), "{1: 10,2: 20}");
  EXPECT_EQ(run(length(d)), "2");
  EXPECT_EQ(run(lookup(d, p.i64(2))), "20");
  EXPECT_EQ(run(lookup(d, p.i64(3))), "KeyNotFoundError");
  EXPECT_EQ(run(make<OptLookup>(d, p.i64(3))), "{false,0}");
  EXPECT_EQ(run(make<OptLookup>(d, p.i64(1))), "{true,10}");
  EXPECT_EQ(run(make<KeyExists>(d, p.i64(3))), "false");
  EXPECT_EQ(run(make<ToVec>(d)), "[{1,10},{2,20}]");
  // An initial dictionary is copied.
  EXPECT_EQ(run(p.let(d,
                      [&](Expr held) {
                        const Expr b = p.builder(p.arena.dictmerger(kI64, kI64, MergeOp::kAdd), held);
                        return p.structure({p.result(p.merge(b, kv(p.i64(3), p.i64(1)))), held});
                      })),
            "{{1: 10,2: 20,3: 1},{1: 10,2: 20}}");
}

TEST_F(InterpretTest, KeysWithFloatsAreCanonical) {
  Expr b = p.builder(p.arena.dictmerger(kF64, kI64, MergeOp::kAdd));
  for (double key : {-0.0, 0.0, kNan, -kNan}) b = p.merge(b, kv(p.f64(key), p.i64(1)));
  const Expr d = p.result(b);
  EXPECT_EQ(run(d), "{0: 2,NaN: 2}");
  EXPECT_EQ(run(lookup(d, p.f64(kNan))), "2");
  Expr c = p.builder(p.arena.dictmerger(p.arena.vec(kF64), kI64, MergeOp::kAdd));
  c = p.merge(c, kv(p.f64s({-0.0, kNan}), p.i64(1)));
  EXPECT_EQ(run(p.result(p.merge(c, kv(p.f64s({0.0, kNan}), p.i64(1))))), "{[-0,NaN]: 2}");
  Expr s = p.builder(p.arena.groupmerger(p.arena.structure({kF64, kI64}), kI64));
  s = p.merge(s, kv(kv(p.f64(-0.0), p.i64(1)), p.i64(7)));
  EXPECT_EQ(run(p.result(p.merge(s, kv(kv(p.f64(0.0), p.i64(1)), p.i64(8))))), "{{0,1}: [7,8]}");
}

TEST_F(InterpretTest, GroupsKeepTheOrderOfTheirValues) {
  const Expr groups =
      p.result(p.loop({p.range(0, 7)}, p.builder(p.arena.groupmerger(kI64, kI64)), [&](Expr b, Expr, Expr i) {
        return p.merge(b, kv(p.binary(BinaryOp::kRem, i, p.i64(3)), i));
      }));
  EXPECT_EQ(run(groups), "{0: [0,3,6],1: [1,4],2: [2,5]}");
}

TEST_F(InterpretTest, VecmergersCheckTheIndex) {
  const Expr b = p.builder(p.arena.vecmerger(kI64, MergeOp::kAdd), p.i64s({1, 2, 3}));
  EXPECT_EQ(run(p.result(p.merge(p.merge(b, kv(p.i64(1), p.i64(10))), kv(p.i64(1), p.i64(1))))), "[1,13,3]");
  EXPECT_EQ(run(p.merge(b, kv(p.i64(3), p.i64(10)))), "ArrayOutOfBounds");
  EXPECT_EQ(run(p.merge(b, kv(p.i64(-1), p.i64(10)))), "ArrayOutOfBounds");
  const Expr pairs = p.vector(p.arena.structure({kF64, kI64}), {kv(p.f64(1), p.i64(1))});
  const Expr c = p.loop(
      {p.range(0, 10)}, p.builder(p.arena.vecmerger(p.arena.structure({kF64, kI64}), MergeOp::kAdd), pairs),
      [&](Expr v, Expr, Expr i) { return p.merge(v, kv(p.i64(0), kv(p.cast(ScalarKind::kF64, i), i))); });
  EXPECT_EQ(run(p.result(c)), "[{46,46}]");
}

TEST_F(InterpretTest, StructsOfBuildersAndNestedLoops) {
  const Expr both = p.structure(
      {p.builder(p.arena.appender(kI64)), p.structure({p.builder(p.arena.merger(kI64, MergeOp::kAdd))})});
  const Expr program = p.result(p.loop({p.range(0, 4)}, both, [&](Expr b, Expr, Expr i) {
    const Expr inner =
        p.loop({p.range(0, 2)}, p.field(p.field(b, 1), 0), [&](Expr s, Expr, Expr) { return p.merge(s, i); });
    return p.structure({p.merge(p.field(b, 0), i), p.structure({inner})});
  }));
  EXPECT_EQ(run(program), "{[0,1,2,3],{12}}");
}

TEST_F(InterpretTest, SortsAreStable) {
  const auto sorted = [&](Expr v, const std::function<Expr(Expr)>& key) {
    const Type element = v.type().as<VecType>()->element;
    return run(make<Sort>(v, p.lambda({element}, [&](auto x) { return key(x[0]); })));
  };
  EXPECT_EQ(sorted(p.f64s({3, kNan, -0.0, 1, 0.0}), [](Expr x) { return x; }), "[-0,0,1,3,NaN]");
  EXPECT_EQ(
      sorted(p.i64s({13, 21, 11, 23, 2}), [&](Expr x) { return p.binary(BinaryOp::kRem, x, p.i64(10)); }),
      "[21,11,2,13,23]");
  EXPECT_EQ(sorted(p.i64s({3, 1, 2}), [&](Expr x) { return p.i64s({0}); }), "[3,1,2]");
  const auto compared = [&](const std::function<Expr(Expr, Expr)>& comparator) {
    return run(make<Sort>(p.i64s({3, 1, 2}),
                          p.lambda({kI64, kI64}, [&](auto x) { return comparator(x[0], x[1]); })));
  };
  EXPECT_EQ(
      compared([&](Expr l, Expr r) { return p.cast(ScalarKind::kI32, p.binary(BinaryOp::kSub, r, l)); }),
      "[3,2,1]");
  EXPECT_EQ(
      compared([&](Expr l, Expr) { return p.cast(ScalarKind::kI32, p.binary(BinaryOp::kDiv, l, p.i64(0))); }),
      "ArithmeticError");
  EXPECT_NE(compared([&](Expr, Expr) { return p.i32(-1); }), "");  // no order: some permutation
}

TEST_F(InterpretTest, SerializationRoundTrips) {
  const Type dict = p.arena.dict(kI64, kI64);
  const Type type = p.arena.structure({kI8, p.arena.vec(kF64), dict, kBool});
  const Expr value =
      p.structure({p.cast(ScalarKind::kI8, p.i64(-2)), p.f64s({1, kNan}), small_dict(), p.boolean(true)});
  const Expr bytes = make<Serialize>(value);
  EXPECT_EQ(run(length(bytes)), std::to_string(1 + 8 + 16 + 8 + 32 + 1));
  EXPECT_EQ(run(make<Deserialize>(type, bytes)), "{-2,[1,NaN],{1: 10,2: 20},true}");
  EXPECT_EQ(run(make<Deserialize>(type, slice(bytes, 0, 65))), "DeserializationError");
  EXPECT_EQ(run(make<Deserialize>(kI8, bytes)), "DeserializationError");
  EXPECT_EQ(run(make<Deserialize>(type, slice(bytes, 1, 100))), "DeserializationError");
  EXPECT_EQ(run(make<Serialize>(p.vector(kU8, {}))), "[0,0,0,0,0,0,0,0]");
  // A count that no buffer could hold, and a key that occurs twice.
  const auto bytes_of = [&](std::initializer_list<std::int64_t> words) {
    return make<Serialize>(p.i64s(words));
  };
  EXPECT_EQ(run(make<Deserialize>(p.arena.vec(kI64), bytes_of({}))), "[]");
  EXPECT_EQ(run(make<Deserialize>(p.arena.vec(kI64), slice(bytes_of({INT64_MAX}), 8, 8))),
            "DeserializationError");
  EXPECT_EQ(run(make<Deserialize>(p.arena.vec(kI64), slice(bytes_of({-1}), 8, 8))), "DeserializationError");
  EXPECT_EQ(run(make<Deserialize>(dict, slice(bytes_of({2, 1, 5, 2, 6}), 8, 99))), "{1: 5,2: 6}");
  EXPECT_EQ(run(make<Deserialize>(dict, slice(bytes_of({2, 1, 5, 1, 6}), 8, 99))), "DeserializationError");
  const Type nothing = p.arena.vec(p.arena.structure({}));
  EXPECT_EQ(run(make<Deserialize>(nothing, slice(bytes_of({2}), 8, 8))), "[{},{}]");
  EXPECT_EQ(run(make<Deserialize>(nothing, slice(bytes_of({INT64_MAX}), 8, 8))), "OutOfMemory");
}

class TestHost : public Host {
 public:
  bool count_bytes(std::int64_t delta) noexcept override {
    if (delta > 0 && held + delta > limit) return false;
    held += delta;
    peak = std::max(peak, held);
    return true;
  }
  ErrorCode poll() noexcept override {
    return ++polls > max_polls ? ErrorCode::kCancelled : ErrorCode::kSuccess;
  }
  std::expected<Value, ErrorCode> call_foreign(const ForeignCall& call,
                                               std::span<const Value> arguments) override {
    if (call.name != "twice") return Host::call_foreign(call, arguments);
    return Value::of(2 * arguments[0].as<std::int64_t>());
  }

  std::int64_t limit = INT64_MAX;
  std::int64_t held = 0;
  std::int64_t peak = 0;
  int polls = 0;
  int max_polls = INT32_MAX;
};

TEST_F(InterpretTest, HostLimitsCancelsAndCalls) {
  const Expr numbers = p.result(p.loop({p.range(0, 100'000)}, p.builder(p.arena.appender(kI64)),
                                       [&](Expr b, Expr, Expr i) { return p.merge(b, i); }));
  TestHost host;
  EXPECT_TRUE(interpret(numbers, {}, host).has_value());
  EXPECT_GE(host.peak, 800'000);
  host.limit = 100'000;
  host.held = 0;
  EXPECT_EQ(interpret(numbers, {}, host).error().code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(host.held, 0);

  // What is no longer held is not counted.
  const Expr again = p.iterate(p.i64(0), [&](Expr s) {
    const Expr made = p.result(p.loop({p.range(0, 1000)}, p.builder(p.arena.appender(kI64)),
                                      [&](Expr b, Expr, Expr i) { return p.merge(b, i); }));
    return p.structure({p.add(s, p.add(length(made), p.i64(-999))), p.less(s, p.i64(50))});
  });
  EXPECT_TRUE(interpret(again, {}, host).has_value());
  EXPECT_EQ(host.held, 0);

  TestHost impatient;
  impatient.max_polls = 3;
  const Expr forever = p.iterate(p.i64(0), [&](Expr s) { return p.structure({s, p.boolean(true)}); });
  EXPECT_EQ(interpret(forever, {}, impatient).error().code, ErrorCode::kCancelled);

  const Expr call = make<ForeignCall>(std::string_view("twice"), kI64, std::vector<Expr>{p.i64(21)});
  EXPECT_EQ(to_text(*interpret(call, {}, host)), "42");
  EXPECT_EQ(run(call), "Unknown");
}

TEST_F(InterpretTest, ErrorsCarryTheirPlace) {
  const Source* source = p.arena.keep_source(std::make_shared<Source>(Source{"t.weld", "1/0"}));
  const Expr program = p.arena.make<Binary>({source, 0, 3}, BinaryOp::kDiv, p.i64(1), p.i64(0));
  const auto outcome = interpret(program, {});
  EXPECT_EQ(locate(outcome.error().span).column, 1u);
  EXPECT_EQ(outcome.error().message, "integer division or remainder by zero");
}

TEST_F(InterpretTest, BuildersGoOnInAnotherRun) {
  const Type list = p.arena.appender(kI64);
  const Expr first = p.merge(p.builder(list), p.i64(1));
  const Expr second = p.lambda({list}, [&](auto b) { return p.result(p.merge(b[0], p.i64(2))); });
  const auto builder = interpret(first, {});
  ASSERT_TRUE(builder.has_value());
  EXPECT_EQ(run(second, {*builder}), "[1,2]");
}

TEST_F(InterpretTest, BorrowedDataIsReadInPlace) {
  const std::uint8_t flags[] = {0, 1, 2};
  const Expr program = p.lambda({p.arena.vec(kBool)}, [](auto x) { return x[0]; });
  EXPECT_EQ(run(program, {Value::borrow(ScalarKind::kBool, flags, 3, nullptr)}), "[false,true,true]");
}

TEST_F(InterpretTest, ValuesCompareToTheBit) {
  EXPECT_TRUE(same_bits(Value::of(kNan), Value::of(-kNan)));
  EXPECT_FALSE(same_bits(Value::of(0.0), Value::of(-0.0)));
  EXPECT_TRUE(same_bits(Value::vector_of<std::int8_t>({1, 2}), Value::vector_of<std::int8_t>({1, 2})));
  EXPECT_FALSE(same_bits(Value::vector_of<std::int8_t>({1, 2}), Value::vector_of<std::int8_t>({1})));
  EXPECT_FALSE(same_bits(Value::of(1), Value::structure({Value::of(1)})));
  const std::pair<Value, Value> ab[] = {{Value::of(1), Value::of(2)}, {Value::of(3), Value::of(4)}};
  const std::pair<Value, Value> ba[] = {ab[1], ab[0]};
  EXPECT_TRUE(same_bits(Value::dict(ab), Value::dict(ab)));
  EXPECT_FALSE(same_bits(Value::dict(ab), Value::dict(ba)));
}

TEST_F(InterpretTest, AMillionIterationsAreNoLongWait) {
  const Expr program = p.result(p.loop(
      {p.range(0, 1'000'000)}, p.builder(p.arena.merger(kF64, MergeOp::kAdd)), [&](Expr b, Expr, Expr i) {
        const Expr x = p.cast(ScalarKind::kF64, i);
        return p.merge(b, p.mul(x, x));
      }));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(run(program), "3.333328333335e+17");
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  RecordProperty("seconds", std::to_string(seconds.count()));
}

}  // namespace
}  // namespace weld::ir
