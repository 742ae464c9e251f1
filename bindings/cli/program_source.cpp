#include "bindings/cli/program_source.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "bindings/c/type_text.h"
#include "bindings/cli/commands.h"
#include "ir/verify.h"
#include "parser/parser.h"
#include "runtime/foreign.h"

namespace weld::cli {

std::string read_file(const std::string& file) {
  const bool is_standard_input = file == "-";
  std::FILE* stream = is_standard_input ? stdin : std::fopen(file.c_str(), "rb");
  if (!stream) throw UsageError(fmt::format("cannot read {}: {}", file, std::strerror(errno)));
  std::string text;
  char buffer[65536];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, stream)) text.append(buffer, count);
  const bool failed = std::ferror(stream) != 0;
  const int error = errno;
  if (!is_standard_input) std::fclose(stream);
  if (failed) throw UsageError(fmt::format("cannot read {}: {}", file, std::strerror(error)));
  return text;
}

LoadedProgram load_program(const std::string& text, const std::string& name) {
  LoadedProgram loaded{.arena = std::make_unique<ir::Arena>(), .program = {}};
  loaded.program = parser::parse(text, *loaded.arena, {.name = name});
  ir::verify(loaded.program, ir::Stage::kCore);
  return loaded;
}

LoadedProgram load_program(const ProgramSource& source) {
  if (source.has_text) return load_program(source.text, "<program>");
  return load_program(read_file(source.file), source.file == "-" ? "<stdin>" : source.file);
}

bindings::Settings read_settings(const CompileFlags& flags) {
  bindings::Conf conf;
  for (const std::string& assignment : flags.set) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos) {
      throw UsageError(fmt::format("--set takes key=value, not {}", assignment));
    }
    conf[assignment.substr(0, equals)] = assignment.substr(equals + 1);
  }
  if (flags.num_threads > 0) conf["weld.threads"] = std::to_string(flags.num_threads);
  if (flags.interpret) conf["weld.interpret"] = "true";
  bindings::Settings settings = bindings::parse_conf(conf);
  for (const std::string& warning : settings.warnings) fmt::print(stderr, "weld: warning: {}\n", warning);
  for (const std::string& library : flags.libraries) {
    const auto loaded = runtime::load_foreign_library(library);
    if (!loaded) throw ir::UserError(loaded.error(), {}, ErrorCode::kLoadLibraryError);
  }
  return settings;
}

std::string program_type(ir::Expr program) {
  const auto* lambda = program.as<ir::Lambda>();
  return bindings::type_text(lambda && lambda->parameters.empty() ? lambda->body.type() : program.type());
}

}  // namespace weld::cli
