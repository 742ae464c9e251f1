#include "runtime/interpreter_engine.h"

#include <gtest/gtest.h>

#include <limits>

#include "ir/arena.h"
#include "runtime/calls.h"

namespace weld::runtime {
namespace {

using ir::Expr;
using ir::MergeOp;
using ir::Type;

const Type kI64 = Type::scalar(ir::ScalarKind::kI64);
const Type kF64 = Type::scalar(ir::ScalarKind::kF64);
const Type kI8 = Type::scalar(ir::ScalarKind::kI8);
const Type kBool = Type::scalar(ir::ScalarKind::kBool);

class InterpreterEngineTest : public testing::Test {
 protected:
  Expr lambda(std::vector<Type> types, const std::function<Expr(std::span<const Expr>)>& body) {
    std::vector<ir::Parameter> parameters;
    std::vector<Expr> uses;
    for (Type type : types) {
      parameters.push_back({arena.fresh_symbol("p"), type});
      uses.push_back(arena.ident(parameters.back().symbol, type));
    }
    return arena.make<ir::Lambda>({}, parameters, body(uses));
  }
  RunResult run(Expr program, const void* args = nullptr, OwnedBlocks consumed = {}) {
    const InterpretedProgram interpreted(program);
    return interpreted.run(context, settings, static_cast<const std::byte*>(args), std::move(consumed),
                           error);
  }
  template <class T>
  static const T& as(const RunResult& result) {
    return *reinterpret_cast<const T*>(result.data);
  }
  static VecView view(const void* data, std::int64_t length) {
    return {const_cast<std::byte*>(static_cast<const std::byte*>(data)), length};
  }

  ir::Arena arena;
  Context context;
  RunSettings settings;
  ir::RunError error;
};

TEST_F(InterpreterEngineTest, ReadsNaturallyAlignedArguments) {
  struct {
    std::int8_t small = -3;
    double value = 2.5;
    std::uint8_t flag = 7;
  } args;
  const Expr program = lambda({kI8, kF64, kBool}, [&](auto p) {
    return arena.make<ir::MakeStruct>({}, std::vector<Expr>{p[1], p[2], p[0]});
  });
  const RunResult result = run(program, &args);
  ASSERT_EQ(result.code, ErrorCode::kSuccess);
  struct Expected {
    double value;
    std::uint8_t flag;
    std::int8_t small;
  };
  EXPECT_EQ(as<Expected>(result).value, 2.5);
  EXPECT_EQ(as<Expected>(result).flag, 1);
  EXPECT_EQ(as<Expected>(result).small, -3);
}

TEST_F(InterpreterEngineTest, ViewsOfArgumentsAliasThem) {
  const double data[] = {1, 2, 3, 4};
  const VecView args = view(data, 4);
  const Expr program = lambda({arena.vec(kF64)}, [&](auto p) {
    return arena.make<ir::Slice>({}, p[0], arena.literal(std::int64_t{1}), arena.literal(std::int64_t{2}));
  });
  const RunResult result = run(program, &args);
  ASSERT_EQ(result.code, ErrorCode::kSuccess);
  EXPECT_EQ(as<VecView>(result).data, reinterpret_cast<const std::byte*>(data + 1));
  EXPECT_EQ(as<VecView>(result).length, 2);
}

TEST_F(InterpreterEngineTest, ImpossibleVectorsAreOutOfBounds) {
  const Expr program = lambda({arena.vec(kF64)}, [&](auto p) { return arena.make<ir::Length>({}, p[0]); });
  const VecView negative = view(nullptr, -1);
  EXPECT_EQ(run(program, &negative).code, ErrorCode::kArrayOutOfBounds);
  const VecView missing = view(nullptr, 1);
  EXPECT_EQ(run(program, &missing).code, ErrorCode::kArrayOutOfBounds);
  EXPECT_EQ(error.code, ErrorCode::kArrayOutOfBounds);
  const VecView empty = view(nullptr, 0);
  EXPECT_EQ(as<std::int64_t>(run(program, &empty)), 0);
}

TEST_F(InterpreterEngineTest, DictionariesGoOutAndIn) {
  // {NaN: [1, 2], 0: [3]} and back.
  const Type groups = arena.groupmerger(kF64, kI64);
  Expr b = arena.make<ir::NewBuilder>({}, groups, Expr());
  const auto merged = [&](double key, std::int64_t value) {
    const Expr pair =
        arena.make<ir::MakeStruct>({}, std::vector<Expr>{arena.literal(key), arena.literal(value)});
    return arena.make<ir::Merge>({}, b, pair);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  b = merged(nan, 1);
  b = merged(-0.0, 3);
  b = merged(nan, 2);
  const RunResult made = run(arena.make<ir::Result>({}, b));
  ASSERT_EQ(made.code, ErrorCode::kSuccess);
  const Dict* dict = as<Dict*>(made);
  EXPECT_EQ(dict->num_entries, 2);

  struct {
    const Dict* dict;
    double key;
  } args{dict, 0.0};
  const Expr lookup = lambda({arena.dict(kF64, arena.vec(kI64)), kF64},
                             [&](auto p) { return arena.make<ir::Lookup>({}, p[0], p[1]); });
  const RunResult found = run(lookup, &args);
  ASSERT_EQ(found.code, ErrorCode::kSuccess);
  EXPECT_EQ(as<VecView>(found).length, 1);
  EXPECT_EQ(*reinterpret_cast<const std::int64_t*>(as<VecView>(found).data), 3);
  args.key = 1.0;
  EXPECT_EQ(run(lookup, &args).code, ErrorCode::kKeyNotFoundError);
}

TEST_F(InterpreterEngineTest, BuildersGoOnInAnotherRun) {
  const Type types[] = {arena.appender(kI64), arena.merger(kI64, MergeOp::kAdd),
                        arena.dictmerger(kI64, kI64, MergeOp::kAdd), arena.groupmerger(kI64, kI64)};
  const Expr one = arena.literal(std::int64_t{1});
  const Expr pair = arena.make<ir::MakeStruct>({}, std::vector<Expr>{one, one});
  const std::int64_t expected_words[] = {3, 1, 3, 5};
  for (std::size_t i = 0; i < std::size(types); ++i) {
    const Type type = types[i];
    const bool keyed = type.as<ir::DictMergerType>() || type.as<ir::GroupMergerType>();
    const Expr value = keyed ? pair : one;
    RunResult first = run(arena.make<ir::Merge>({}, arena.make<ir::NewBuilder>({}, type, Expr()), value));
    ASSERT_EQ(first.code, ErrorCode::kSuccess);
    const Expr second = lambda({type}, [&](auto p) {
      return arena.make<ir::Serialize>({},
                                       arena.make<ir::Result>({}, arena.make<ir::Merge>({}, p[0], value)));
    });
    const std::byte* state = first.data;  // in a block that becomes the run's
    const RunResult result = run(second, state, std::move(first.blocks));
    ASSERT_EQ(result.code, ErrorCode::kSuccess);
    EXPECT_EQ(as<VecView>(result).length, 8 * expected_words[i]);
  }
}

TEST_F(InterpreterEngineTest, CallsForeignFunctions) {
  // gmtime_r(const time_t*, struct tm*)
  const Type i32 = Type::scalar(ir::ScalarKind::kI32);
  std::vector<Type> members(9, i32);
  members.insert(members.end(), {kI64, kI64});
  const Type tm_type = arena.structure(std::span<const Type>(members));
  const Expr program = lambda({kI64}, [&](auto p) {
    const Expr tm =
        arena.make<ir::ForeignCall>({}, std::string_view("gmtime_r"), tm_type, std::vector<Expr>{p[0]});
    return arena.make<ir::GetField>({}, tm, 5u);
  });
  const std::int64_t seconds = 86'400 * 366;
  const RunResult result = run(program, &seconds);
  ASSERT_EQ(result.code, ErrorCode::kSuccess);
  EXPECT_EQ(as<std::int32_t>(result), 71);
  const Expr missing =
      arena.make<ir::ForeignCall>({}, std::string_view("weld_test_missing"), kF64, std::vector<Expr>{});
  EXPECT_EQ(run(missing).code, ErrorCode::kLoadLibraryError);
}

TEST_F(InterpreterEngineTest, LimitsAndCancellationEndTheRun) {
  const Type list = arena.appender(kI64);
  const ir::Iterator range{.kind = ir::IteratorKind::kRange,
                           .start = arena.literal(std::int64_t{0}),
                           .end = arena.literal(std::int64_t{100'000'000}),
                           .stride = arena.literal(std::int64_t{1})};
  const Expr body = lambda({list, kI64, kI64}, [&](auto p) { return arena.make<ir::Merge>({}, p[0], p[2]); });
  const Expr program =
      arena.make<ir::Result>({}, arena.make<ir::For>({}, std::vector<ir::Iterator>{range},
                                                     arena.make<ir::NewBuilder>({}, list, Expr()), body));
  Context small(ContextOptions{.memory_limit = 1 << 20});
  const InterpretedProgram interpreted(program);
  EXPECT_EQ(interpreted.run(small, settings, nullptr, {}, error).code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(small.bytes_in_use(), 0);
  settings.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(30);
  EXPECT_EQ(interpreted.run(context, settings, nullptr, {}, error).code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(context.bytes_in_use(), 0);
}

}  // namespace
}  // namespace weld::runtime
