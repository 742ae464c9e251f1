#include <CLI/CLI.hpp>

#include "bindings/c/log.h"
#include "bindings/c/weld.h"
#include "bindings/cli/commands.h"

using namespace weld::cli;

namespace {

void add_source(CLI::App& app, ProgramSource& source) {
  auto* group = app.add_option_group("program");
  group->add_option("FILE", source.file, "a file with the program; - is standard input");
  group->add_option("-e", source.text, "the program as text");
  group->require_option(1);
}

void add_flags(CLI::App& app, CompileFlags& flags) {
  app.add_option("--threads", flags.num_threads, "run with N threads")->check(CLI::Range(1, 1024));
  app.add_flag("--interpret", flags.interpret, "run in the reference interpreter");
  app.add_option("--set", flags.set, "key=value of the conf")->allow_extra_args(false);
  app.add_option("--library", flags.libraries, "a shared library with functions for cudf")
      ->allow_extra_args(false);
}

void add_arguments(CLI::App& app, RunCommand& run) {
  app.add_option("--arg", run.arguments, "JSON, once for each parameter")->allow_extra_args(false);
  app.add_option("--args-file", run.arguments_file, "a file with a JSON array of all arguments");
}

}  // namespace

int main(int argc, char** argv) {
  weld::bindings::set_log_level(weld::bindings::LogLevel::kWarn);
  CLI::App app{"Compiles and runs Weld programs."};
  app.set_version_flag("--version", weld_version());
  app.require_subcommand(1);

  RunCommand run_command;
  auto* run_app = app.add_subcommand("run", "run a program and print its result as JSON");
  add_source(*run_app, run_command.source);
  add_flags(*run_app, run_command.flags);
  add_arguments(*run_app, run_command);
  run_app->add_flag("--strings", run_command.strings, "print byte vectors as text");

  CheckCommand check_command;
  auto* check_app = app.add_subcommand("check", "verify a program and print its type");
  add_source(*check_app, check_command.source);

  ExplainCommand explain_command;
  auto* explain_app = app.add_subcommand("explain", "print what becomes of a program");
  add_source(*explain_app, explain_command.run.source);
  add_flags(*explain_app, explain_command.run.flags);
  add_arguments(*explain_app, explain_command.run);
  auto* after = explain_app->add_option("--after", explain_command.after, "the program after that pass");
  auto* each = explain_app->add_flag("--each", explain_command.each, "the program after every pass");
  auto* emit = explain_app->add_option("--emit", explain_command.emit, "ir, llvm, asm or dot")
                   ->check(CLI::IsMember({"ir", "llvm", "asm", "dot"}));
  auto* analyze =
      explain_app->add_flag("--analyze", explain_command.analyze, "run it, and print where time went");
  auto* why =
      explain_app->add_flag("--why", explain_command.why, "also why loops were not fused, vectorised, …");
  after->excludes(each)->excludes(emit)->excludes(analyze);
  each->excludes(emit)->excludes(analyze);
  emit->excludes(analyze);
  why->excludes(analyze);

  ReplCommand repl_command;
  auto* repl_app = app.add_subcommand("repl", "read and evaluate expressions; :help lists what else");
  add_flags(*repl_app, repl_command.flags);
  repl_app->add_flag("--strings", repl_command.strings, "print byte vectors as text");

  auto* passes_app = app.add_subcommand("passes", "list the passes in their default order");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  for (ProgramSource* source : {&run_command.source, &check_command.source, &explain_command.run.source}) {
    source->has_text = source->file.empty();
  }
  if (run_app->parsed()) return run(run_command);
  if (check_app->parsed()) return check(check_command);
  if (explain_app->parsed()) return explain(explain_command);
  if (repl_app->parsed()) return repl(repl_command);
  if (passes_app->parsed()) return list_passes();
  return kUsage;
}
