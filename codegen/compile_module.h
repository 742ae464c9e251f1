#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "codegen/emitter.h"
#include "codegen/object_cache.h"

namespace weld::codegen {

/// The name of the program's function in its object file.
inline constexpr const char* kEntrySymbol = "weld_main";

struct ModuleOptions {
  EmitOptions emit;
  int optimization_level = 2;  ///< of LLVM, 0 to 3
  int simd_width_bits = 0;     ///< 0: the host's widest useful one; 1: no SIMD
  int num_threads = 1;         ///< at most so many compile a large module
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  ObjectCache cache{std::string()};  ///< not looked at when dumping
  std::function<void(const std::string& stage, const std::string& text)>
      dump;  ///< `llvm`, `llvmopt`, `assembly`
};

struct CompiledModule {
  std::vector<std::string> objects;  ///< object files, to be linked together; one has kEntrySymbol
  double codegen_ms = 0;
  double llvm_ms = 0;
};

/// Lowers an optimised program and compiles it for this machine.
///
/// Cost     our lowering is linear. LLVM is kept from what takes it long: a function of more than about 4,000
///          instructions is compiled without optimisation
/// Errors   UserError: DeadlineExceeded
/// Threads  any number at a time; needs a stack of some MiB (big_stack.h)
CompiledModule compile_module(ir::Expr program, const ModuleOptions& options, ProgramConstants& constants);

/// What identifies LLVM and the processor that code is made for, for cache keys.
std::string target_description();

}  // namespace weld::codegen
