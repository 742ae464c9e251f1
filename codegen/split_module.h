#pragma once

#include <string>
#include <vector>

namespace llvm {
class Module;
}

namespace weld::codegen {

/// Leaves about one `num_parts`th of the module's functions in it, and returns the others as the bitcode of
/// modules of their own, so that LLVM, which works on one context in one thread, can go on with all of them
/// at once. Linked together the parts are the module again.
///
/// Symbols  internal functions and variables become external ones, referred to through the GOT and PLT, as
///          the linker may put the parts far from each other. Constants are copied to where they are used
/// Parts    as many as asked for, fewer only where there are not enough functions; the largest function
///          bounds how even they are
std::vector<std::string> split_off_parts(llvm::Module& module, std::size_t num_parts);

}  // namespace weld::codegen
