#pragma once

#include "runtime/layout.h"
#include "runtime/memory.h"

namespace weld::runtime {

struct RootValue {
  const TypeLayout* layout;
  const void* value;
};

/// Splits the blocks of `list` into those that the value reaches, which stay, and the others, which move to
/// `unreached`.
///
/// Pointers may lead into the middle of a block. Memory outside of the list's blocks is not followed (but the
/// value itself): it cannot lead back. Blocks of builders count as reached from their state. Time O(blocks +
/// elements with pointers); slices that overlap are walked once Depth    bounded by that of the type, never
/// by the data Errors   kOutOfMemory: nothing has moved then
[[nodiscard]] ErrorCode split_unreached(BlockLink& list, RootValue root, BlockLink& unreached) noexcept;

/// Moves the own blocks of all builders in a value (not what their elements point to) to `list`.
void move_builder_blocks(RootValue root, BlockLink& list) noexcept;

}  // namespace weld::runtime
