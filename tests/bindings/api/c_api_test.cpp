#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "weld.h"

namespace {

using testing::HasSubstr;

// A module, a context and an error object, freed at the end of the test.
class CApi : public testing::Test {
 protected:
  ~CApi() override {
    for (weld_value_t value : values_) weld_value_free(value);
    for (weld_module_t module : modules_) weld_module_free(module);
    weld_context_free(context_);
    weld_conf_free(conf_);
    weld_error_free(error_);
  }

  void set(const char* key, const char* value) { weld_conf_set(conf_, key, value); }
  void make_context() {
    weld_context_free(context_);
    context_ = weld_context_new_checked(conf_, error_);
  }
  weld_module_t compile(const std::string& program) {
    weld_module_t module = weld_module_compile(program.c_str(), conf_, error_);
    modules_.push_back(module);
    return module;
  }
  weld_value_t run(weld_module_t module, const void* arguments = nullptr) {
    weld_value_t argument = weld_value_new(arguments);
    weld_value_t value = weld_module_run(module, context_, argument, error_);
    weld_value_free(argument);
    values_.push_back(value);
    return value;
  }
  uint64_t code() const { return weld_error_code(error_); }
  std::string message() const { return weld_error_message(error_); }

  template <class T>
  T result_of(const std::string& program, const void* arguments = nullptr) {
    weld_value_t value = run(compile(program), arguments);
    EXPECT_EQ(code(), Success) << weld_error_diagnostic(error_);
    return value ? *static_cast<const T*>(weld_value_data(value)) : T();
  }

  weld_conf_t conf_ = weld_conf_new();
  weld_error_t error_ = weld_error_new();
  weld_context_t context_ = weld_context_new(nullptr);
  std::vector<weld_module_t> modules_;
  std::vector<weld_value_t> values_;
};

template <class T>
weld_vector_t vector_of(std::vector<T>& elements) {
  return {elements.data(), static_cast<int64_t>(elements.size())};
}

constexpr const char* kSum = "|v: vec[i64]| result(for(v, merger[i64,+], |b, i, x| merge(b, x)))";

TEST_F(CApi, RunsAProgram) {
  std::vector<int64_t> numbers{1, 2, 3, 4};
  const weld_vector_t arguments = vector_of(numbers);
  EXPECT_EQ(result_of<int64_t>(kSum, &arguments), 10);
}

TEST_F(CApi, RunsABareExpressionWithoutArgument) {
  EXPECT_EQ(result_of<int32_t>("1 + 2"), 3);
  weld_value_t value = weld_module_run(compile("2.5"), context_, nullptr, error_);
  ASSERT_EQ(code(), Success);
  EXPECT_EQ(*static_cast<const double*>(weld_value_data(value)), 2.5);
  weld_value_free(value);
}

TEST_F(CApi, PassesStructsInTheirCLayout) {
  struct Inner {
    int8_t a;
    double b;
  };
  struct Arguments {
    bool flag;
    int16_t small;
    Inner inner;
    weld_vector_t vector;
    float number;
    uint8_t byte;
  };
  struct Row {
    int32_t key;
    int64_t value;
  };
  std::vector<Row> rows{{1, 10}, {2, 20}};
  const Arguments arguments{true, -7, {3, 0.5}, vector_of(rows), 1.25f, 200};
  struct Result {
    int16_t small;
    double b;
    uint8_t byte;
    int64_t sum;
    float number;
    bool flag;
    int8_t a;
  };
  const auto result = result_of<Result>(
      "|flag: bool, small: i16, inner: {i8,f64}, v: vec[{i32,i64}], number: f32, byte: u8|"
      "{small, inner.$1, byte, result(for(v, merger[i64,+], |b, i, r| merge(b, i64(r.$0) * r.$1))), number, "
      "flag,"
      "inner.$0}",
      &arguments);
  EXPECT_EQ(result.small, -7);
  EXPECT_EQ(result.b, 0.5);
  EXPECT_EQ(result.byte, 200);
  EXPECT_EQ(result.sum, 50);
  EXPECT_EQ(result.number, 1.25f);
  EXPECT_TRUE(result.flag);
  EXPECT_EQ(result.a, 3);
}

TEST_F(CApi, ReturnsNestedVectorsAndTexts) {
  std::vector<int64_t> numbers{1, 2};
  const weld_vector_t arguments = vector_of(numbers);
  const auto result = result_of<weld_vector_t>(
      "|v: vec[i64]| result(for(v, appender[{vec[i64],vec[i8]}], |b, i, x| merge(b, {[x, x * x], "
      "\"text\"})))",
      &arguments);
  struct Element {
    weld_vector_t numbers;
    weld_vector_t text;
  };
  ASSERT_EQ(result.len, 2);
  const Element& second = static_cast<const Element*>(result.data)[1];
  EXPECT_EQ(static_cast<const int64_t*>(second.numbers.data)[1], 4);
  EXPECT_EQ(std::string(static_cast<const char*>(second.text.data), second.text.len), "text");
}

TEST_F(CApi, ReturnsViewsOfItsArguments) {
  std::vector<int64_t> numbers{1, 2, 3};
  const weld_vector_t arguments = vector_of(numbers);
  const auto all = result_of<weld_vector_t>("|v: vec[i64]| v", &arguments);
  EXPECT_EQ(all.data, numbers.data());
  const auto tail = result_of<weld_vector_t>("|v: vec[i64]| slice(v, 1L, 10L)", &arguments);
  EXPECT_EQ(tail.data, numbers.data() + 1);
  EXPECT_EQ(tail.len, 2);
}

TEST_F(CApi, ResultsOutliveModulesAndContexts) {
  weld_value_t value = run(compile("\"constant\""));
  weld_module_free(modules_.back());
  modules_.clear();
  weld_context_free(context_);
  context_ = nullptr;
  const auto* text = static_cast<const weld_vector_t*>(weld_value_data(value));
  EXPECT_EQ(std::string(static_cast<const char*>(text->data), text->len), "constant");
  EXPECT_STREQ(weld_value_type(value), "vec[i8]");
}

TEST_F(CApi, CountsTheMemoryOfResults) {
  weld_value_t value =
      run(compile("result(for(rangeiter(0L, 1000L, 1L), appender[i64], |b, i, x| merge(b, x)))"));
  ASSERT_EQ(code(), Success);
  EXPECT_GE(weld_value_memory_usage(value), 8000);
  EXPECT_GE(weld_context_memory_usage(context_), 8000);
  weld_value_free(value);
  values_.clear();
  EXPECT_EQ(weld_context_memory_usage(context_), 0);
}

TEST_F(CApi, NumbersItsRuns) {
  weld_module_t module = compile("1");
  EXPECT_NE(weld_value_run(run(module)), weld_value_run(run(module)));
}

TEST_F(CApi, TellsTypes) {
  weld_module_t module = compile(
      "|v: @(min:0) vec[i64], k: f32| {k, result(for(v, dictmerger[i64,i64,+], "
      "|b, i, x| merge(b, {x, 1L})))}");
  EXPECT_STREQ(weld_module_type(module), "|vec[i64],f32| {f32,dict[i64,i64]}");
  EXPECT_STREQ(weld_module_result_type(module), "{f32,dict[i64,i64]}");
  ASSERT_EQ(weld_module_num_parameters(module), 2);
  EXPECT_STREQ(weld_module_parameter_type(module, 0), "vec[i64]");
  EXPECT_STREQ(weld_module_parameter_name(module, 1), "k");
  EXPECT_EQ(weld_module_parameter_type(module, 2), nullptr);
  EXPECT_EQ(weld_module_parameter_type(module, -1), nullptr);
  EXPECT_STREQ(weld_module_type(compile("1.0")), "f64");
}

TEST_F(CApi, ReportsWhereAProgramIsWrong) {
  EXPECT_EQ(compile("|v: vec[i64]|\n  v + 1L"), nullptr);
  EXPECT_EQ(code(), CompileError);
  EXPECT_EQ(weld_error_line(error_), 2);
  EXPECT_GT(weld_error_column(error_), 0);
  EXPECT_GT(weld_error_end_column(error_), weld_error_column(error_));
  EXPECT_EQ(weld_error_end_line(error_), 2);
  EXPECT_THAT(weld_error_diagnostic(error_), HasSubstr("<program>:2:"));
  EXPECT_THAT(weld_error_diagnostic(error_), HasSubstr("error[CompileError]"));
  EXPECT_THAT(weld_error_diagnostic(error_), HasSubstr("\n  v + 1L\n"));
}

TEST_F(CApi, RejectsBuildersThatAreUsedTwice) {
  EXPECT_EQ(compile("let b = merger[i64,+]; result(merge(b, 1L)) + result(b)"), nullptr);
  EXPECT_EQ(code(), CompileError);
}

TEST_F(CApi, ReportsWhereARunFails) {
  weld_module_t module = compile("|v: vec[i64]|\n lookup(v, 5L)");
  std::vector<int64_t> numbers{1};
  const weld_vector_t arguments = vector_of(numbers);
  EXPECT_EQ(run(module, &arguments), nullptr);
  EXPECT_EQ(code(), ArrayOutOfBounds);
  EXPECT_EQ(weld_error_line(error_), 2);
  EXPECT_THAT(weld_error_diagnostic(error_), HasSubstr("error[ArrayOutOfBounds]"));
  EXPECT_STREQ(weld_error_code_name(code()), "ArrayOutOfBounds");
}

TEST_F(CApi, ResetsErrorsOnSuccess) {
  compile("nonsense");
  EXPECT_NE(code(), Success);
  compile("1");
  EXPECT_EQ(code(), Success);
  EXPECT_EQ(message(), "success");
  EXPECT_EQ(weld_error_line(error_), 0);
  EXPECT_STREQ(weld_error_diagnostic(error_), "");
}

TEST_F(CApi, GivesEveryRunTimeError) {
  const std::pair<const char*, uint64_t> cases[] = {
      {"|v: vec[i64]| slice(v, 9L, 1L)", ArrayOutOfBounds},
      {"|v: vec[i64]| result(for(iter(v, 0L, 1L, 0L), merger[i64,+], |b, i, x| merge(b, x)))",
       BadIteratorLength},
      {"|v: vec[i64]| len(zip(v, [1L]))", MismatchedZipSize},
      {"|v: vec[i64]| deserialize[i64](serialize(i8(len(v))))", DeserializationError},
      {"|v: vec[i64]| lookup(result(dictmerger[i64,i64,+]), len(v))", KeyNotFoundError},
      {"|v: vec[i64]| assert(len(v) == 9L)", AssertionError},
      {"|v: vec[i64]| 1L / (len(v) - 3L)", ArithmeticError},
  };
  std::vector<int64_t> numbers{1, 2, 3};
  const weld_vector_t arguments = vector_of(numbers);
  for (const auto& [program, expected] : cases) {
    EXPECT_EQ(run(compile(program), &arguments), nullptr) << program;
    EXPECT_EQ(code(), expected) << program << "\n" << weld_error_diagnostic(error_);
  }
}

TEST_F(CApi, StopsAtTheMemoryLimit) {
  set("weld.memory.limit", "100000");
  make_context();
  weld_module_t module =
      compile("|n: i64| result(for(rangeiter(0L, n, 1L), appender[i64], |b, i, x| merge(b, x)))");
  int64_t count = 1'000'000;
  EXPECT_EQ(run(module, &count), nullptr);
  EXPECT_EQ(code(), OutOfMemory);
  EXPECT_EQ(weld_context_memory_usage(context_), 0);
  count = 1'000;
  EXPECT_NE(run(module, &count), nullptr);
}

constexpr const char* kEndless = "|n: i64| iterate(n, |s| {s + 1L, s >= 0L})";

TEST_F(CApi, StopsAtADeadline) {
  weld_module_t module = compile(kEndless);
  const int64_t start = 0;
  weld_value_t argument = weld_value_new(&start);
  weld_run_options_t options{};
  options.struct_bytes = sizeof options;
  options.deadline_ms = 20;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(weld_module_run_with(module, context_, argument, &options, error_), nullptr);
  EXPECT_EQ(code(), DeadlineExceeded);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(500));
  weld_value_free(argument);

  set("weld.deadline.ms", "20");
  make_context();
  EXPECT_EQ(run(module, &start), nullptr);
  EXPECT_EQ(code(), DeadlineExceeded);
}

TEST_F(CApi, StopsWhenCancelled) {
  weld_module_t module = compile(kEndless);
  const int64_t start = 0;
  weld_value_t argument = weld_value_new(&start);
  weld_cancel_t cancel = weld_cancel_new();
  weld_run_options_t options{};
  options.struct_bytes = sizeof options;
  options.cancel = cancel;
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    weld_cancel_trigger(cancel);
  });
  EXPECT_EQ(weld_module_run_with(module, context_, argument, &options, error_), nullptr);
  EXPECT_EQ(code(), Cancelled);
  other.join();
  weld_cancel_free(cancel);
  weld_value_free(argument);
}

TEST_F(CApi, MeasuresRunsAndCompiles) {
  weld_module_t module =
      compile("result(for(rangeiter(0L, 100000L, 1L), merger[i64,+], |b, i, x| merge(b, x % 7L)))");
  weld_compile_times_t times;
  ASSERT_TRUE(weld_module_compile_times(module, &times));
  EXPECT_GT(times.parse_ms, 0);
  weld_run_statistics_t statistics;
  ASSERT_TRUE(weld_value_statistics(run(module), &statistics));
  EXPECT_GT(statistics.run_ns, 0);
  EXPECT_GE(statistics.peak_bytes, 0);
  EXPECT_FALSE(weld_module_interpreted(module));
}

TEST_F(CApi, Interprets) {
  set("weld.interpret", "true");
  weld_module_t module = compile(kSum);
  EXPECT_TRUE(weld_module_interpreted(module));
  std::vector<int64_t> numbers{1, 2, 3};
  const weld_vector_t arguments = vector_of(numbers);
  EXPECT_EQ(*static_cast<const int64_t*>(weld_value_data(run(module, &arguments))), 6);
}

TEST_F(CApi, RejectsBadConfs) {
  set("weld.threads", "many");
  set("weld.speed", "fast");
  EXPECT_EQ(compile("1"), nullptr);
  EXPECT_EQ(code(), ConfigurationError);
  EXPECT_THAT(weld_error_diagnostic(error_),
              HasSubstr("weld.threads accepts a number from 1 to 1024, not \"many\""));
  EXPECT_THAT(weld_error_diagnostic(error_), HasSubstr("weld.speed is no key of a conf"));
  EXPECT_EQ(weld_context_new(conf_), nullptr);
  EXPECT_EQ(weld_context_new_checked(conf_, error_), nullptr);
  EXPECT_EQ(code(), ConfigurationError);
}

TEST_F(CApi, AcceptsAllKeysOfTheOriginal) {
  const std::pair<const char*, const char*> values[] = {
      {"weld.memory.limit", "1000000000"},
      {"weld.threads", "1"},
      {"weld.compile.traceExecution", "false"},
      {"weld.compile.enableBoundsChecks", "true"},
      {"weld.compile.dumpCode", "false"},
      {"weld.compile.dumpCodeDir", "."},
      {"weld.compile.dumpCodeFilename", "program"},
      {"weld.compile.dumpCodeFormats", "weld,weldopt,llvm,llvmopt,sir,assembly"},
      {"weld.compile.multithreadSupport", "false"},
      {"weld.optimization.passes",
       "loop-fusion,unroll-static-loop,infer-size,short-circuit-booleans,predicate,"
       "vectorize,fix-iterate,inline-zip,inline-let,inline-apply,algebraic,cse"},
      {"weld.optimization.applyExperimentalTransforms", "true"},
      {"weld.optimization.sirOptimization", "true"},
      {"weld.llvm.optimization.level", "3"},
      {"weld.llvm.optimization.unroller", "true"},
      {"weld.llvm.optimization.vectorizer", "true"},
      {"weld.llvm.optimization.targetPasses", "true"},
      {"weld.llvm.optimization.moduleOpts", "true"},
      {"weld.llvm.optimization.funcOpts", "true"},
      {"weld.llvm.runFunctionName", "run"},
      {"weld.deterministic", "true"},
      {"weld.cache.size", "1000000"},
      {"weld.simd.width", "256"},
      {"weld.deadline.ms", "1000"},
      {"weld.adaptive", "false"},
      {"weld.impl.dictmerger", "dense"},
      {"weld.impl.groupmerger", "partitioned"},
      {"weld.impl.lookup", "staged"},
  };
  for (const auto& [key, value] : values) {
    set(key, value);
    EXPECT_STREQ(weld_conf_get(conf_, key), value);
  }
  EXPECT_EQ(result_of<int32_t>("1 + 1"), 2);
  make_context();
  EXPECT_EQ(code(), Success) << weld_error_diagnostic(error_);
}

TEST_F(CApi, RunsWithAllPassesOff) {
  set("weld.optimization.passes", "");
  std::vector<int64_t> numbers{1, 2, 3};
  const weld_vector_t arguments = vector_of(numbers);
  EXPECT_EQ(result_of<int64_t>("|v: vec[i64]| let f = |x: i64| x * 2L; result(for(zip(v, v), merger[i64,+], "
                               "|b, i, e| merge(b, f(e.$0) + e.$1)))",
                               &arguments),
            18);
}

TEST_F(CApi, DumpsCode) {
  const auto folder = std::filesystem::temp_directory_path() / ("weld_dump_" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  set("weld.compile.dumpCode", "true");
  set("weld.compile.dumpCodeDir", folder.c_str());
  set("weld.compile.dumpCodeFilename", "program");
  EXPECT_EQ(result_of<int64_t>("17L + 4L"), 21);
  for (const char* file : {"program.weld", "program.weldopt", "program.ll", "program.opt.ll", "program.S"}) {
    EXPECT_GT(std::filesystem::file_size(folder / file), 0u) << file;
  }
  set("weld.compile.dumpCodeDir", "/nowhere");
  EXPECT_EQ(compile("17L + 5L"), nullptr);
  EXPECT_EQ(code(), ConfigurationError);
  std::filesystem::remove_all(folder);
}

TEST_F(CApi, CallsForeignFunctions) {
  weld_load_library(WELD_TEST_FUNCTIONS, error_);
  ASSERT_EQ(code(), Success) << message();
  weld_load_library(WELD_TEST_FUNCTIONS, error_);
  ASSERT_EQ(code(), Success) << message();
  const int64_t three = 3;
  EXPECT_EQ(result_of<int64_t>("|x: i64| cudf[add_integers,i64](x, 4L)", &three), 7);
  const auto numbers = result_of<weld_vector_t>("|x: i64| cudf[first_numbers,vec[i64]](x)", &three);
  ASSERT_EQ(numbers.len, 3);
  EXPECT_EQ(static_cast<const int64_t*>(numbers.data)[2], 2);

  const int64_t failure = AssertionError;
  EXPECT_EQ(run(compile("|x: i64| cudf[fail_with,i64](x)"), &failure), nullptr);
  EXPECT_EQ(code(), AssertionError);
  const int64_t negative = -1;
  EXPECT_EQ(run(compile("|x: i64| cudf[require_positive,i64](x)"), &negative), nullptr);
  EXPECT_EQ(code(), AssertionError);
  EXPECT_EQ(compile("cudf[no_such_function,i64](1L)"), nullptr);
  EXPECT_EQ(code(), CompileError);
}

TEST_F(CApi, CountsTheMemoryOfForeignFunctions) {
  weld_load_library(WELD_TEST_FUNCTIONS, error_);
  set("weld.memory.limit", "10000");
  make_context();
  const int64_t many = 100'000;
  EXPECT_EQ(run(compile("|x: i64| cudf[first_numbers,vec[i64]](x)"), &many), nullptr);
  EXPECT_EQ(code(), OutOfMemory);
}

TEST_F(CApi, SharesAModuleBetweenThreads) {
  weld_module_t module = compile(kSum);
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      weld_error_t error = weld_error_new();
      std::vector<int64_t> numbers(1000, t + 1);
      const weld_vector_t arguments = vector_of(numbers);
      weld_value_t argument = weld_value_new(&arguments);
      for (int i = 0; i < 1000; ++i) {
        weld_value_t value = weld_module_run(module, context_, argument, error);
        if (!value || *static_cast<const int64_t*>(weld_value_data(value)) != 1000 * (t + 1)) ++failures;
        weld_value_free(value);
      }
      weld_value_free(argument);
      weld_error_free(error);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(weld_context_memory_usage(context_), 0);
}

TEST_F(CApi, KeepsRunTimeHandlesOfOldClients) {
  weld_run_t handle = weld_runst_init(1, 1000);
  auto* bytes = static_cast<char*>(weld_runst_malloc(handle, 100));
  ASSERT_NE(bytes, nullptr);
  bytes[99] = 7;
  bytes = static_cast<char*>(weld_runst_realloc(handle, bytes, 500));
  ASSERT_NE(bytes, nullptr);
  EXPECT_EQ(bytes[99], 7);
  EXPECT_EQ(weld_runst_malloc(handle, 501), nullptr);
  EXPECT_EQ(weld_runst_get_errno(handle), OutOfMemory);
  weld_runst_set_errno(handle, Success);
  weld_runst_free(handle, bytes);
  EXPECT_NE(weld_runst_malloc(handle, 900), nullptr);
  EXPECT_EQ(weld_runst_malloc(handle, 0), nullptr);
  EXPECT_EQ(weld_runst_malloc(handle, -1), nullptr);
  weld_runst_free(handle, &bytes);
  weld_runst_set_result(handle, &bytes);
  EXPECT_EQ(weld_runst_get_result(handle), &bytes);
  EXPECT_EQ(weld_runst_assert(handle, 1), 1);
  EXPECT_EQ(weld_runst_assert(handle, 0), 0);
  EXPECT_EQ(weld_runst_get_errno(handle), AssertionError);
  weld_runst_print(handle, "printed by a test");
  weld_runst_print(handle, nullptr);
  weld_runst_release(handle);
}

// Every function with NULL, and with a handle of another kind.
TEST_F(CApi, SurvivesMisuse) {
  weld_conf_t conf = weld_conf_new();
  weld_error_t error = weld_error_new();
  for (void* wrong : {static_cast<void*>(nullptr), static_cast<void*>(conf), static_cast<void*>(error)}) {
    const bool is_conf = wrong == conf;
    const bool is_error = wrong == error;
    weld_context_free(wrong);
    EXPECT_EQ(weld_context_memory_usage(wrong), 0);
    weld_value_free(wrong);
    EXPECT_EQ(weld_value_data(wrong), nullptr);
    EXPECT_EQ(weld_value_run(wrong), -1);
    EXPECT_EQ(weld_value_context(wrong), nullptr);
    EXPECT_EQ(weld_value_memory_usage(wrong), 0);
    EXPECT_EQ(weld_value_type(wrong), nullptr);
    weld_run_statistics_t statistics;
    EXPECT_FALSE(weld_value_statistics(wrong, &statistics));
    EXPECT_FALSE(weld_value_statistics(wrong, nullptr));
    weld_module_free(wrong);
    EXPECT_EQ(weld_module_type(wrong), nullptr);
    EXPECT_EQ(weld_module_result_type(wrong), nullptr);
    EXPECT_EQ(weld_module_num_parameters(wrong), 0);
    EXPECT_EQ(weld_module_parameter_type(wrong, 0), nullptr);
    EXPECT_EQ(weld_module_parameter_name(wrong, 0), nullptr);
    EXPECT_FALSE(weld_module_interpreted(wrong));
    weld_compile_times_t times;
    EXPECT_FALSE(weld_module_compile_times(wrong, &times));
    EXPECT_FALSE(weld_module_compile_times(wrong, nullptr));
    weld_cancel_trigger(wrong);
    weld_cancel_free(wrong);
    weld_runst_release(wrong);
    EXPECT_EQ(weld_runst_malloc(wrong, 8), nullptr);
    EXPECT_EQ(weld_runst_realloc(wrong, nullptr, 8), nullptr);
    weld_runst_free(wrong, nullptr);
    weld_runst_set_errno(wrong, Unknown);
    EXPECT_EQ(weld_runst_get_errno(wrong), RunNotFound);
    if (!is_conf) {
      weld_conf_free(wrong);
      EXPECT_EQ(weld_conf_get(wrong, "weld.threads"), nullptr);
      weld_conf_set(wrong, "weld.threads", "1");
    }
    if (!is_error) {
      weld_error_free(wrong);
      EXPECT_EQ(weld_error_code(wrong), Unknown);
      EXPECT_STRNE(weld_error_message(wrong), "");
      EXPECT_STREQ(weld_error_diagnostic(wrong), "");
      EXPECT_EQ(weld_error_line(wrong), 0);
    }
    EXPECT_EQ(weld_module_run(wrong, context_, nullptr, error_), nullptr);
    EXPECT_EQ(code(), Unknown);
    EXPECT_THAT(message(), HasSubstr("the module"));
    EXPECT_EQ(weld_module_run(compile("1"), wrong, nullptr, error_), nullptr);
    EXPECT_EQ(code(), Unknown);
    if (wrong) {
      EXPECT_EQ(weld_module_run(compile("1"), context_, wrong, error_), nullptr);
      EXPECT_EQ(code(), Unknown);
    }
    if (wrong && !is_conf) {
      EXPECT_EQ(weld_module_compile("1", wrong, error_), nullptr);
      EXPECT_EQ(code(), Unknown);
      EXPECT_EQ(weld_context_new(wrong), nullptr);
    }
  }
  EXPECT_EQ(weld_module_compile(nullptr, nullptr, error_), nullptr);
  EXPECT_EQ(code(), Unknown);
  weld_load_library(nullptr, error_);
  EXPECT_EQ(code(), LoadLibraryError);
  EXPECT_EQ(weld_conf_get(conf, nullptr), nullptr);
  weld_conf_set(conf, nullptr, "1");
  weld_conf_set(conf, "weld.threads", nullptr);
  EXPECT_STREQ(weld_error_code_name(12345), "Unknown");

  EXPECT_EQ(run(compile(kSum)), nullptr);
  EXPECT_EQ(code(), Unknown);
  EXPECT_EQ(weld_module_run(compile(kSum), context_, nullptr, nullptr), nullptr);
  weld_run_options_t options{};
  EXPECT_EQ(weld_module_run_with(compile("1"), context_, nullptr, &options, error_), nullptr);
  EXPECT_THAT(message(), HasSubstr("struct_bytes"));
  options.struct_bytes = sizeof options;
  options.num_threads = -1;
  EXPECT_EQ(weld_module_run_with(compile("1"), context_, nullptr, &options, error_), nullptr);
  EXPECT_EQ(code(), ConfigurationError);
  weld_conf_free(conf);
  weld_error_free(error);
}

TEST_F(CApi, CountsReferencesToContexts) {
  weld_value_t value = run(compile("[1, 2, 3]"));
  weld_context_t first = weld_value_context(value);
  weld_context_t second = weld_value_context(value);
  weld_context_free(context_);
  context_ = nullptr;
  weld_context_free(first);
  EXPECT_GT(weld_context_memory_usage(second), 0);
  weld_context_free(second);
  // No caller holds the context any more: one free too many does nothing, the value is still whole.
  weld_context_free(second);
  EXPECT_EQ(static_cast<const weld_vector_t*>(weld_value_data(value))->len, 3);
}

}  // namespace
