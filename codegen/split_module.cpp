#include "codegen/split_module.h"

#include <llvm/Bitcode/BitcodeWriter.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Transforms/Utils/Cloning.h>

#include <algorithm>
#include <functional>
#include <map>
#include <unordered_map>

namespace weld::codegen {
namespace {

bool is_copied(const llvm::GlobalValue& value) {
  const auto* variable = llvm::dyn_cast<llvm::GlobalVariable>(&value);
  return variable && variable->isConstant() && variable->hasLocalLinkage();
}

void make_external(llvm::GlobalValue& value) {
  if (!value.hasLocalLinkage() || is_copied(value)) return;
  if (!value.hasName()) value.setName("part");
  value.setLinkage(llvm::GlobalValue::ExternalLinkage);
  value.setDSOLocal(false);
}

using PartOfFunction = std::unordered_map<const llvm::Function*, std::size_t>;

// The largest function first, each to the part that has least.
PartOfFunction assign(llvm::Module& module, std::size_t num_parts) {
  std::multimap<std::size_t, const llvm::Function*, std::greater<>> by_size;
  for (const llvm::Function& function : module) {
    if (!function.isDeclaration()) by_size.emplace(function.getInstructionCount(), &function);
  }
  std::vector<std::size_t> sizes(std::min(num_parts, by_size.size()), 0);
  PartOfFunction parts;
  for (const auto& [size, function] : by_size) {
    const auto least = std::ranges::min_element(sizes);
    *least += size;
    parts[function] = static_cast<std::size_t>(least - sizes.begin());
  }
  return parts;
}

std::string write_part(const llvm::Module& module, const PartOfFunction& parts, std::size_t part) {
  llvm::ValueToValueMapTy copies;
  const std::unique_ptr<llvm::Module> copy =
      llvm::CloneModule(module, copies, [&](const llvm::GlobalValue* value) {
        if (const auto* function = llvm::dyn_cast<llvm::Function>(value)) return parts.at(function) == part;
        return is_copied(*value);
      });
  std::string bitcode;
  llvm::raw_string_ostream stream(bitcode);
  llvm::WriteBitcodeToFile(*copy, stream);
  return bitcode;
}

}  // namespace

std::vector<std::string> split_off_parts(llvm::Module& module, std::size_t num_parts) {
  for (llvm::GlobalValue& value : module.global_values()) make_external(value);
  const PartOfFunction parts = assign(module, num_parts);
  std::size_t last = 0;
  for (const auto& [function, part] : parts) last = std::max(last, part);
  std::vector<std::string> others;
  for (std::size_t part = 1; part <= last; ++part) others.push_back(write_part(module, parts, part));
  for (llvm::Function& function : module) {
    if (!function.isDeclaration() && parts.at(&function) != 0) function.deleteBody();
  }
  return others;
}

}  // namespace weld::codegen
