#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "bench/tpch/cli/commands.h"

namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("TPC-H on Weld: the data and the queries", "weld-tpch");
  app.require_subcommand(1);
  weld::bench::tpch::add_gen_command(app);
  weld::bench::tpch::add_run_command(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;  // 0 after --help
  } catch (const std::exception& error) {
    fmt::print(stderr, "weld-tpch: error: {}\n", error.what());
    return kFailure;
  }
  return 0;
}
