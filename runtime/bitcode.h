#pragma once

#include <span>

namespace weld::runtime {

/// The LLVM bitcode of `bitcode/`: inlinable leaves (`weld_bc_…`), and declarations of all functions of
/// calls.h, kept by the table `weld_runtime_declarations`, from which their types are read.
std::span<const char> bitcode_module();

}  // namespace weld::runtime
