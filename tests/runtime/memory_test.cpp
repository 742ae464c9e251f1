#include "runtime/memory.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>

#include "run_fixture.h"

namespace weld::runtime {
namespace {

using MemoryTest = RunTest;

TEST(SizeClasses, CoverEverySizeTightly) {
  for (int c = 1; c < kNumSizeClasses; ++c) {
    EXPECT_GT(class_bytes(c), class_bytes(c - 1));
    EXPECT_EQ(class_bytes(c) % 64, 0);
  }
  for (std::int64_t bytes = 0; bytes < 100'000; ++bytes) {
    const int c = size_class_for(bytes);
    ASSERT_GE(class_bytes(c), bytes + 32);
    if (c > 0) ASSERT_LT(class_bytes(c - 1), bytes + 32);
  }
  EXPECT_LE(class_bytes(kNumSmallClasses - 1), 8192);
  EXPECT_EQ(size_class_for(-1), -1);
  EXPECT_EQ(size_class_for(INT64_MAX), -1);
  EXPECT_LT(size_class_for(std::int64_t{1} << 46), kNumSizeClasses);
}

TEST_F(MemoryTest, AllSizesAreAlignedWritableAndCounted) {
  EXPECT_EQ(
      run([&](Worker* worker, std::byte*) {
        std::int64_t total = context.bytes_in_use();
        for (std::int64_t bytes :
             {0, 1, 31, 32, 33, 64, 1000, 8159, 8160, 8161, 100'000, 2'097'000, 9'000'000}) {
          std::byte* block = weld_rt_allocate(worker, bytes);
          EXPECT_NE(block, nullptr);
          EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 64, 0u);
          std::memset(block, 0xff, static_cast<std::size_t>(bytes));
          total += std::max<std::int64_t>(bytes, 1);
          EXPECT_EQ(context.bytes_in_use(), total);
          weld_rt_free(worker, block);
          std::byte* cleared = weld_rt_allocate_zeroed(worker, bytes);
          EXPECT_TRUE(std::all_of(cleared, cleared + bytes, [](std::byte b) { return b == std::byte{0}; }));
          weld_rt_free(worker, cleared);
          total -= std::max<std::int64_t>(bytes, 1);
          EXPECT_EQ(context.bytes_in_use(), total);
        }
        EXPECT_EQ(weld_rt_allocate(worker, -1), nullptr);
        return ErrorCode::kSuccess;
      }),
      ErrorCode::kSuccess);
}

TEST(Memory, TheLimitIsExact) {
  Context context({.memory_limit = 1'000'000});
  Layouts layouts;
  ir::Arena arena;
  const TypeLayout& nothing = layouts.of(arena.structure({}));
  const RunResult result = run(context, {}, nothing, [&](Worker* worker, std::byte*) {
    const std::int64_t left = 1'000'000 - context.bytes_in_use();
    EXPECT_EQ(weld_rt_allocate(worker, left + 1), nullptr);
    std::byte* all = weld_rt_allocate(worker, left);
    EXPECT_NE(all, nullptr);
    EXPECT_EQ(weld_rt_allocate(worker, 1), nullptr);
    weld_rt_free(worker, all);
    // In small pieces too.
    std::int64_t taken = 0;
    while (weld_rt_allocate(worker, 100)) taken += 100;
    EXPECT_EQ(taken, left / 100 * 100);
    return weld_rt_fail(worker, ErrorCode::kOutOfMemory, 7);
  });
  EXPECT_EQ(result.code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(result.span, 7u);
  EXPECT_EQ(context.bytes_in_use(), 0);
  EXPECT_LE(context.peak_bytes(), 1'000'000);
  EXPECT_EQ(run(context, {}, nothing,
                [](Worker* worker, std::byte*) {
                  return weld_rt_allocate(worker, 900'000) ? ErrorCode::kSuccess : ErrorCode::kOutOfMemory;
                })
                .code,
            ErrorCode::kSuccess);
}

TEST(Memory, IdleWorkersCreditsDoNotCauseRefusals) {
  Context context({.memory_limit = 10'000'000});
  std::vector<std::unique_ptr<WorkerHeap>> heaps;
  std::vector<Block*> blocks;
  for (int i = 0; i < 8; ++i) {
    heaps.push_back(std::make_unique<WorkerHeap>(context));
    blocks.push_back(heaps.back()->allocate(10));
  }
  Block* rest = heaps[0]->allocate(10'000'000 - 80);
  ASSERT_NE(rest, nullptr);
  EXPECT_EQ(heaps[1]->allocate(1), nullptr);
  heaps[0]->free(rest);
  for (std::size_t i = 0; i < 8; ++i) heaps[(i + 3) % 8]->free(blocks[i]);
  EXPECT_EQ(context.bytes_in_use(), 0);
}

TEST(Memory, TheLimitHoldsAgainAfterItWasReached) {
  Context context({.memory_limit = 10'000'000});
  WorkerHeap first(context);
  WorkerHeap second(context);
  for (int round = 0; round < 3; ++round) {
    BlockLink blocks;
    begin_list(blocks);
    std::int64_t bytes = 0;
    while (Block* block = (bytes % 2 ? first : second).allocate(1001)) {
      link_last(blocks, block);
      bytes += 1001;
    }
    EXPECT_EQ(bytes, 10'000'000 / 1001 * 1001);
    EXPECT_EQ(context.bytes_in_use(), bytes);
    (round % 2 ? first : second).free_all(blocks);
    EXPECT_EQ(context.bytes_in_use(), 0);
  }
}

TEST(Memory, WorkersInManyThreads) {
  Context context;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      WorkerHeap heap(context);
      std::vector<std::pair<Block*, std::uint8_t>> held;
      for (int i = 0; i < 20'000; ++i) {
        if (held.size() < 200 && random() % 2) {
          const auto bytes = static_cast<std::int64_t>(random() % (random() % 50 == 0 ? 100'000 : 500));
          Block* block = heap.allocate(bytes);
          const auto fill = static_cast<std::uint8_t>(random());
          std::memset(block->payload(), fill, static_cast<std::size_t>(bytes));
          held.emplace_back(block, fill);
        } else if (!held.empty()) {
          std::swap(held[random() % held.size()], held.back());
          const auto [block, fill] = held.back();
          for (std::int64_t j = 0; j < block->requested_bytes; ++j)
            wrong += block->payload()[j] != std::byte{fill};
          heap.free(block);
          held.pop_back();
        }
      }
      for (const auto& [block, fill] : held) heap.free(block);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(context.bytes_in_use(), 0);
}

TEST(Memory, LargeBlocksAreRecycledWithinABound) {
  Context context({.memory_limit = 100 << 20, .cache_bytes = 16 << 20});
  WorkerHeap heap(context);
  Block* first = heap.allocate(4 << 20);
  heap.free(first);
  Block* again = heap.allocate(4 << 20);
  EXPECT_EQ(first, again);
  // The cache gives way to what is in use.
  heap.free(again);
  Block* large = heap.allocate(90 << 20);
  ASSERT_NE(large, nullptr);
  heap.free(large);
  context.trim();
  EXPECT_EQ(context.bytes_in_use(), 0);
}

TEST_F(MemoryTest, LargeBlocksGrowIntoCachedOnes) {
  constexpr std::int64_t kMiB = 1 << 20;
  const auto fill = [&](Worker* worker, std::byte*) {
    std::byte* builder = weld_rt_allocate(worker, 2 * kMiB);
    builder[2 * kMiB - 1] = std::byte{42};
    for (std::int64_t size = 2 * kMiB; size < 32 * kMiB; size *= 2) {
      const std::int64_t before = context.bytes_in_use();
      builder = weld_rt_grow(worker, builder, size, 2 * size);
      EXPECT_EQ(context.bytes_in_use(), before + size);
      EXPECT_EQ(builder[2 * kMiB - 1], std::byte{42});
    }
    weld_rt_free(worker, builder);
    return ErrorCode::kSuccess;
  };
  for (int i = 0; i < 4; ++i) EXPECT_EQ(run(fill), ErrorCode::kSuccess);
  const std::int64_t before = context.num_system_allocations();
  EXPECT_EQ(run(fill), ErrorCode::kSuccess);
  EXPECT_EQ(context.num_system_allocations(), before);
}

TEST_F(MemoryTest, ScopesFreeKeepAndNest) {
  EXPECT_EQ(run([&](Worker* worker, std::byte*) {
              const std::int64_t before = context.bytes_in_use();
              Scope outer;
              weld_rt_scope_begin(worker, &outer);
              std::byte* builder = weld_rt_allocate(worker, 100);
              builder[0] = std::byte{42};
              Scope inner;
              weld_rt_scope_begin(worker, &inner);
              EXPECT_TRUE(inner.empty());
              weld_rt_allocate(worker, 1000);
              // Grows in the scope where it belongs.
              builder = weld_rt_grow(worker, builder, 100, 10'000);
              EXPECT_EQ(builder[0], std::byte{42});
              std::byte* kept = weld_rt_allocate(worker, 50);
              weld_rt_scope_clear(worker, &inner);
              EXPECT_EQ(context.bytes_in_use(), before + 10'000);
              kept = weld_rt_allocate(worker, 50);
              kept[49] = std::byte{1};
              weld_rt_scope_keep(worker, &inner);
              EXPECT_EQ(worker->scope, &outer);
              EXPECT_EQ(context.bytes_in_use(), before + 10'050);
              weld_rt_scope_begin(worker, &inner);
              weld_rt_adopt(worker, kept);
              std::byte* other = weld_rt_allocate(worker, 7);
              weld_rt_replace(worker, builder, other);
              EXPECT_EQ(context.bytes_in_use(), before + 57);
              weld_rt_scope_end(worker, &inner);
              EXPECT_EQ(context.bytes_in_use(), before + 7);
              weld_rt_scope_end(worker, &outer);
              EXPECT_EQ(context.bytes_in_use(), before);
              return ErrorCode::kSuccess;
            }),
            ErrorCode::kSuccess);
}

TEST(Memory, TheNthAllocationFails) {
  Context context({.fail_allocation_at = 3});
  WorkerHeap heap(context);
  Block* first = heap.allocate(1);
  Block* second = heap.allocate(100'000);
  EXPECT_EQ(heap.allocate(1), nullptr);
  Block* fourth = heap.allocate(1);
  EXPECT_NE(fourth, nullptr);
  for (Block* block : {first, second, fourth}) heap.free(block);
}

TEST(Memory, SmallBlocksBeyondTheCacheGoBackWhenIdle) {
  Context context({.memory_limit = 1 << 30, .cache_bytes = 1 << 20});
  Layouts layouts;
  ir::Arena arena;
  const ir::Type strings = arena.vec(arena.vec(ir::Type::scalar(ir::ScalarKind::kI8)));
  for (int round = 0; round < 3; ++round) {
    RunResult result = run(context, {}, layouts.of(strings), [](Worker* worker, std::byte* out) {
      auto* views = reinterpret_cast<VecView*>(weld_rt_allocate(worker, 100'000 * 16));
      for (int i = 0; i < 100'000; ++i) views[i] = {weld_rt_allocate(worker, 20), 20};
      *reinterpret_cast<VecView*>(out) = {reinterpret_cast<std::byte*>(views), 100'000};
      return ErrorCode::kSuccess;
    });
    ASSERT_EQ(result.code, ErrorCode::kSuccess);
    EXPECT_EQ(result.blocks.requested_bytes(), 100'000 * 36 + 16);
    result.blocks.release();
    EXPECT_EQ(context.bytes_in_use(), 0);
  }
}

}  // namespace
}  // namespace weld::runtime
