#include <array>

#include "runtime/calls.h"

namespace weld::runtime {

std::span<const RuntimeSymbol> runtime_symbols() {
  static const std::array symbols = {
#define WELD_RUNTIME_CALL(function) RuntimeSymbol{#function, reinterpret_cast<const void*>(&function)},
#include "runtime/calls.def"
#undef WELD_RUNTIME_CALL
  };
  return symbols;
}

}  // namespace weld::runtime
