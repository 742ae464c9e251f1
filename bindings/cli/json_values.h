#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/types.h"

namespace weld::cli {

/// Arguments of a program in their C layout, read from JSON (DESIGN.md §10), and what they point to.
class JsonArguments {
 public:
  /// \param texts  one JSON text for each parameter
  /// \param types  of the parameters; must live as long as this object
  ///
  /// Throws UsageError with the place in the value (`argument 1, [3].$0: …`) when a text is no JSON or does
  /// not fit its type, or when their number is wrong.
  JsonArguments(std::span<const std::string> texts, std::span<const ir::Type> types);
  ~JsonArguments();
  JsonArguments(JsonArguments&&) noexcept;
  JsonArguments& operator=(JsonArguments&&) noexcept;

  /// One C struct with the parameters as fields.
  const void* data() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The elements of a JSON array as texts of their own; throws UsageError when it is none.
std::vector<std::string> split_json_array(const std::string& text, const std::string& name);

struct JsonStyle {
  bool strings = false;  ///< vec[i8] and vec[u8] that hold UTF-8 as text
};

/// The value in its C layout as JSON on one line: numbers with all their digits, dictionaries as arrays of
/// [key, value] in the order of their keys. Throws UsageError for builders.
std::string to_json(const void* data, ir::Type type, JsonStyle style);

/// Whether values of the type can be printed and read: no builders, no functions.
bool has_json(ir::Type type);

}  // namespace weld::cli
