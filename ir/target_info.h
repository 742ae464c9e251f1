#pragma once

#include <cstdint>

namespace weld::ir {

/// What passes and codegen know of the machine that a program will run on.
struct TargetInfo {
  std::int32_t vector_bytes = 16;  ///< the widest SIMD registers that run at full speed; 0: no SIMD
  bool has_fma = false;
  std::int64_t l1_bytes = 32 * 1024;         ///< data cache of one core
  std::int64_t l2_bytes = 1024 * 1024;       ///< of one core
  std::int64_t l3_bytes = 16 * 1024 * 1024;  ///< shared
  std::int32_t cores = 1;                    ///< processors that this process may use

  bool operator==(const TargetInfo&) const = default;
};

/// This machine, looked at once. Where the system does not say, the defaults stand.
const TargetInfo& host_target();

}  // namespace weld::ir
