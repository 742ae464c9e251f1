#pragma once

#include <expected>
#include <string>

namespace weld::runtime {

/// Loads a shared library whose symbols cudf may then name. Stays loaded; loading it again does nothing. The
/// error is the loader's message.
std::expected<void, std::string> load_foreign_library(const std::string& file);

/// The address of a C function: in the libraries loaded, the last one first, then in the process. Null when
/// there is none.
void* find_foreign_symbol(const std::string& name);

}  // namespace weld::runtime
