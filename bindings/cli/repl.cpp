#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "bindings/cli/commands.h"
#include "bindings/cli/execution.h"
#include "bindings/cli/line_reader.h"
#include "ir/error.h"
#include "ir/printer.h"
#include "passes/pass.h"

namespace weld::cli {
namespace {

constexpr const char* kHelp =
    "An expression is evaluated and printed; `let x = …;`, `macro …;` and `type …;` are kept for the ones "
    "that follow.\n"
    "An entry goes on while brackets are open or it ends in an operator.\n"
    "  :type EXPR     its type\n"
    "  :explain EXPR  the optimised program\n"
    "  :time EXPR     evaluates it, with the time to compile and to run\n"
    "  :load FILE     reads definitions and an expression from a file, or loads a library (.so) for cudf\n"
    "  :reset         forgets all definitions\n"
    "  :quit\n";

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// What a reader must know of an entry's tokens: strings and comments are passed over.
struct Scan {
  int open_brackets = 0;
  bool in_string = false;
  std::string code;  // without strings and comments
};

Scan scan(const std::string& text) {
  Scan result;
  bool in_comment = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_comment) {
      in_comment = c != '\n';
    } else if (result.in_string) {
      if (c == '\\') ++i;
      if (c == '"') result.in_string = false;
    } else if (c == '#') {
      in_comment = true;
    } else {
      result.in_string = c == '"';
      if (c == '(' || c == '[' || c == '{') ++result.open_brackets;
      if (c == ')' || c == ']' || c == '}') --result.open_brackets;
      result.code += c;
    }
  }
  return result;
}

bool is_complete(const std::string& text) {
  const Scan scanned = scan(text);
  if (scanned.in_string || scanned.open_brackets > 0) return false;
  const std::string code = trimmed(scanned.code);
  return code.empty() || std::string_view("+-*/%&|^<>=!,").find(code.back()) == std::string_view::npos;
}

bool is_definition(const std::string& text) {
  const std::string code = trimmed(scan(text).code);
  return code.ends_with(';');
}

class Repl {
 public:
  explicit Repl(const ReplCommand& command)
      : settings_(read_settings(command.flags)), style_{command.strings} {}

  void read_all() {
    LineReader reader;
    while (auto entry = read_entry(reader)) {
      if (entry->empty()) continue;
      reader.remember(*entry);
      if (*entry == ":quit" || *entry == ":q") return;
      reporting_entry([&] { evaluate_entry(*entry); });
    }
  }

 private:
  static std::optional<std::string> read_entry(LineReader& reader) {
    auto entry = reader.read("weld> ");
    if (!entry) return std::nullopt;
    while (!is_complete(*entry)) {
      const auto line = reader.read("....> ");
      if (!line) break;
      *entry += "\n" + *line;
    }
    return trimmed(*entry);
  }

  // Errors end the entry only.
  template <class F>
  void reporting_entry(F&& body) {
    reporting([&] {
      try {
        body();
      } catch (const ir::UserError& error) {
        throw ir::UserError(without_definitions(error.diagnostics()));
      }
      return kOk;
    });
    std::fflush(stdout);
  }

  void evaluate_entry(const std::string& entry) {
    if (!entry.starts_with(':')) {
      evaluate(entry, false);
      return;
    }
    const std::size_t blank = entry.find_first_of(" \t\n");
    const std::string command = entry.substr(0, blank);
    const std::string rest = blank == std::string::npos ? "" : trimmed(entry.substr(blank));
    if (command == ":type") {
      fmt::print("{}\n", program_type(load(rest).program));
    } else if (command == ":explain") {
      explain(rest);
    } else if (command == ":time") {
      evaluate(rest, true);
    } else if (command == ":load") {
      load_file(rest);
    } else if (command == ":reset") {
      types_.clear();
      macros_.clear();
      lets_.clear();
    } else if (command == ":help") {
      fmt::print("{}", kHelp);
    } else {
      throw UsageError(fmt::format("there is no command {}; :help lists them", command));
    }
  }

  void evaluate(const std::string& text, bool with_times) {
    if (is_definition(text)) {
      define(text);
      return;
    }
    const LoadedProgram loaded = load(text);
    const Execution execution = execute(loaded.program, {}, settings_);
    if (!execution.result) throw ir::UserError(std::vector{execution.result.error()});
    fmt::print("{}\n", to_json(execution.result->data(), execution.program->result_type(), style_));
    if (with_times) {
      fmt::print("# compiled in {:.3f} ms, ran in {:.3f} ms\n", execution.compile_ms, execution.run_ms);
    }
  }

  void explain(const std::string& text) {
    const LoadedProgram loaded = load(text);
    passes::PassContext context{
        .arena = *loaded.arena, .options = settings_.compile.pipeline, .deadline = {}, .remarks = {}};
    fmt::print("{}\n", ir::print(passes::run_pipeline(loaded.program, context)));
  }

  void load_file(const std::string& file) {
    if (file.ends_with(".so")) {
      read_settings({.set = {}, .num_threads = 0, .interpret = false, .libraries = {file}});
    } else {
      evaluate(trimmed(read_file(file)), false);
    }
  }

  // Keeps definitions that are valid after those before them.
  void define(const std::string& text) {
    const std::string code = trimmed(scan(text).code);
    std::string& kept = code.starts_with("type") ? types_ : code.starts_with("macro") ? macros_ : lets_;
    const std::string before = kept;
    kept += text + "\n";
    try {
      load("true");
    } catch (...) {
      kept = before;
      throw;
    }
  }

  std::string definitions() const { return types_ + macros_ + lets_; }

  LoadedProgram load(const std::string& text) const { return load_program(definitions() + text, "<repl>"); }

  // Lines count from the entry's first one, where the error is not in a definition before it.
  std::vector<ir::Diagnostic> without_definitions(std::vector<ir::Diagnostic> diagnostics) const {
    const std::string before = definitions();
    const auto num_lines = static_cast<std::uint32_t>(std::ranges::count(before, '\n'));
    for (ir::Diagnostic& diagnostic : diagnostics) {
      if (diagnostic.location.line <= num_lines) continue;
      diagnostic.location.line -= num_lines;
      diagnostic.location.end_line -= num_lines;
    }
    return diagnostics;
  }

  bindings::Settings settings_;
  JsonStyle style_;
  std::string types_;
  std::string macros_;
  std::string lets_;
};

}  // namespace

Status repl(const ReplCommand& command) {
  return reporting([&] {
    Repl(command).read_all();
    return kOk;
  });
}

}  // namespace weld::cli
