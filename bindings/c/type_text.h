#pragma once

#include <string>

#include "codegen/engine.h"
#include "ir/types.h"

namespace weld::bindings {

/// The type as the language writes it, without annotations at any depth: equal types give equal texts.
std::string type_text(ir::Type type);

/// `|vec[i64],i64| f64`; of a program without parameters the type of its result.
std::string program_type_text(const codegen::Program& program);

}  // namespace weld::bindings
