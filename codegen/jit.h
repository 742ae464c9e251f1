#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace weld::codegen {

/// Machine code of one program in the process's memory; unmapped with the object.
class LinkedCode {
 public:
  ~LinkedCode();
  LinkedCode(const LinkedCode&) = delete;
  LinkedCode& operator=(const LinkedCode&) = delete;

  void* entry() const { return entry_; }

 private:
  friend std::expected<std::unique_ptr<LinkedCode>, std::string> link_objects(
      std::span<const std::string> objects, const std::string& entry,
      std::span<const std::pair<std::string, void*>> symbols);
  LinkedCode() = default;

  struct Library;
  std::unique_ptr<Library> library_;
  void* entry_ = nullptr;
};

/// Whether the system refuses to make written memory executable (prctl PR_SET_MDWE, SELinux): nothing can be
/// linked then.
bool executable_memory_refused();

/// Links object files with each other, against the runtime, the mathematical functions, the
/// process and `symbols`, and looks up `entry`. The error is the linker's message.
///
/// Threads  safe from all; the only place that holds an LLJIT
std::expected<std::unique_ptr<LinkedCode>, std::string> link_objects(
    std::span<const std::string> objects, const std::string& entry,
    std::span<const std::pair<std::string, void*>> symbols);

}  // namespace weld::codegen
