#include <fmt/format.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "tests/codegen/engine_fixture.h"

namespace weld::codegen {
namespace {

std::int64_t num_mappings() {
  std::ifstream maps("/proc/self/maps");
  std::int64_t count = 0;
  for (std::string line; std::getline(maps, line);) ++count;
  return count;
}

std::int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t size = 0;
  std::int64_t resident = 0;
  statm >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// Different for each number; its value is 499500 + number * 1000.
std::string program_text(int number) {
  return fmt::format(
      "|v: vec[i64]| let d = result(for(v, dictmerger[i64,i64,+], |b, i, x| merge(b, {{x % 10L, x + "
      "{}L}}))); "
      "result(for(tovec(d), merger[i64,+], |b, i, e| merge(b, e.$1)))",
      number);
}

// All threads compile and run programs, the same ones and ones of their own.
void run_round(int num_threads, int first_number) {
  const std::vector<std::int64_t> v = counting(1000);
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  const auto shared_context = make_context();
  for (int t = 0; t < num_threads; ++t) {
    threads.emplace_back([&, t] {
      const I64Vector args(v);
      const auto own_context = make_context();
      for (int i = 0; i < 6; ++i) {
        const int number = first_number + (i % 2 == 0 ? i : 10 + t);
        const auto program = compile(program_text(number), {.optimization_level = 1});
        for (int run = 0; run < 5; ++run) {
          const auto& context = run % 2 == 0 ? shared_context : own_context;
          const auto result = program->run(context, &args, {.num_threads = 1 + run % 3});
          if (!result || as_i64(*result) != 499500 + number * 1000) ++failures;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(shared_context->bytes_in_use(), 0);
}

TEST(Concurrency, ThirtyTwoThreadsCompileAndRun) {
  // The first rounds make what a process keeps: LLVM's targets, TBB's threads, arenas of malloc.
  for (int round = 0; round < 3; ++round) run_round(32, round * 100);
  clear_compile_cache();
  malloc_trim(0);
  const std::int64_t mappings = num_mappings();
  const std::int64_t resident = resident_bytes();
  for (int round = 3; round < 7; ++round) run_round(32, round * 100);
  clear_compile_cache();
  malloc_trim(0);
  EXPECT_LT(num_mappings(), mappings + 60);
  EXPECT_LT(resident_bytes(), resident + (std::int64_t{48} << 20));
}

TEST(Concurrency, CompilingAgainAndAgainLeavesNoMappings) {
  const auto compile_many = [](int first) {
    for (int i = 0; i < 150; ++i) {
      compile(program_text(10'000 + first + i), {.optimization_level = 0});
      if (i % 50 == 49) clear_compile_cache();
    }
    malloc_trim(0);
  };
  compile_many(0);
  const std::int64_t mappings = num_mappings();
  const std::int64_t resident = resident_bytes();
  compile_many(1000);
  compile_many(2000);
  EXPECT_LE(num_mappings(), mappings + 20);
  EXPECT_LT(resident_bytes(), resident + (std::int64_t{16} << 20));
}

TEST(Concurrency, AResultOutlivesProgramCacheAndContextHandle) {
  std::vector<Result> results;
  const std::vector<std::int64_t> v = counting(5);
  const I64Vector args(v);
  {
    const auto program = compile("|v: vec[i64]| map(v, |x| {x, \"text\", [x]})");
    auto result = program->run(make_context(), &args, {});
    ASSERT_TRUE(result);
    results.push_back(std::move(*result));
  }
  clear_compile_cache();
  struct Element {
    std::int64_t number;
    const char* text;
    std::int64_t length;
    const std::int64_t* own;
    std::int64_t own_length;
  };
  const struct Vector {
    const Element* data;
    std::int64_t length;
  }& vector = *static_cast<const Vector*>(results[0].data());
  ASSERT_EQ(vector.length, 5);
  EXPECT_EQ(std::string(vector.data[4].text, 4), "text");
  EXPECT_EQ(vector.data[4].own[0], 4);
}

TEST(Concurrency, OneProgramInManyThreads) {
  const auto program = compile(kEveryBuilder);
  const std::vector<std::int64_t> v = counting(3000);
  const I64Vector args(v);
  const auto context = make_context();
  const auto expected = program->run(context, &args, {});
  ASSERT_TRUE(expected) << expected.error().render();
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const auto result = program->run(context, &args, {.num_threads = 1 + t % 3});
        if (!result || as_i64(*result) != as_i64(*expected)) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

// In a child process: the refusal cannot be taken back.
TEST(Concurrency, RunsInterpretedWhereExecutableMemoryIsRefused) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    constexpr int kSetMemoryDenyWriteExecute =
        65;  // PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: not in older headers
    if (prctl(kSetMemoryDenyWriteExecute, 1, 0, 0, 0) != 0) _exit(77);  // the kernel is older than 6.3
    const auto program =
        compile("|v: vec[i64]| result(for(v, merger[i64,+], |b, i, x| merge(b, x * 12345L)))");
    const std::vector<std::int64_t> v = counting(10);
    const I64Vector args(v);
    const auto result = program->run(make_context(), &args, {});
    _exit(program->interpreted() && result && as_i64(*result) == 45 * 12345 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "the kernel does not know PR_SET_MDWE";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Concurrency, AChildOfForkRunsOnSeveralThreads) {
  const auto program = compile(kEveryBuilder);
  const std::vector<std::int64_t> v = counting(20'000);
  const I64Vector args(v);
  const auto context = make_context();
  const auto before = program->run(context, &args, {.num_threads = 4});
  ASSERT_TRUE(before);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(60);
    const auto result = program->run(make_context(), &args, {.num_threads = 4});
    _exit(result && as_i64(*result) == as_i64(*before) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace weld::codegen
