#include "ir/fragment.h"

#include <gtest/gtest.h>

#include "ir/verify.h"
#include "program_builder.h"

namespace weld::ir {
namespace {

Fragment plus_one(const Fragment& operand) {
  return Fragment::make({operand}, [](Arena& arena, std::span<const Expr> operands) {
    return arena.make<Binary>({}, BinaryOp::kAdd, operands[0], arena.literal(std::int64_t{1}));
  });
}

Value argument_of(const BoundInput& input) {
  return Value::of(*static_cast<const std::int64_t*>(input.data));
}

std::string run(const FragmentProgram& program) {
  verify(program.lambda, Stage::kCore);
  std::vector<Value> arguments;
  for (const BoundInput& input : program.inputs) arguments.push_back(argument_of(input));
  return ir::run(program.lambda, arguments);
}

TEST(Fragments, AssembleSharesWhatIsShared) {
  const std::int64_t data = 5;
  const Fragment x = Fragment::input(kI64, &data, nullptr, "x");
  const Fragment y = plus_one(x);
  const Fragment z = Fragment::make({y, y, x}, [](Arena& arena, std::span<const Expr> o) {
    return arena.make<Binary>({}, BinaryOp::kMul, arena.make<Binary>({}, BinaryOp::kMul, o[0], o[1]), o[2]);
  });
  const FragmentProgram program = assemble(z);
  EXPECT_EQ(run(program), "180");
  ASSERT_EQ(program.inputs.size(), 1u);
  EXPECT_EQ(program.inputs[0].data, &data);
  const auto* let = program.lambda.as<Lambda>()->body.as<Let>();
  ASSERT_NE(let, nullptr);
  EXPECT_FALSE(let->body.is<Let>());
  EXPECT_EQ(run(assemble(y)), "6");
  EXPECT_EQ(run(assemble(x)), "5");
  EXPECT_EQ(
      run(assemble(Fragment::make({}, [](Arena& arena, auto) { return arena.literal(std::int64_t{3}); }))),
      "3");
}

TEST(Fragments, ProgramOutlivesItsFragments) {
  std::weak_ptr<const void> watched;
  FragmentProgram program;
  {
    auto data = std::make_shared<std::int64_t>(41);
    watched = data;
    Arena elsewhere;
    const Type type = elsewhere.vec(kI64);
    const Fragment input = Fragment::input(kI64, data.get(), data, "n");
    const Fragment vector = Fragment::make({input}, [&](Arena& arena, std::span<const Expr> o) {
      return arena.make<MakeVector>({}, std::vector<Expr>{o[0], o[0]}, type.as<VecType>()->element);
    });
    program = assemble(vector);
  }
  EXPECT_EQ(run(program), "[41,41]");
  EXPECT_FALSE(watched.expired());
  program.inputs.clear();
  EXPECT_TRUE(watched.expired());
}

TEST(Fragments, BindersInsideAreCopiedFresh) {
  const std::int64_t data = 3;
  const Fragment squared = Fragment::make({Fragment::input(kI64, &data, nullptr)}, [](Arena& arena, auto o) {
    const Symbol t = arena.fresh_symbol("t");
    const Expr use = arena.ident(t, kI64);
    return arena.make<Let>({}, t, o[0], arena.make<Binary>({}, BinaryOp::kMul, use, use));
  });
  const Fragment sum = Fragment::make({squared, squared}, [](Arena& arena, std::span<const Expr> o) {
    return arena.make<Binary>({}, BinaryOp::kAdd, o[0], o[1]);
  });
  EXPECT_EQ(run(assemble(sum)), "18");
  EXPECT_EQ(run(assemble(sum)), "18");
}

TEST(Fragments, ErrorsOfTypingPassThrough) {
  const Fragment flag = Fragment::input(kBool, nullptr, nullptr);
  EXPECT_NE(rejection([&] {
              Fragment::make({flag}, [](Arena& arena, std::span<const Expr> o) {
                return arena.make<Unary>({}, UnaryOp::kExp, o[0]);
              });
            }),
            "");
}

#if __has_feature(address_sanitizer)
constexpr int kLongChain = 100'000;  // red zones take much memory
#else
constexpr int kLongChain = 1'000'000;
#endif

TEST(Fragments, LongChainsAreFreedOnALittleStack) {
  run_on_stack(256 * 1024, [] {
    const std::int64_t data = 0;
    Fragment chain = Fragment::input(kI64, &data, nullptr);
    for (int i = 0; i < kLongChain; ++i) chain = plus_one(chain);
    chain = Fragment();
  });
}

TEST(Fragments, LongChainsAssembleOnALittleStack) {
  run_on_stack(256 * 1024, [] {
    const std::int64_t data = 0;
    Fragment chain = Fragment::input(kI64, &data, nullptr);
    for (int i = 0; i < 100'000; ++i) chain = plus_one(chain);
    EXPECT_EQ(run(assemble(chain)), "100000");
  });
}

TEST(Fragments, SharedTailsLiveOn) {
  const std::int64_t data = 1;
  Fragment kept;
  {
    Fragment chain = Fragment::input(kI64, &data, nullptr);
    for (int i = 0; i < 10; ++i) chain = plus_one(chain);
    kept = chain;
    for (int i = 0; i < 1000; ++i) chain = plus_one(chain);
  }
  EXPECT_EQ(run(assemble(kept)), "11");
}

}  // namespace
}  // namespace weld::ir
