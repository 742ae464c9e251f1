#include "codegen/sanitize.h"

#include <llvm/Analysis/TargetLibraryInfo.h>
#include <llvm/IR/Module.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/TargetParser/Triple.h>
#include <llvm/Transforms/Instrumentation/AddressSanitizer.h>
#include <llvm/Transforms/Instrumentation/ThreadSanitizer.h>

namespace weld::codegen {
namespace {

void add_passes(llvm::ModulePassManager& passes) {
  if (host_sanitizer() == Sanitizer::kThread) {
    passes.addPass(llvm::createModuleToFunctionPassAdaptor(llvm::ThreadSanitizerPass()));
    return;
  }
  // The host has started the sanitizer: no constructor does so here.
  passes.addPass(llvm::AddressSanitizerPass(llvm::AddressSanitizerOptions(), true, true,
                                            llvm::AsanDtorKind::None, llvm::AsanCtorKind::None));
}

}  // namespace

void instrument(llvm::Module& module) {
  if (host_sanitizer() == Sanitizer::kNone) return;
  const auto attribute = host_sanitizer() == Sanitizer::kThread ? llvm::Attribute::SanitizeThread
                                                                : llvm::Attribute::SanitizeAddress;
  for (llvm::Function& function : module) {
    if (!function.isDeclaration()) function.addFnAttr(attribute);
  }
  // Constants would have to be registered by a constructor.
  for (llvm::GlobalVariable& variable : module.globals()) {
    llvm::GlobalValue::SanitizerMetadata metadata;
    metadata.NoAddress = true;
    variable.setSanitizerMetadata(metadata);
  }
  llvm::PassBuilder builder;
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager call_graph;
  llvm::ModuleAnalysisManager modules;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(call_graph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, call_graph, modules);
  llvm::ModulePassManager passes;
  add_passes(passes);
  passes.run(module, modules);
}

}  // namespace weld::codegen
