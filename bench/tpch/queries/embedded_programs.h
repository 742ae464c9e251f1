#pragma once

#include <string_view>

/// The texts of the programs in this folder, as they were when this library was built.
namespace weld::bench::tpch::embedded {

extern const std::string_view kProgram1;
extern const std::string_view kProgram3;
extern const std::string_view kProgram6;
extern const std::string_view kProgram12;

}  // namespace weld::bench::tpch::embedded
