// Runs the tool as a user does: exit status, standard output, standard error.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

struct Outcome {
  int status = -1;
  std::string output;
  std::string errors;
};

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

class Tool : public testing::Test {
 protected:
  Tool() : folder_(std::filesystem::temp_directory_path() / ("weld_tool_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~Tool() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  static std::string read(const std::filesystem::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  // Arguments are passed as they are; `input` is standard input.
  Outcome weld(const std::vector<std::string>& arguments, const std::string& input = "") const {
    std::string command = quoted(WELD_TOOL);
    for (const std::string& argument : arguments) command += " " + quoted(argument);
    command += " <" + quoted(write("input", input)) + " >" + quoted(folder_ / "output") + " 2>" +
               quoted(folder_ / "errors");
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read(folder_ / "output"), read(folder_ / "errors")};
  }

  // The output of a program that must succeed.
  std::string run(const std::string& program, const std::vector<std::string>& json = {}) const {
    std::vector<std::string> arguments{"run", "-e", program};
    for (const std::string& argument : json) arguments.insert(arguments.end(), {"--arg", argument});
    const Outcome outcome = weld(arguments);
    EXPECT_EQ(outcome.status, 0) << program << "\n" << outcome.errors;
    EXPECT_EQ(outcome.errors, "") << program;
    return outcome.output;
  }

  std::filesystem::path folder_;
};

TEST_F(Tool, RunsPrograms) {
  EXPECT_EQ(run("1 + 2"), "3\n");
  EXPECT_EQ(run("|v: vec[i64]| result(for(v, merger[i64,+], |b, i, x| merge(b, x)))", {"[1, 2, 3]"}), "6\n");
  EXPECT_EQ(run("|a: i64, b: f64| {a, b}", {"-5", "-0.5"}), "[-5,-0.5]\n");
  const std::string file = write("program.weld", "# doubles\n|x: i64| x * 2L\n");
  EXPECT_EQ(weld({"run", file, "--arg", "21"}).output, "42\n");
  EXPECT_EQ(weld({"run", "-"}, "6 * 7").output, "42\n");
}

TEST_F(Tool, KeepsAllBitsOfNumbers) {
  EXPECT_EQ(run("|x: i64| x", {"-9223372036854775808"}), "-9223372036854775808\n");
  EXPECT_EQ(run("|x: u64| x", {"18446744073709551615"}), "18446744073709551615\n");
  EXPECT_EQ(run("|x: f64| x", {"0.1"}), "0.1\n");
  EXPECT_EQ(run("|x: f64| x", {"1"}), "1.0\n");
  EXPECT_EQ(run("|x: f64| x", {"5e-324"}), "5e-324\n");
  EXPECT_EQ(run("|x: f32| x", {"0.1"}), "0.1\n");
  EXPECT_EQ(run("|x: f64| x", {"-0.0"}), "-0.0\n");
  EXPECT_EQ(run("|v: vec[f64]| v", {R"(["NaN", "Infinity", "-Infinity"])"}),
            "[\"NaN\",\"Infinity\",\"-Infinity\"]\n");
  EXPECT_EQ(run("|x: i8, y: u8, z: bool| {x, y, z}", {"-128", "255", "true"}), "[-128,255,true]\n");
}

TEST_F(Tool, ReadsAndPrintsEveryShape) {
  EXPECT_EQ(run("|s: vec[i8]| s", {"\"hi\""}), "[104,105]\n");
  EXPECT_EQ(run("|s: vec[u8]| s", {"[104, 255]"}), "[104,255]\n");
  EXPECT_EQ(weld({"run", "-e", "|s: vec[i8]| s", "--arg", "\"gr\xc3\xbc\xc3\x9f\\n\"", "--strings"}).output,
            "\"gr\xc3\xbc\xc3\x9f\\n\"\n");
  EXPECT_EQ(weld({"run", "-e", "|s: vec[u8]| s", "--arg", "[255]", "--strings"}).output, "[255]\n");
  EXPECT_EQ(run("|v: vec[{i64,vec[f32]}]| v", {"[[1,[0.5]],[2,[]]]"}), "[[1,[0.5]],[2,[]]]\n");
  EXPECT_EQ(run("{}"), "[]\n");
  EXPECT_EQ(run("|e: vec[i64]| e", {"[]"}), "[]\n");
}

TEST_F(Tool, PrintsDictionariesInTheOrderOfTheirKeys) {
  EXPECT_EQ(run("|v: vec[i64]| result(for(v, dictmerger[i64,i64,+], |b, i, x| merge(b, {x, 1L})))",
                {"[3, -1, 3, 2]"}),
            "[[-1,1],[2,1],[3,2]]\n");
  EXPECT_EQ(run("|v: vec[f64]| result(for(v, groupmerger[f64,i64], |b, i, x| merge(b, {x, i})))",
                {R"([2, "NaN", 1, 2])"}),
            "[[1.0,[2]],[2.0,[0,3]],[\"NaN\",[1]]]\n");
  EXPECT_EQ(weld({"run", "--strings", "-e",
                  "|v: vec[vec[i8]]| result(for(v, dictmerger[vec[i8],i64,+], |b, i, x| merge(b, {x, 1L})))",
                  "--arg", R"(["b", "ab", "a", "b"])"})
                .output,
            "[[\"a\",1],[\"ab\",1],[\"b\",2]]\n");
}

TEST_F(Tool, ReadsDictionaries) {
  EXPECT_EQ(run("|d: dict[vec[i8],f64], k: vec[i8]| lookup(d, k)", {R"([["a", 1.5], ["b", 2.5]])", "\"b\""}),
            "2.5\n");
  EXPECT_EQ(run("|d: dict[i64,vec[i64]]| d", {"[[2,[1]],[1,[]]]"}), "[[1,[]],[2,[1]]]\n");
  EXPECT_EQ(weld({"run", "-e", "|d: dict[i64,i64]| d", "--arg", "[[1,1],[1,2]]"}).status, 2);
}

TEST_F(Tool, TakesArgumentsFromAFile) {
  const std::string file = write("arguments.json", "[[1, 2], 9223372036854775807]");
  const std::string program = "|v: vec[i64], k: i64| {len(v), k}";
  EXPECT_EQ(weld({"run", "-e", program, "--args-file", file}).output, "[2,9223372036854775807]\n");
  EXPECT_EQ(weld({"run", "-e", program, "--args-file", file, "--arg", "1"}).status, 2);
  EXPECT_EQ(weld({"run", "-e", program, "--args-file", write("bad.json", "{}")}).status, 2);
}

TEST_F(Tool, RunsInEveryMode) {
  const std::string program =
      "|v: vec[i64]| result(for(v, appender[i64], |b, i, x| if(x > 1L, merge(b, x), b)))";
  for (const std::vector<std::string>& flags : {std::vector<std::string>{"--interpret"},
                                                {"--threads", "2"},
                                                {"--set", "weld.optimization.passes="}}) {
    std::vector<std::string> arguments{"run", "-e", program, "--arg", "[1,2,3]"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    EXPECT_EQ(weld(arguments).output, "[2,3]\n") << flags.front();
  }
}

TEST_F(Tool, RejectsPrograms) {
  const Outcome outcome = weld({"run", "-e", "|x: i64|\n x + 1"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.output, "");
  EXPECT_THAT(outcome.errors,
              MatchesRegex("<program>:2:[0-9]+: error\\[CompileError\\]: .*\n x \\+ 1\n *\\^.*\n"));
  const std::string file = write("wrong.weld", "nothing");
  EXPECT_THAT(weld({"check", file}).errors, StartsWith(file + ":1:1: error[CompileError]: "));
}

TEST_F(Tool, ReportsFailedRuns) {
  const Outcome outcome = weld({"run", "-e", "|v: vec[i64]| lookup(v, 3L)", "--arg", "[1]"});
  EXPECT_EQ(outcome.status, 3);
  EXPECT_EQ(outcome.output, "");
  EXPECT_THAT(outcome.errors, MatchesRegex("<program>:1:15: error\\[ArrayOutOfBounds\\]: .*\n.*\n *\\^~*\n"));
  EXPECT_EQ(weld({"run", "-e", "|n: i64| iterate(n, |s| {s + 1L, true})", "--arg", "0", "--set",
                  "weld.deadline.ms=20"})
                .status,
            3);
}

TEST_F(Tool, StopsAtAnInterrupt) {
  // An interrupt before the run ends the process: on a busy machine the tool needs longer to get there.
  constexpr int kEndedBySignal = 128 + SIGINT;
  int status = 0;
  for (const std::string_view seconds : {"0.3", "1", "3", "10"}) {
    const std::string command = fmt::format(
        "timeout --preserve-status -s INT {} {} run -e '|n: i64| iterate(n, |s| {{s + 1L, s >= 0L}})' --arg "
        "0 "
        "2>{}",
        seconds, quoted(WELD_TOOL), quoted(folder_ / "errors"));
    status = std::system(command.c_str());
    if (WEXITSTATUS(status) != kEndedBySignal) break;
  }
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 3);
  EXPECT_THAT(read(folder_ / "errors"), HasSubstr("error[Cancelled]"));
}

TEST_F(Tool, ReportsWrongUse) {
  EXPECT_EQ(weld({}).status, 2);
  EXPECT_EQ(weld({"walk"}).status, 2);
  EXPECT_EQ(weld({"run"}).status, 2);
  EXPECT_EQ(weld({"run", "-e", "1", "extra.weld"}).status, 2);
  EXPECT_EQ(weld({"run", "/nowhere.weld"}).status, 2);
  EXPECT_EQ(weld({"run", "-e", "1", "--arg", "1"}).status, 2);
  EXPECT_EQ(weld({"run", "-e", "|x: i64| x"}).status, 2);
  EXPECT_EQ(weld({"run", "-e", "1", "--threads", "0"}).status, 2);
  EXPECT_EQ(weld({"run", "-e", "1", "--set", "weld.threads"}).status, 2);
  EXPECT_THAT(weld({"run", "-e", "1", "--set", "weld.threads=x"}).errors, HasSubstr("weld.threads accepts"));
  EXPECT_EQ(weld({"run", "-e", "1", "--set", "weld.threads=x"}).status, 2);
  EXPECT_EQ(weld({"run", "-e", "1", "--library", "/nowhere.so"}).status, 2);
  EXPECT_EQ(weld({"run", "-e", "merger[i64,+]"}).status, 2);
  EXPECT_EQ(weld({"explain", "-e", "1", "--emit", "java"}).status, 2);
  EXPECT_EQ(weld({"explain", "-e", "1", "--after", "nothing"}).status, 2);
  EXPECT_EQ(weld({"explain", "-e", "1", "--each", "--emit", "ir"}).status, 2);
  EXPECT_EQ(weld({"--help"}).status, 0);
  EXPECT_EQ(weld({"--version"}).status, 0);
}

TEST_F(Tool, SaysWhereAnArgumentDoesNotFit) {
  const auto error_of = [&](const std::string& type, const std::string& json) {
    const Outcome outcome = weld({"run", "-e", "|x: " + type + "| x", "--arg", json});
    EXPECT_EQ(outcome.status, 2);
    return outcome.errors;
  };
  EXPECT_EQ(error_of("i8", "128"), "weld: argument 1: an integer from -128 to 127 is expected, found 128\n");
  EXPECT_EQ(error_of("i64", "1.0"),
            "weld: argument 1: an integer from -9223372036854775808 to 9223372036854775807 "
            "is expected, found 1.0\n");
  EXPECT_EQ(error_of("u8", "-1"), "weld: argument 1: an integer from 0 to 255 is expected, found -1\n");
  EXPECT_THAT(error_of("u64", "18446744073709551616"),
              HasSubstr("an integer from 0 to 18446744073709551615"));
  EXPECT_THAT(error_of("bool", "1"), HasSubstr("true or false is expected, found 1"));
  EXPECT_THAT(error_of("f64", "\"nan\""), HasSubstr("a number, \"NaN\""));
  EXPECT_THAT(error_of("vec[{i64,bool}]", "[[1,true],[2,3]]"),
              StartsWith("weld: argument 1[1].$1: true or false"));
  EXPECT_THAT(error_of("{i64,i64}", "[1]"), HasSubstr("an array of 2 is expected, found [1]"));
  EXPECT_THAT(error_of("vec[i64]", "\"text\""), HasSubstr("an array is expected"));
  EXPECT_THAT(error_of("i64", "[1"), HasSubstr("argument 1 is no JSON"));
}

TEST_F(Tool, Checks) {
  EXPECT_EQ(weld({"check", "-e", "|v: vec[i64], k: f64| k * 2.0"}).output, "|vec[i64],f64| f64\n");
  EXPECT_EQ(weld({"check", "-e", "1L"}).output, "i64\n");
  EXPECT_EQ(weld({"check", "-e", "let b = merger[i64,+]; result(merge(b, 1L)) + result(b)"}).status, 1);
}

TEST_F(Tool, ListsPasses) {
  const Outcome outcome = weld({"passes"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.output, StartsWith("inline_applies                   replaces calls"));
  EXPECT_THAT(outcome.output, HasSubstr("\nfold_constants "));
}

TEST_F(Tool, Explains) {
  const std::string program = "|a: i64| let x = 2L * 3L; a + x";
  EXPECT_EQ(weld({"explain", "-e", program}).output, "|a: i64| a + 6L\n");
  EXPECT_THAT(weld({"explain", "-e", program, "--after", "inline-lets"}).output, HasSubstr("2L * 3L"));
  const std::string each = weld({"explain", "-e", program, "--each"}).output;
  EXPECT_THAT(each, StartsWith("# parsed\n"));
  EXPECT_THAT(each, HasSubstr("# inline_zips ("));
  EXPECT_THAT(each, HasSubstr("unchanged"));
  EXPECT_THAT(weld({"explain", "-e", program, "--emit", "llvm"}).output, HasSubstr("define"));
  EXPECT_THAT(weld({"explain", "-e", program, "--emit", "asm"}).output, HasSubstr("ret"));
  EXPECT_THAT(weld({"explain", "-e", program, "--emit", "dot"}).output, StartsWith("digraph weld {\n"));
  const Outcome analyzed = weld({"explain", "-e", program, "--analyze", "--arg", "1"});
  EXPECT_EQ(analyzed.status, 0) << analyzed.errors;
  EXPECT_THAT(analyzed.output, HasSubstr("# ran in "));
}

TEST_F(Tool, TellsWhatLoopsDid) {
  const std::string program =
      "|v: vec[i64]|\n  result(for(v, appender[i64], |b, i, x| if(x > 2L, merge(b, x), b)))";
  const Outcome analyzed = weld({"explain", "-e", program, "--analyze", "--arg", "[1,2,3,4]"});
  EXPECT_EQ(analyzed.status, 0) << analyzed.errors;
  EXPECT_THAT(analyzed.output, HasSubstr("# <program>:2:10: loop: 4 rows, "));
  EXPECT_THAT(analyzed.output, HasSubstr(" cycles a row, 32 bytes read, "));
  EXPECT_THAT(analyzed.output, HasSubstr("#   merged 2 (50 %) into appender[i64]"));
}

TEST_F(Tool, ExplainsWhyNot) {
  const std::string program =
      "|v: vec[f64]|\n  result(@(vectorize:false)for(v, merger[f64,+], |b, i, x| merge(b, x)))";
  const std::string remark =
      "<program>:2:10: remark: not vectorised: the loop says vectorize:false [vectorise_loops]\n"
      "  result(@(vectorize:false)for(v, merger[f64,+], |b, i, x| merge(b, x)))\n"
      "         ^~~~~";
  const std::vector<std::string> passes{"--set", "weld.optimization.passes=vectorise-loops,vectorise-loops"};
  const auto explain = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"explain", "-e", program});
    arguments.insert(arguments.end(), passes.begin(), passes.end());
    return weld(arguments).output;
  };
  const std::string why = explain({"--why"});
  EXPECT_THAT(why, StartsWith(remark));
  EXPECT_EQ(why.find("remark", remark.size()), std::string::npos) << "told once";
  EXPECT_THAT(explain({"--why", "--each"}), HasSubstr(": unchanged\n" + remark));
  EXPECT_THAT(explain({}), Not(HasSubstr("remark")));
}

TEST_F(Tool, ReadsEvaluatesPrints) {
  const Outcome outcome = weld({"repl"},
                               "1 + 2\n"
                               "let x = 20L;\n"
                               "macro twice(a) = a + a;\n"
                               "twice(x) +\n"
                               "  2L\n"
                               "result(for([1L, 2L],  # a comment (\n"
                               "  merger[i64,+], |b, i, e| merge(b, e)))\n"
                               ":type x\n"
                               ":explain 1 + 1\n"
                               "nothing\n"
                               "1 / 0\n"
                               ":time x\n"
                               ":wrong\n"
                               ":reset\n"
                               "x\n"
                               ":quit\n"
                               "5\n");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.output, StartsWith("3\n42\n3\ni64\n2\n20\n# compiled in "));
  EXPECT_THAT(outcome.output, testing::Not(testing::EndsWith("5\n")));
  EXPECT_THAT(outcome.errors, HasSubstr("<repl>:1:1: error[CompileError]"));
  EXPECT_THAT(outcome.errors, HasSubstr("error[ArithmeticError]"));
  EXPECT_THAT(outcome.errors, HasSubstr("there is no command :wrong"));
}

TEST_F(Tool, LoadsDefinitionsFromAFile) {
  const std::string file = write("definitions.weld", "let base = 40;\n");
  EXPECT_EQ(weld({"repl"}, ":load " + file + "\nbase + 2\n").output, "42\n");
}

}  // namespace
