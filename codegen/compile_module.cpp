#include "codegen/compile_module.h"

#include <fmt/format.h>
#include <llvm/Analysis/TargetLibraryInfo.h>
#include <llvm/Analysis/TargetTransformInfo.h>
#include <llvm/Bitcode/BitcodeReader.h>
#include <llvm/Bitcode/BitcodeWriter.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/PassInstrumentation.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Linker/Linker.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/SubtargetFeature.h>
#include <llvm/Transforms/IPO/AlwaysInliner.h>
#include <llvm/Transforms/IPO/GlobalDCE.h>
#include <llvm/Transforms/IPO/Inliner.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/GVN.h>
#include <llvm/Transforms/Scalar/IndVarSimplify.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/LoopRotation.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/SimpleLoopUnswitch.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>
#include <llvm/Transforms/Utils/Cloning.h>
#include <llvm/Transforms/Vectorize/LoopVectorize.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <deque>

#include "codegen/big_stack.h"
#include "codegen/sanitize.h"
#include "codegen/split_module.h"
#include "ir/target_info.h"
#include "runtime/bitcode.h"

namespace weld::codegen {
namespace {

using Clock = std::chrono::steady_clock;

// Vectors wider than this many bits are not used on this machine.
int host_simd_bits() {
  return 8 * ir::host_target().vector_bytes;
}

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Past this many instructions in one function, optimising costs more than running (measured: one block of
// 10,000 loads takes seconds at -O2).
constexpr std::size_t kMaxOptimizedInstructions = 4000;

struct HostTarget {
  std::string triple;
  std::string cpu;
  std::string features;
  const llvm::Target* target = nullptr;
};

// LLVM's scheduler would do the vectors of a group one after the other, each a chain that waits for itself:
// without it they stay side by side, as they are written. 200 operations in a row take 0.35 of the time,
// others no longer. There is no other switch than this option of the process.
void switch_machine_scheduler_off() {
  const auto& options = llvm::cl::getRegisteredOptions();
  const auto found = options.find("enable-misched");
  if (found != options.end()) found->second->addOccurrence(0, "enable-misched", "false");
}

const HostTarget& host() {
  static const HostTarget found = [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    switch_machine_scheduler_off();
    HostTarget made{llvm::sys::getProcessTriple(), llvm::sys::getHostCPUName().str(), {}, nullptr};
    llvm::SubtargetFeatures features;
    for (const auto& [feature, enabled] : llvm::sys::getHostCPUFeatures())
      features.AddFeature(feature, enabled);
    made.features = features.getString();
    std::string error;
    made.target = llvm::TargetRegistry::lookupTarget(made.triple, error);
    ir::internal_check(made.target != nullptr, "LLVM knows this machine: " + error);
    return made;
  }();
  return found;
}

bool host_has(std::string_view feature) {
  static const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  return features.lookup(feature);
}

int narrowest_compress_bits() {
  if (!host_has("avx512vl")) return 0;
  return host_has("avx512vbmi2") ? 8 : 32;
}

std::unique_ptr<llvm::TargetMachine> make_target_machine(bool optimize) {
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;  // fuses what carries the contract flag only
  const auto level = optimize ? llvm::CodeGenOptLevel::Default : llvm::CodeGenOptLevel::None;
  return std::unique_ptr<llvm::TargetMachine>(
      host().target->createTargetMachine(host().triple, host().cpu, host().features, options,
                                         llvm::Reloc::PIC_, llvm::CodeModel::Small, level, true));
}

std::string print(const llvm::Module& module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, nullptr);
  return text;
}

std::size_t largest_function(const llvm::Module& module) {
  std::size_t largest = 0;
  for (const llvm::Function& function : module)
    largest = std::max<std::size_t>(largest, function.getInstructionCount());
  return largest;
}

void set_target_attributes(llvm::Module& module, int simd_bits) {
  const std::string width = std::to_string(simd_bits > 1 ? simd_bits : 128);
  for (llvm::Function& function : module) {
    if (function.isDeclaration()) continue;
    function.addFnAttr("target-cpu", host().cpu);
    function.addFnAttr("target-features", host().features);
    function.addFnAttr("prefer-vector-width", width);
    function.addFnAttr("min-legal-vector-width", width);
  }
}

// The inlined parts of the runtime that the module calls, made its own.
void link_bitcode(llvm::Module& module, std::unique_ptr<llvm::Module> runtime) {
  std::vector<std::string> needed;
  for (const llvm::Function& function : module) {
    if (function.isDeclaration() && function.getName().starts_with("weld_bc_"))
      needed.push_back(function.getName().str());
  }
  if (needed.empty()) return;
  const bool failed =
      llvm::Linker::linkModules(module, std::move(runtime), llvm::Linker::Flags::LinkOnlyNeeded);
  ir::internal_check(!failed, "the runtime's bitcode links");
  for (llvm::Function& function : module) {
    if (function.isDeclaration() || function.getName() == kEntrySymbol) continue;
    function.setLinkage(llvm::GlobalValue::InternalLinkage);
    function.removeFnAttr("target-cpu");
    function.removeFnAttr("target-features");
    function.removeFnAttr("tune-cpu");
  }
  // The table that keeps declarations in the bitcode would keep every function that it names in the module.
  for (const char* name : {"llvm.compiler.used", "llvm.used", "weld_runtime_declarations"}) {
    llvm::GlobalVariable* variable = module.getGlobalVariable(name, true);
    if (!variable) continue;
    variable->removeDeadConstantUsers();
    if (variable->use_empty()) variable->eraseFromParent();
  }
}

// Our own passes have done the heavy lifting: this inlines, cleans up, moves invariants out of loops, and
// vectorises what is still scalar. Chosen by measurement: LLVM's own -O2 pipeline takes three times as long
// for code that is as fast.
void add_inlining(llvm::ModulePassManager& passes) {
  passes.addPass(llvm::AlwaysInlinerPass());
  llvm::FunctionPassManager early;
  early.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  early.addPass(llvm::EarlyCSEPass());
  early.addPass(llvm::SimplifyCFGPass());
  passes.addPass(llvm::createModuleToFunctionPassAdaptor(std::move(early)));

  llvm::CGSCCPassManager inlining;
  inlining.addPass(llvm::InlinerPass());
  passes.addPass(llvm::createModuleToPostOrderCGSCCPassAdaptor(std::move(inlining)));
  passes.addPass(llvm::GlobalDCEPass());
}

void add_function_passes(llvm::ModulePassManager& passes, bool vectorize) {
  llvm::FunctionPassManager late;
  late.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  late.addPass(llvm::EarlyCSEPass(true));
  late.addPass(llvm::InstCombinePass());
  late.addPass(llvm::SimplifyCFGPass());
  llvm::LoopPassManager loops;
  loops.addPass(llvm::LoopRotatePass());
  loops.addPass(llvm::LICMPass(llvm::LICMOptions()));
  loops.addPass(llvm::SimpleLoopUnswitchPass());
  loops.addPass(llvm::IndVarSimplifyPass());
  late.addPass(llvm::createFunctionToLoopPassAdaptor(std::move(loops), true));
  late.addPass(llvm::GVNPass());
  if (vectorize) {
    late.addPass(llvm::LoopVectorizePass());
    late.addPass(llvm::InstCombinePass());
    // Lanes of sums, which are now whole vectors, move from memory to registers.
    late.addPass(llvm::createFunctionToLoopPassAdaptor(llvm::LICMPass(llvm::LICMOptions()), true));
  }
  late.addPass(llvm::SimplifyCFGPass(
      llvm::SimplifyCFGOptions().convertSwitchRangeToICmp(true).hoistCommonInsts(true)));
  late.addPass(llvm::EarlyCSEPass());
  passes.addPass(llvm::createModuleToFunctionPassAdaptor(std::move(late)));
  passes.addPass(llvm::GlobalDCEPass());
}

void run_passes(llvm::Module& module, llvm::TargetMachine& machine, bool vectorize,
                Clock::time_point deadline, const std::function<void(llvm::ModulePassManager&)>& add) {
  llvm::PassInstrumentationCallbacks callbacks;
  if (deadline != Clock::time_point::max()) {
    callbacks.registerShouldRunOptionalPassCallback(
        [deadline](llvm::StringRef, llvm::Any) { return Clock::now() < deadline; });
  }
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = vectorize;
  tuning.SLPVectorization = false;
  llvm::PassBuilder builder(&machine, tuning, std::nullopt, &callbacks);
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager call_graph;
  llvm::ModuleAnalysisManager modules;
  // No name is taken for a libm function, which LLVM would fold with the host's libm.
  llvm::TargetLibraryInfoImpl library(llvm::Triple(module.getTargetTriple()));
  library.disableAllFunctions();
  functions.registerPass([&] { return llvm::TargetLibraryAnalysis(library); });
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(call_graph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, call_graph, modules);
  llvm::ModulePassManager passes;
  add(passes);
  passes.run(module, modules);
}

std::string emit_file(llvm::Module& module, llvm::TargetMachine& machine, llvm::CodeGenFileType type) {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  const bool failed = machine.addPassesToEmitFile(passes, stream, nullptr, type);
  ir::internal_check(!failed, "the target writes object files");
  passes.run(module);
  return {bytes.data(), bytes.size()};
}

// What LLVM makes of a module, or of a part of one, after inlining.
struct Backend {
  bool optimizes;
  bool vectorizes;
  Clock::time_point deadline;

  void optimize(llvm::Module& module, llvm::TargetMachine& machine) const {
    if (!optimizes) return;
    run_passes(module, machine, vectorizes, deadline,
               [&](llvm::ModulePassManager& passes) { add_function_passes(passes, vectorizes); });
  }
  std::string object_of(llvm::Module& module, llvm::TargetMachine& machine) const {
    optimize(module, machine);
    instrument(module);
    return emit_file(module, machine, llvm::CodeGenFileType::ObjectFile);
  }
  std::string object_of_part(const std::string& bitcode) const {
    llvm::LLVMContext context;
    auto module = llvm::parseBitcodeFile(llvm::MemoryBufferRef(bitcode, "part"), context);
    ir::internal_check(static_cast<bool>(module), "what was written is readable");
    return object_of(**module, *make_target_machine(optimizes));
  }

  // Each part in a thread of its own.
  std::vector<std::string> objects_of(llvm::Module& module, llvm::TargetMachine& machine,
                                      std::size_t num_parts) const {
    const std::vector<std::string> others =
        num_parts > 1 ? split_off_parts(module, num_parts) : std::vector<std::string>();
    std::vector<std::string> objects(1 + others.size());
    std::deque<BigStackThread> threads;
    for (std::size_t i = 0; i < others.size(); ++i)
      threads.emplace_back([&, i] { objects[i + 1] = object_of_part(others[i]); });
    objects[0] = object_of(module, machine);
    for (BigStackThread& thread : threads) thread.join();
    return objects;
  }
};

// Of about equal size, and not so small that the overhead of a part, some 3 ms, shows.
std::size_t count_parts(const llvm::Module& module, int num_threads) {
  constexpr std::size_t kMinInstructions = 500;
  constexpr std::size_t kMaxParts = 8;
  const std::size_t wanted = std::min<std::size_t>(static_cast<std::size_t>(num_threads), kMaxParts);
  return std::clamp<std::size_t>(module.getInstructionCount() / kMinInstructions, 1, wanted);
}

// Objects as one string for the cache: each after its length.
std::string packed(const std::vector<std::string>& objects) {
  std::string all;
  for (const std::string& object : objects) {
    const std::uint64_t length = object.size();
    all.append(reinterpret_cast<const char*>(&length), sizeof length).append(object);
  }
  return all;
}

std::vector<std::string> unpacked(std::string_view all) {
  std::vector<std::string> objects;
  while (!all.empty()) {
    std::uint64_t length;
    std::memcpy(&length, all.data(), sizeof length);
    objects.emplace_back(all.substr(sizeof length, length));
    all.remove_prefix(sizeof length + length);
  }
  return objects;
}

// The key of a module in the object cache: what it says before it is optimised, and how it will be.
ObjectCache::Key content_key(const llvm::Module& module, int level, int simd_bits) {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::WriteBitcodeToFile(module, stream);
  const int how = (static_cast<int>(host_sanitizer()) * 10 + level) * 10000 + simd_bits;
  const XXH128_hash_t hash =
      XXH3_128bits_withSeed(bytes.data(), bytes.size(), static_cast<XXH64_hash_t>(how));
  return {hash.high64, hash.low64};
}

void check_deadline(const ModuleOptions& options) {
  if (Clock::now() < options.deadline) return;
  throw ir::UserError("compiling the program takes longer than its deadline", {},
                      ErrorCode::kDeadlineExceeded);
}

}  // namespace

std::string target_description() {
  return fmt::format("LLVM {} {} {} {}", LLVM_VERSION_STRING, host().triple, host().cpu, host().features);
}

CompiledModule compile_module(ir::Expr program, const ModuleOptions& options, ProgramConstants& constants) {
  const Clock::time_point start = Clock::now();
  CompiledModule compiled;
  llvm::LLVMContext context;
  const std::span<const char> bitcode = runtime::bitcode_module();
  auto runtime = llvm::getLazyBitcodeModule(
      llvm::MemoryBufferRef(llvm::StringRef(bitcode.data(), bitcode.size()), "runtime"), context);
  ir::internal_check(static_cast<bool>(runtime), "the runtime's bitcode is readable");
  llvm::Module module("weld", context);
  const int simd_bits =
      options.simd_width_bits == 0 ? host_simd_bits() : std::min(options.simd_width_bits, host_simd_bits());
  EmitOptions emit = options.emit;
  emit.vector_bits = std::max(simd_bits, 128);
  emit.narrowest_compress_bits = narrowest_compress_bits();
  emit.has_masks = host_has("avx512vl") && host_has("avx512bw");
  ModuleEmitter emitter(module, **runtime, emit, constants);
  emitter.emit_program(program);

  const std::size_t largest = largest_function(module);
  const int level = largest > kMaxOptimizedInstructions ? 0 : options.optimization_level;
  const std::unique_ptr<llvm::TargetMachine> machine = make_target_machine(level > 0);
  module.setTargetTriple(host().triple);
  module.setDataLayout(machine->createDataLayout());
  (*runtime)->setTargetTriple(host().triple);
  (*runtime)->setDataLayout(machine->createDataLayout());
  link_bitcode(module, std::move(*runtime));
  set_target_attributes(module, simd_bits);
#ifdef WELD_VERIFY_PASSES
  std::string broken;
  llvm::raw_string_ostream stream(broken);
  ir::internal_check(!llvm::verifyModule(module, &stream), broken);
#endif
  if (options.dump) options.dump("llvm", print(module));
  compiled.codegen_ms = milliseconds_since(start);

  const Clock::time_point llvm_start = Clock::now();
  ObjectCache::Key key{};
  if (options.cache.is_usable()) key = content_key(module, level, simd_bits);
  if (!options.dump) {
    if (const std::optional<std::string> objects = options.cache.load(key)) {
      compiled.objects = unpacked(*objects);
      compiled.llvm_ms = milliseconds_since(llvm_start);
      return compiled;
    }
  }
  check_deadline(options);
  const Backend backend{.optimizes = level > 0,
                        .vectorizes = options.simd_width_bits != 1 && emitter.has_long_loops(),
                        .deadline = options.deadline};
  if (backend.optimizes) run_passes(module, *machine, backend.vectorizes, options.deadline, add_inlining);
  check_deadline(options);
  if (options.dump) {
    const std::unique_ptr<llvm::Module> copy = llvm::CloneModule(module);
    backend.optimize(*copy, *machine);
    options.dump("llvmopt", print(*copy));
    options.dump("assembly", emit_file(*copy, *machine, llvm::CodeGenFileType::AssemblyFile));
  }
  compiled.objects = backend.objects_of(module, *machine, count_parts(module, options.num_threads));
  options.cache.store(key, packed(compiled.objects));
  compiled.llvm_ms = milliseconds_since(llvm_start);
  return compiled;
}

}  // namespace weld::codegen
