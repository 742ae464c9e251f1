#pragma once

#include <cstdint>

namespace weld::codegen {

/// How lanes functions look keys up in dictionaries.
enum class ProbeStyle : std::uint8_t {
  kChosen,  ///< staged where the dictionary is larger than a core's cache
  kPlain,   ///< waiting for each key's slot and entry when they are needed
  kStaged,  ///< starting to read the slots of all keys of a group, then all entries, first
};

}  // namespace weld::codegen
