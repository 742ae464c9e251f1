#include "codegen/jit.h"

#include <llvm/ExecutionEngine/Orc/ExecutionUtils.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstring>

#include "codegen/sanitize.h"
#include "runtime/calls.h"

namespace weld::codegen {
namespace {

namespace orc = llvm::orc;

std::string text_of(llvm::Error error) {
  return llvm::toString(std::move(error));
}

// The process's LLJIT and the library of symbols that all programs see. Lives as long as the process: code
// may run in threads that end late.
struct Process {
  std::unique_ptr<orc::LLJIT> jit;
  orc::JITDylib* symbols = nullptr;
  std::string error;

  Process() {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    llvm::InitializeNativeTargetAsmParser();
    auto made = orc::LLJITBuilder()
                    .setLinkProcessSymbolsByDefault(false)
                    .setPlatformSetUp(orc::setUpInactivePlatform)
                    .create();
    if (!made) {
      error = text_of(made.takeError());
      return;
    }
    jit = std::move(*made);
    // Failures come back from the calls that meet them; nothing is printed.
    jit->getExecutionSession().setErrorReporter(
        [](llvm::Error failed) { llvm::consumeError(std::move(failed)); });
    symbols = &jit->getMainJITDylib();
    if (llvm::Error failed = define_symbols()) error = text_of(std::move(failed));
  }

  llvm::Error define_symbols() {
    orc::SymbolMap map;
    const auto define = [&](llvm::StringRef name, const void* address) {
      map[jit->mangleAndIntern(name)] = {orc::ExecutorAddr::fromPtr(address), llvm::JITSymbolFlags::Exported};
    };
    for (const runtime::RuntimeSymbol& symbol : runtime::runtime_symbols()) {
      define({symbol.name.data(), symbol.name.size()}, symbol.address);
    }
    // What LLVM makes calls of by itself.
    define("memcpy", reinterpret_cast<const void*>(&std::memcpy));
    define("memmove", reinterpret_cast<const void*>(&std::memmove));
    define("memset", reinterpret_cast<const void*>(&std::memset));
    define("memcmp", reinterpret_cast<const void*>(&std::memcmp));
    define("bcmp", reinterpret_cast<const void*>(&std::memcmp));
    using Unary64 = double (*)(double);
    using Unary32 = float (*)(float);
    define("fmod", reinterpret_cast<const void*>(static_cast<double (*)(double, double)>(&std::fmod)));
    define("fmodf", reinterpret_cast<const void*>(static_cast<float (*)(float, float)>(&std::fmod)));
    define("floor", reinterpret_cast<const void*>(static_cast<Unary64>(&std::floor)));
    define("floorf", reinterpret_cast<const void*>(static_cast<Unary32>(&std::floor)));
    define("ceil", reinterpret_cast<const void*>(static_cast<Unary64>(&std::ceil)));
    define("ceilf", reinterpret_cast<const void*>(static_cast<Unary32>(&std::ceil)));
    define("trunc", reinterpret_cast<const void*>(static_cast<Unary64>(&std::trunc)));
    define("truncf", reinterpret_cast<const void*>(static_cast<Unary32>(&std::trunc)));
    if (llvm::Error failed = symbols->define(orc::absoluteSymbols(std::move(map)))) return failed;
    // The library is linked to ours already; its symbols need not be visible to the whole process.
    auto sleef =
        orc::DynamicLibrarySearchGenerator::Load("libsleef.so.3", jit->getDataLayout().getGlobalPrefix());
    if (!sleef) return sleef.takeError();
    symbols->addGenerator(std::move(*sleef));
    if (host_sanitizer() == Sanitizer::kNone) return llvm::Error::success();
    auto host =
        orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(jit->getDataLayout().getGlobalPrefix());
    if (!host) return host.takeError();
    symbols->addGenerator(std::move(*host));
    return llvm::Error::success();
  }

  static Process& get() {
    static Process& process = *new Process;
    return process;
  }
};

}  // namespace

struct LinkedCode::Library {
  orc::JITDylib* dylib = nullptr;

  ~Library() {
    if (dylib) llvm::consumeError(Process::get().jit->getExecutionSession().removeJITDylib(*dylib));
  }
};

LinkedCode::~LinkedCode() = default;

bool executable_memory_refused() {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return true;
  const bool refused = mprotect(memory, page, PROT_READ | PROT_EXEC) != 0;
  munmap(memory, page);
  return refused;
}

std::expected<std::unique_ptr<LinkedCode>, std::string> link_objects(
    std::span<const std::string> objects, const std::string& entry,
    std::span<const std::pair<std::string, void*>> symbols) {
  Process& process = Process::get();
  if (!process.error.empty()) return std::unexpected(process.error);
  static std::atomic<std::uint64_t> next_id = 0;
  auto dylib = process.jit->createJITDylib("program" + std::to_string(next_id++));
  if (!dylib) return std::unexpected(text_of(dylib.takeError()));
  std::unique_ptr<LinkedCode> code(new LinkedCode);
  code->library_ = std::make_unique<LinkedCode::Library>();
  code->library_->dylib = &*dylib;
  dylib->addToLinkOrder(*process.symbols);

  orc::SymbolMap map;
  for (const auto& [name, address] : symbols) {
    map[process.jit->mangleAndIntern(name)] = {orc::ExecutorAddr::fromPtr(address),
                                               llvm::JITSymbolFlags::Exported};
  }
  if (!map.empty()) {
    if (llvm::Error failed = dylib->define(orc::absoluteSymbols(std::move(map)))) {
      return std::unexpected(text_of(std::move(failed)));
    }
  }
  for (const std::string& object : objects) {
    auto buffer = llvm::MemoryBuffer::getMemBufferCopy(object, dylib->getName());
    if (llvm::Error failed = process.jit->addObjectFile(*dylib, std::move(buffer))) {
      return std::unexpected(text_of(std::move(failed)));
    }
  }
  auto address = process.jit->lookup(*dylib, entry);
  if (!address) return std::unexpected(text_of(address.takeError()));
  code->entry_ = address->toPtr<void*>();
  return code;
}

}  // namespace weld::codegen
