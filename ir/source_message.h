#pragma once

#include <string>
#include <string_view>

#include "ir/span.h"

namespace weld::ir {

/// `file:line:col: label: message`, the source line and a caret under the place, joined by line feeds,
/// without a final one. Only the first line, without a position, where none is known.
std::string render_message(const Location& location, std::string_view label, std::string_view message);

}  // namespace weld::ir
