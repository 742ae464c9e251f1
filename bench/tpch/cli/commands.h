#pragma once

#include <CLI/CLI.hpp>

namespace weld::bench::tpch {

/// Each adds a subcommand, which does its work while the command line is parsed. Failures are thrown.
void add_gen_command(CLI::App& app);
void add_run_command(CLI::App& app);

}  // namespace weld::bench::tpch
