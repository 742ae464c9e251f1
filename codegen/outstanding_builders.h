#pragma once

#include "runtime/memory.h"
#include "runtime/reach.h"

namespace weld::codegen {

// Builders that left a run in its result and may continue in another run of the same context, once.

/// Makes the builders in a result known. `owner` stands for the result: what it is does not matter.
void remember_builders(const runtime::Context& context, runtime::RootValue result, const void* owner);

/// Moves the blocks of all builders in the arguments to `consumed`, and forgets them. False, and nothing
/// moved, when one of them is not known: it was given to a run before, its value is gone, or it was made up.
bool take_builders(runtime::Context& context, runtime::RootValue arguments, runtime::OwnedBlocks& consumed);

/// The result is freed: those of its builders that were not taken are gone.
void forget_builders(runtime::RootValue result, const void* owner);

}  // namespace weld::codegen
