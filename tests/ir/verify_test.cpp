#include "ir/verify.h"

#include <gtest/gtest.h>

#include "ir/fields.h"
#include "program_builder.h"

namespace weld::ir {
namespace {

class VerifyTest : public testing::Test {
 protected:
  std::string check(Expr program, Stage stage = Stage::kCore) {
    return rejection([&] { verify(program, stage); });
  }
  Expr sum_loop(Expr builder, const ProgramBuilder::Body3& body) {
    return p.loop({p.range(0, 3)}, builder, body);
  }
  Expr merge1(Expr builder) { return p.merge(builder, p.i64(1)); }

  ProgramBuilder p;
  Type sum = p.arena.merger(kI64, MergeOp::kAdd);
  Type list = p.arena.appender(kI64);
};

TEST_F(VerifyTest, AcceptsOrdinaryPrograms) {
  EXPECT_EQ(check(p.i64(1)), "");
  EXPECT_EQ(check(p.lambda({kI64}, [&](auto x) { return p.add(x[0], x[0]); })), "");
  EXPECT_EQ(check(p.result(sum_loop(p.builder(sum), [&](Expr b, Expr, Expr) { return merge1(b); }))), "");
  EXPECT_EQ(check(p.let(p.lambda({kI64}, [&](auto x) { return x[0]; }),
                        [&](Expr f) { return p.add(p.apply(f, {p.i64(1)}), p.apply(f, {p.i64(2)})); })),
            "");
}

TEST_F(VerifyTest, RejectsSymbolsOutOfScope) {
  const Symbol x = p.arena.fresh_symbol("x");
  const Expr use = p.arena.ident(x, kI64);
  EXPECT_EQ(check(use), "symbol x is not bound");
  const Expr let = p.arena.make<Let>({}, x, p.i64(1), use);
  EXPECT_EQ(check(p.add(let, use)), "symbol x is used outside of its scope");
  EXPECT_EQ(check(p.add(let, let)), "symbol x is bound twice");
  EXPECT_EQ(check(p.arena.make<Let>({}, x, use, use)), "symbol x is not bound");
  EXPECT_EQ(check(p.arena.make<Let>({}, x, p.f64(1), use)),
            "symbol x is used with type i64, but it has type f64");
}

TEST_F(VerifyTest, RejectsFunctionsAsValues) {
  const auto identity = [&] { return p.lambda({kI64}, [](auto x) { return x[0]; }); };
  EXPECT_EQ(check(p.let(p.i64(1), [&](Expr) { return identity(); })), "a function cannot be used as a value");
  EXPECT_EQ(check(p.let(identity(),
                        [&](Expr f) { return p.let(f, [&](Expr g) { return p.apply(g, {p.i64(1)}); }); })),
            "a function cannot be used as a value");
}

TEST_F(VerifyTest, RejectsInternalFormsInCore) {
  const Expr masked = p.arena.make<MergeMasked>({}, p.builder(sum), p.i64(1), p.boolean(true));
  EXPECT_EQ(check(p.result(masked)), "a masked merge is an internal form");
  EXPECT_EQ(check(p.result(masked), Stage::kInternal), "");
  const Expr wide = p.lambda({p.arena.vec(p.arena.simd(ScalarKind::kF64, 8))},
                             [&](auto x) { return p.arena.make<Length>({}, x[0]); });
  EXPECT_EQ(check(wide), "simd[f64,8] is an internal form: simd has 4 lanes");
  EXPECT_EQ(check(wide, Stage::kInternal), "");
}

TEST_F(VerifyTest, RejectsBuildersUsedTwice) {
  const auto program = [&](auto body) { return p.let(p.builder(sum), body, "b"); };
  const std::string twice = "builder b is used twice";
  EXPECT_EQ(check(program([&](Expr b) { return p.structure({p.result(merge1(b)), p.result(merge1(b))}); })),
            twice);
  EXPECT_EQ(check(program([&](Expr b) { return p.structure({b, b}); })), twice);
  EXPECT_EQ(check(program([&](Expr b) {
              return p.let(b, [&](Expr c) { return p.structure({p.result(c), p.result(b)}); }, "c");
            })),
            twice);
  EXPECT_EQ(check(program([&](Expr b) {
              return sum_loop(p.structure({b, b}), [&](Expr bs, Expr, Expr) { return bs; });
            })),
            twice);
  EXPECT_EQ(check(program([&](Expr b) { return p.let(p.result(b), [&](Expr) { return b; }); })), twice);
  EXPECT_EQ(check(program([&](Expr b) { return p.i64(1); })), "");
}

TEST_F(VerifyTest, PointsAtTheSecondUse) {
  Arena& arena = p.arena;
  const Source* source = arena.keep_source(std::make_shared<Source>(Source{"t.weld", "b b"}));
  const Symbol b = arena.fresh_symbol("b");
  const Expr first = arena.ident(b, sum, {source, 0, 1});
  const Expr second = arena.ident(b, sum, {source, 2, 3});
  const Expr program =
      arena.make<Let>({}, b, p.builder(sum), p.structure({p.result(first), p.result(second)}));
  try {
    verify(program, Stage::kCore);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_EQ(error.diagnostics().front().location.column, 3u);
  }
}

TEST_F(VerifyTest, BranchesAreAlternatives) {
  const auto program = [&](auto body) { return p.let(p.builder(sum), body, "b"); };
  EXPECT_EQ(
      check(program([&](Expr b) { return p.result(p.if_(p.boolean(true), merge1(b), merge1(merge1(b)))); })),
      "");
  EXPECT_EQ(check(program([&](Expr b) {
              return p.let(p.if_(p.boolean(true), p.result(b), p.i64(0)), [&](Expr) { return b; });
            })),
            "builder b is used twice");
  EXPECT_EQ(check(program([&](Expr b) { return p.structure({p.if_(p.boolean(true), b, b), b}); })),
            "builder b is used twice");
  EXPECT_EQ(check(program([&](Expr b) { return p.if_(p.less(p.result(b), p.i64(0)), b, p.builder(sum)); })),
            "builder b is used twice");
}

TEST_F(VerifyTest, FieldsAreTrackedOneByOne) {
  const Expr two = p.structure({p.builder(sum), p.structure({p.builder(list), p.i64(7)})});
  EXPECT_EQ(check(p.let(
                two,
                [&](Expr s) {
                  return p.structure({p.result(merge1(p.field(s, 0))), p.result(p.field(p.field(s, 1), 0))});
                },
                "s")),
            "");
  const auto fresh = [&] { return p.structure({p.builder(sum), p.structure({p.builder(list), p.i64(7)})}); };
  EXPECT_EQ(
      check(p.let(
          fresh(),
          [&](Expr s) {
            return p.structure({p.result(p.field(p.field(s, 1), 0)), p.result(p.field(p.field(s, 1), 0))});
          },
          "s")),
      "builder s.$1.$0 is used twice");
}

TEST_F(VerifyTest, LoopsReturnTheirOwnBuilder) {
  EXPECT_EQ(check(sum_loop(p.builder(sum), [&](Expr, Expr, Expr) { return p.builder(sum); })),
            "the value of the loop's function does not derive from its builder parameter p");
  EXPECT_EQ(check(sum_loop(p.structure({p.builder(sum), p.builder(sum)}),
                           [&](Expr b, Expr, Expr) { return p.structure({p.field(b, 1), p.field(b, 0)}); })),
            "the value of the loop's function does not derive from its builder parameter p");
  EXPECT_EQ(check(sum_loop(p.builder(sum),
                           [&](Expr b, Expr, Expr) { return p.if_(p.boolean(true), b, p.builder(sum)); })),
            "the value of the loop's function does not derive from its builder parameter p");
  EXPECT_EQ(check(sum_loop(p.builder(sum),
                           [&](Expr b, Expr, Expr) {
                             return p.if_(p.boolean(true), b,
                                          sum_loop(b, [&](Expr c, Expr, Expr) { return merge1(c); }));
                           })),
            "");
  EXPECT_EQ(check(sum_loop(p.builder(sum), [&](Expr b, Expr, Expr) { return p.merge(b, p.result(b)); })),
            "result of a builder inside the loop that fills it");
  EXPECT_EQ(check(sum_loop(p.builder(sum),
                           [&](Expr b, Expr, Expr) {
                             return sum_loop(b, [&](Expr c, Expr, Expr) { return p.merge(c, p.result(c)); });
                           })),
            "result of a builder inside the loop that fills it");
}

TEST_F(VerifyTest, LoopsDoNotConsumeBuildersFromOutside) {
  const std::string outside = "builder b comes from outside of the function, which may run many times";
  EXPECT_EQ(check(p.let(
                p.builder(sum),
                [&](Expr b) {
                  return sum_loop(p.builder(sum),
                                  [&](Expr c, Expr, Expr) { return p.merge(c, p.result(b)); });
                },
                "b")),
            outside);
  EXPECT_EQ(check(p.let(
                p.builder(sum),
                [&](Expr b) {
                  return p.iterate(p.i64(0),
                                   [&](Expr) { return p.structure({p.result(b), p.boolean(false)}); });
                },
                "b")),
            outside);
  EXPECT_EQ(check(p.let(
                p.builder(sum),
                [&](Expr b) {
                  const Expr key = p.lambda({kI64}, [&](auto) { return p.result(b); });
                  return p.arena.make<Sort>({}, p.i64s({1, 2}), key);
                },
                "b")),
            outside);
  // A builder of the body's own is another matter.
  EXPECT_EQ(check(sum_loop(p.builder(sum),
                           [&](Expr c, Expr, Expr) { return p.merge(c, p.result(merge1(p.builder(sum)))); })),
            "");
}

TEST_F(VerifyTest, IterateCarriesBuildersInItsState) {
  const Expr state = p.structure({p.builder(list), p.i64(0)});
  const Expr program = p.iterate(state, [&](Expr s) {
    const Expr next = p.structure({p.merge(p.field(s, 0), p.field(s, 1)), p.add(p.field(s, 1), p.i64(1))});
    return p.structure({next, p.less(p.field(s, 1), p.i64(3))});
  });
  EXPECT_EQ(check(program), "");
  EXPECT_EQ(run(p.result(p.field(program, 0))), "[0,1,2,3]");
  EXPECT_EQ(check(p.iterate(p.builder(list),
                            [&](Expr b) {
                              return p.structure(
                                  {merge1(b), p.less(p.arena.make<Length>({}, p.result(b)), p.i64(3))});
                            })),
            "builder p is used twice");
  // Around a loop's builder the state is still that builder.
  EXPECT_EQ(check(sum_loop(p.builder(sum),
                           [&](Expr b, Expr, Expr) {
                             return p.iterate(
                                 b, [&](Expr c) { return p.structure({merge1(c), p.boolean(false)}); });
                           })),
            "");
  EXPECT_EQ(check(sum_loop(p.builder(sum),
                           [&](Expr b, Expr, Expr) {
                             return p.iterate(b, [&](Expr c) {
                               return p.structure({p.builder(sum), p.less(p.result(c), p.i64(1))});
                             });
                           })),
            "result of a builder inside the loop that fills it");
}

TEST_F(VerifyTest, FunctionsAreFollowedWhereTheyAreApplied) {
  const auto with_adder = [&](auto body) {
    return p.let(p.lambda({sum}, [&](auto b) { return merge1(b[0]); }), body, "f");
  };
  EXPECT_EQ(check(with_adder([&](Expr f) { return p.result(p.apply(f, {p.apply(f, {p.builder(sum)})})); })),
            "");
  EXPECT_EQ(check(with_adder([&](Expr f) {
              return p.let(
                  p.builder(sum), [&](Expr b) { return p.structure({p.apply(f, {b}), p.apply(f, {b})}); },
                  "b");
            })),
            "builder p is used twice");
  EXPECT_EQ(check(p.let(
                p.builder(sum),
                [&](Expr b) {
                  const Expr taker = p.lambda({kI64}, [&](auto x) { return p.merge(b, x[0]); });
                  return p.let(taker, [&](Expr f) {
                    return p.structure({p.apply(f, {p.i64(1)}), p.apply(f, {p.i64(2)})});
                  });
                },
                "b")),
            "builder b is used twice");
}

TEST_F(VerifyTest, BudgetsCountTheTree) {
  Expr doubled = p.i64(1);
  for (int i = 0; i < 60; ++i) doubled = p.add(doubled, doubled);
  EXPECT_EQ(check(doubled), "the program has more than 1000000 nodes");
}

Expr chain_of_lets(ProgramBuilder& p, int length) {
  std::vector<Symbol> symbols;
  for (int i = 0; i < length; ++i) symbols.push_back(p.arena.fresh_symbol("x"));
  Expr body = p.arena.ident(symbols.back(), kI64);
  for (int i = length; i-- > 0;) {
    const Expr previous = i == 0 ? p.i64(0) : p.arena.ident(symbols[static_cast<std::size_t>(i - 1)], kI64);
    body = p.arena.make<Let>({}, symbols[static_cast<std::size_t>(i)], p.add(previous, p.i64(1)), body);
  }
  return body;
}

TEST(DeepPrograms, LongChainsNeedLittleStack) {
  run_on_stack(256 * 1024, [] {
    ProgramBuilder p;
    const Expr chain = chain_of_lets(p, 100'000);
    verify(chain, Stage::kCore);
    EXPECT_EQ(run(chain), "100000");
    Arena copy;
    verify(clone_fresh(chain, copy), Stage::kCore);
  });
}

TEST(DeepPrograms, NestingFitsIntoAnOrdinaryStack) {
  run_on_stack(8 * 1024 * 1024, [] {
    ProgramBuilder p;
    Expr nested = p.i64(0);
    for (std::uint32_t i = 0; i + 1 < Arena::kMaxDepth; ++i) nested = p.add(nested, p.i64(1));
    verify(nested, Stage::kCore);
    EXPECT_EQ(run(nested), "999");
    EXPECT_NE(rejection([&] { p.add(nested, nested); }), "");

    Expr loops = p.i64(1);
    const Type sum = p.arena.merger(kI64, MergeOp::kAdd);
    while (loops.record().depth + 8 < Arena::kMaxDepth) {
      const Expr inner = loops;
      loops = p.result(
          p.loop({p.range(0, 1)}, p.builder(sum), [&](Expr b, Expr, Expr) { return p.merge(b, inner); }));
    }
    verify(loops, Stage::kCore);
    EXPECT_EQ(run(loops), "1");
  });
}

TEST(DeepPrograms, FunctionsAppliedInsideEachOtherAreABudget) {
  run_on_stack(8 * 1024 * 1024, [] {
    ProgramBuilder p;
    // let f0 = |x| x; let f1 = |x| f0(x + 1); …
    constexpr std::size_t count = 20'000;
    std::vector<Symbol> symbols;
    const Type function = p.arena.function(std::vector<Type>{kI64}, kI64);
    for (std::size_t i = 0; i < count; ++i) symbols.push_back(p.arena.fresh_symbol("f"));
    Expr body = p.apply(p.arena.ident(symbols.back(), function), {p.i64(0)});
    for (std::size_t i = count; i-- > 0;) {
      const Expr lambda = p.lambda({kI64}, [&](auto x) {
        const Expr next = p.add(x[0], p.i64(1));
        return i == 0 ? next : p.apply(p.arena.ident(symbols[i - 1], function), {next});
      });
      body = p.arena.make<Let>({}, symbols[i], lambda, body);
    }
    EXPECT_EQ(run(body), "BudgetExceeded");
    rejection([&] { verify(body, Stage::kCore); });  // accepted or a budget, but no crash
  });
}

}  // namespace
}  // namespace weld::ir
