#include "runtime/reach.h"

#include "run_fixture.h"

namespace weld::runtime {
namespace {

using ReachTest = RunTest;

std::byte* as_bytes(void* pointer) {
  return static_cast<std::byte*>(pointer);
}

VecView make_vec(Worker* worker, std::int64_t length, std::int64_t element_bytes) {
  return {weld_rt_allocate_zeroed(worker, length * element_bytes), length};
}

TEST_F(ReachTest, AResultKeepsWhatItReaches) {
  const ir::Type type = arena.structure({arena.vec(arena.vec(i8())), i64()});
  RunResult result = run(layout(type), [&](Worker* worker, std::byte* out) {
    make_vec(worker, 1000, 8);  // garbage
    VecView outer = make_vec(worker, 3, 16);
    auto* views = reinterpret_cast<VecView*>(outer.data);
    const VecView large = make_vec(worker, 100'000, 1);
    views[0] = {large.data + 50'000, 10};  // into the middle
    const VecView small = make_vec(worker, 10, 1);
    views[1] = {small.data + 9, 1};
    views[2] = {small.data + 10, 0};
    make_vec(worker, 20'000, 1);  // garbage
    *reinterpret_cast<VecView*>(out) = outer;
    return ErrorCode::kSuccess;
  });
  ASSERT_EQ(result.code, ErrorCode::kSuccess);
  EXPECT_EQ(result.blocks.requested_bytes(), 24 + 48 + 100'000 + 10);
  EXPECT_EQ(context.bytes_in_use(), 24 + 48 + 100'000 + 10);
}

TEST_F(ReachTest, ManySlicesOfOneVectorAreWalkedOnce) {
  constexpr std::int64_t kLength = 20'000;
  const ir::Type type = arena.vec(arena.vec(arena.vec(i8())));
  RunResult result = run(layout(type), [&](Worker* worker, std::byte* out) {
    const VecView strings = make_vec(worker, kLength, 16);
    for (std::int64_t i = 0; i < kLength; ++i)
      reinterpret_cast<VecView*>(strings.data)[i] = make_vec(worker, 3, 1);
    const VecView slices = make_vec(worker, kLength, 16);
    for (std::int64_t i = 0; i < kLength; ++i)
      reinterpret_cast<VecView*>(slices.data)[i] = {strings.data + i * 16, kLength - i};
    *reinterpret_cast<VecView*>(out) = slices;
    return ErrorCode::kSuccess;
  });
  ASSERT_EQ(result.code, ErrorCode::kSuccess);
  EXPECT_EQ(result.blocks.requested_bytes(), 16 + 2 * kLength * 16 + kLength * 3);
}

TEST_F(ReachTest, DictionariesAndBuilders) {
  const ir::Type string = arena.vec(i8());
  const ir::Type type = arena.structure(
      {arena.dict(i64(), string), arena.appender(string), arena.groupmerger(i64(), string),
       arena.merger(i64(), ir::MergeOp::kAdd), arena.dictmerger(i64(), i64(), ir::MergeOp::kAdd)});
  const TypeLayout& result_layout = layout(type);
  RunResult result = run(result_layout, [&](Worker* worker, std::byte* out) {
    Dict* dict = weld_rt_dict_new(worker, 24, 0);
    auto* entry = reinterpret_cast<VecView*>(dict->entries + 8);
    *entry = make_vec(worker, 5, 1);
    dict->num_entries = 1;
    *reinterpret_cast<Dict**>(out) = dict;

    auto& appender = *reinterpret_cast<AppenderState*>(out + result_layout.members[1].offset);
    EXPECT_EQ(weld_rt_appender_new(worker, &appender, 16, 0), ErrorCode::kSuccess);
    EXPECT_EQ(append(worker, appender, make_vec(worker, 6, 1)), ErrorCode::kSuccess);

    GroupBuilder* group = weld_rt_group_new(worker, 24, 8, 16, 0);
    *reinterpret_cast<VecView*>(group->keys.entries + 8) = {nullptr, 1};
    group->keys.num_entries = 1;
    EXPECT_EQ(weld_rt_group_grow(worker, group), ErrorCode::kSuccess);
    group->num_values = 1;
    group->ids[0] = 0;
    *reinterpret_cast<VecView*>(group->values) = make_vec(worker, 7, 1);
    *reinterpret_cast<GroupBuilder**>(out + result_layout.members[2].offset) = group;
    *reinterpret_cast<Dict**>(out + result_layout.members[4].offset) = weld_rt_dict_new(worker, 16, 0);
    make_vec(worker, 100, 1);
    return ErrorCode::kSuccess;
  });
  ASSERT_EQ(result.code, ErrorCode::kSuccess);
  const std::int64_t table = static_cast<std::int64_t>(sizeof(Dict)) + 8 * 24 + 64 * 8;
  const std::int64_t group =
      static_cast<std::int64_t>(sizeof(GroupBuilder)) + 8 * 24 + 64 * 8 + 192 + 8 * 16;
  const std::int64_t merger = static_cast<std::int64_t>(sizeof(Dict)) + 8 * 16 + 64 * 8;
  EXPECT_EQ(result.blocks.requested_bytes(),
            result_layout.size_bytes + table + 5 + 64 + 6 + group + 7 + merger);

  // Builders may go on in another run.
  RunResult next = run_program(
      context, settings,
      [](Worker* worker, const std::byte* args, std::byte* out) {
        auto appender = *reinterpret_cast<const AppenderState*>(args);
        for (int i = 0; i < 100; ++i) {
          const ErrorCode code = append(worker, appender, VecView{});
          if (code != ErrorCode::kSuccess) return code;
        }
        *reinterpret_cast<VecView*>(out) = {appender.data, appender.length};
        return ErrorCode::kSuccess;
      },
      result.data + result_layout.members[1].offset, layout(arena.vec(string)), std::move(result.blocks));
  ASSERT_EQ(next.code, ErrorCode::kSuccess);
  const auto* view = reinterpret_cast<const VecView*>(next.data);
  EXPECT_EQ(view->length, 101);
  EXPECT_EQ(reinterpret_cast<const VecView*>(view->data)[0].length, 6);
}

TEST_F(ReachTest, ArgumentsOfOtherRunsAreLeftAlone) {
  const ir::Type type = arena.vec(arena.vec(i8()));
  RunResult first = run(layout(type), [&](Worker* worker, std::byte* out) {
    const VecView outer = make_vec(worker, 1, 16);
    *reinterpret_cast<VecView*>(outer.data) = make_vec(worker, 4, 1);
    *reinterpret_cast<VecView*>(out) = outer;
    return ErrorCode::kSuccess;
  });
  const VecView argument = *reinterpret_cast<const VecView*>(first.data);
  RunResult second = run(layout(type), [&](Worker* worker, std::byte* out) {
    make_vec(worker, 4, 1);
    *reinterpret_cast<VecView*>(out) = argument;
    return ErrorCode::kSuccess;
  });
  EXPECT_EQ(second.blocks.requested_bytes(), 16);
}

TEST_F(ReachTest, IterateFreesGarbage) {
  const ir::Type state_type = arena.structure({arena.vec(i64()), arena.appender(i64())});
  const std::uint32_t index = index_of(state_type);
  struct State {
    VecView vec;
    AppenderState appender;
  };
  RunResult result = run(layout(state_type), [&](Worker* worker, std::byte* out) {
    State state{};
    EXPECT_EQ(weld_rt_appender_new(worker, &state.appender, 8, 0), ErrorCode::kSuccess);
    IterateScope scope;
    weld_rt_iterate_begin(worker, &scope, index, &state);
    std::int64_t most = 0;
    for (std::int64_t i = 0; i < 2000; ++i) {
      const VecView next = make_vec(worker, 10'000, 8);
      reinterpret_cast<std::int64_t*>(next.data)[0] =
          i + (state.vec.data ? reinterpret_cast<std::int64_t*>(state.vec.data)[0] : 0);
      state.vec = next;
      EXPECT_EQ(append(worker, state.appender, i), ErrorCode::kSuccess);
      EXPECT_EQ(weld_rt_iterate_step(worker, &scope, index, &state), ErrorCode::kSuccess);
      most = std::max(most, context.bytes_in_use());
    }
    EXPECT_LT(most, 1'000'000);
    EXPECT_EQ(weld_rt_iterate_end(worker, &scope, index, &state), ErrorCode::kSuccess);
    *reinterpret_cast<State*>(as_bytes(out)) = state;
    return ErrorCode::kSuccess;
  });
  ASSERT_EQ(result.code, ErrorCode::kSuccess);
  const State& state = *reinterpret_cast<const State*>(result.data);
  EXPECT_EQ(reinterpret_cast<const std::int64_t*>(state.vec.data)[0], 1999 * 2000 / 2);
  EXPECT_EQ(state.appender.length, 2000);
  EXPECT_EQ(result.blocks.requested_bytes(), 40 + 80'000 + state.appender.capacity * 8);
}

TEST(Layouts, FollowTheRulesOfC) {
  ir::Arena arena;
  Layouts layouts;
  const auto scalar = [](ir::ScalarKind kind) { return ir::Type::scalar(kind); };
  const ir::Type structure = arena.structure({scalar(ir::ScalarKind::kI8), scalar(ir::ScalarKind::kF64),
                                              scalar(ir::ScalarKind::kBool), arena.structure({}),
                                              arena.vec(scalar(ir::ScalarKind::kI16))});
  const TypeLayout& layout = layouts.of(structure);
  EXPECT_EQ(layout.size_bytes, 40);
  EXPECT_EQ(layout.align_bytes, 8);
  EXPECT_EQ(layout.members[1].offset, 8);
  EXPECT_EQ(layout.members[2].offset, 16);
  EXPECT_EQ(layout.members[4].offset, 24);
  EXPECT_TRUE(layout.contains_pointer);
  EXPECT_FALSE(layout.contains_builder);
  EXPECT_EQ(layout.min_serialized_bytes, 1 + 8 + 1 + 8);
  EXPECT_EQ(&layouts.of(structure), &layout);
  EXPECT_EQ(layouts.of(arena.structure({})).size_bytes, 0);
  EXPECT_EQ(layouts.of(arena.simd(ir::ScalarKind::kF64)).align_bytes, 32);
  EXPECT_EQ(layouts.of(arena.simd(ir::ScalarKind::kF64, 16)).align_bytes, 64);
  EXPECT_EQ(layouts.of(arena.appender(structure)).size_bytes, 24);
  EXPECT_EQ(layouts.of(arena.merger(scalar(ir::ScalarKind::kI8), ir::MergeOp::kAdd)).size_bytes, 1);
  const TypeLayout& group = layouts.of(arena.groupmerger(scalar(ir::ScalarKind::kI8), structure));
  EXPECT_EQ(group.size_bytes, 8);
  EXPECT_EQ(group.element->members[1].offset, 8);
  const ir::Type dict = arena.dict(scalar(ir::ScalarKind::kI8), structure);
  EXPECT_EQ(layouts.of(arena.structure({dict, arena.vec(dict)})).num_dicts, 2u);
}

}  // namespace
}  // namespace weld::runtime
